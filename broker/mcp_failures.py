"""Every way a call to an MCP server can fail, told apart; the words are fit for a model and a developer."""

import mcp_types
from mcp import MCPError

from broker.mcp_stdio import TOO_LARGE
from broker.mcp_transport import HttpTrace

MAX_MESSAGE_CHARS = 1000
UNKNOWN_OUTCOME = "Whether it took effect is not known."
_OF_THE_SDK = {"Server returned an error response", "Not Found", "Session terminated"}
"""What the SDK says for an HTTP status that came without a JSON-RPC error."""


class Denied(Exception):
    """The server did not accept the credential."""


class Unauthorized(Denied):
    """It answered 401."""


class InsufficientScope(Denied):
    """It answered 403: the credential is good, but not for this. ``scopes``: what it asks for."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        super().__init__(" ".join(scopes))
        self.scopes = scopes


class McpCallFailed(Exception):
    """A call that came to nothing."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.message, self.status = message, status


def denied(trace: HttpTrace) -> Denied | None:
    if trace.unauthorized:
        return Unauthorized()
    return None if trace.missing_scopes is None else InsufficientScope(trace.missing_scopes)


def classified(error: MCPError, trace: HttpTrace, *, unknown: bool) -> McpCallFailed:
    """``unknown``: whether it matters, and so is said, that a call may have taken effect all the same."""
    if trace.too_large or error.code == TOO_LARGE:
        return McpCallFailed("its answer is too large; ask it for less at a time", status="too_large")
    if trace.compressed:
        return McpCallFailed("its server compresses its answers, unasked", status="protocol_error")
    if trace.never_sent:
        return McpCallFailed("its server cannot be reached", status="unreachable")
    if trace.errors or error.code == mcp_types.CONNECTION_CLOSED:
        return _failed("its server broke off the connection", "broke_off", unknown=unknown)
    if error.code == mcp_types.REQUEST_TIMEOUT:
        return timed_out(unknown=unknown)
    if error.code == mcp_types.PARSE_ERROR:
        return unusable("no JSON-RPC message", unknown=unknown)
    failed = [status for status in trace.statuses if status >= 400]
    if failed and error.message in _OF_THE_SDK:
        return McpCallFailed(f"its server answered with status {failed[-1]}", status=str(failed[-1]))
    return McpCallFailed(error.message[:MAX_MESSAGE_CHARS], status="rpc_error")


def unusable(what: str, *, unknown: bool) -> McpCallFailed:
    return _failed(f"its server sent something unusable ({what})", "protocol_error", unknown=unknown)


def timed_out(*, unknown: bool) -> McpCallFailed:
    return _failed("its server did not answer in time", "timeout", unknown=unknown)


def _failed(message: str, status: str, *, unknown: bool) -> McpCallFailed:
    return McpCallFailed(f"{message}. {UNKNOWN_OUTCOME}" if unknown else message, status=status)
