"""Who speaks to ``/mcp``: the API key, the end user it acts as, and the session of older clients."""

from dataclasses import dataclass
from typing import Any

import msgspec
from mcp.server.context import ServerRequestContext
from starlette.types import Scope

from broker.calls import ToolScope
from gateway.mcp_server.sessions import HandshakeSession
from kit.caller import Caller

_KEY = "mcp_principal"


@dataclass(frozen=True, slots=True)
class Principal:
    """``request_id`` is this request's own; a charge that it makes has it for a name."""

    caller: Caller
    end_user_id: str | None
    request_id: str
    session: HandshakeSession | None = None
    good_until: int | None = None
    """Unix seconds; of what was shown with this request."""

    @property
    def tool_scope(self) -> ToolScope:
        return ToolScope(self.caller.account_id, self.end_user_id)

    @property
    def binding(self) -> str:
        """What is handed to a client for later is bound to this: API key and end user."""
        return msgspec.json.encode([self.caller.key_id, self.end_user_id]).decode()

    def put_on(self, scope: Scope) -> None:
        scope[_KEY] = self


def principal_of(ctx: ServerRequestContext[Any, Any]) -> Principal:
    """Whose request the SDK is handling."""
    principal = ctx.request.scope[_KEY] if ctx.request is not None else None
    assert isinstance(principal, Principal), "the endpoint lets nobody in without one"
    return principal


def revision_of(ctx: ServerRequestContext[Any, Any]) -> str:
    """The revision of the protocol that the client speaks: its session's, or the one of this request."""
    session = principal_of(ctx).session
    return session.version if session is not None else ctx.protocol_version
