"""Calls to MCP servers over the pool: list tools, call a tool, with every way to fail told apart."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import mcp_types
from mcp import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from broker.calls import NeedsInput, TaskUnderWay, ToolResult, error_result
from broker.mcp_connection import McpConnection, McpTarget, McpUnavailable
from broker.mcp_exchange import CannotGoOn, ToolExchange, UrlRequired
from broker.mcp_interaction import InteractiveClient
from broker.mcp_listing import Listing, read_listing
from broker.mcp_pool import McpPool
from broker.mcp_results import to_result
from broker.mcp_tasks import TaskCreated
from broker.mcp_transport import TRACE, HttpTrace
from broker.stopwatch import Stopwatch
from broker.tool import CallContext

T = TypeVar("T")

CALL_TIMEOUT_S = 60.0
LIST_TIMEOUT_S = 20.0
GRACE_S = 2.0
MAX_MESSAGE_CHARS = 1000
_FORGOTTEN: dict[bool, set[int]] = {True: {404}, False: {400, 404}}
"""Statuses, by whether the revision is stateless, that a restarted server gives to a session it forgot.
(404 says the specification; several servers say 400.) The call was refused, so it may be sent again."""
UNKNOWN_OUTCOME = "Whether it took effect is not known."


class Unauthorized(Exception):
    """The server answered 401 to the credential."""


class McpCallFailed(Exception):
    """A call that came to nothing; the message is fit for a model and a developer."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.message, self.status = message, status


@dataclass(frozen=True)
class McpToolCall:
    """A tool of a server, what it is called with, and within what time. ``whole``: whether the client gets
    the server's result as it is, besides what the model is told."""

    server: str
    tool: str
    arguments: dict[str, Any]
    retry_safe: bool
    timeout_s: float | None = None
    whole: bool = False


class _Stale(Exception):
    """The kept connection was of no use any more, and the call certainly did nothing or may be repeated."""


@dataclass
class _Progressed:
    """How far a call came before it failed: only a call that was sent can have an unknown outcome."""

    sent: bool = False


class McpCaller:
    def __init__(
        self,
        pool: McpPool,
        *,
        call_timeout_s: float = CALL_TIMEOUT_S,
        list_timeout_s: float = LIST_TIMEOUT_S,
    ) -> None:
        self._pool = pool
        self._call_timeout_s = call_timeout_s
        self._list_timeout_s = list_timeout_s

    async def list_tools(self, target: McpTarget) -> Listing:
        """All usable tools, in bounds. Raises Unauthorized or McpCallFailed."""
        return await self._run(target, read_listing, self._list_timeout_s, repeatable=True)

    async def call_tool(
        self, target: McpTarget, call: McpToolCall, context: CallContext
    ) -> ToolResult | NeedsInput | TaskUnderWay:
        """Call a tool. Raises Unauthorized; every other failure is an error result.

        Cancelling the waiting task cancels the call at the server.
        """
        started = time.monotonic()
        host = urlsplit(target.url).hostname if target.url else "stdio"
        record: dict[str, Any] = {"kind": "mcp", "target": host}
        try:
            exchange = ToolExchange((target.key[0], call.server), call.tool, call.arguments, context)
            result = await self._exchange(target, exchange, call)
            record.update(latency_ms=_ms(started))
            return _outcome(exchange, result, call, record)
        except (McpCallFailed, CannotGoOn) as failure:
            status = failure.status if isinstance(failure, McpCallFailed) else "cannot_go_on"
            record.update(status=status, latency_ms=_ms(started))
            return error_result(f"The tool {call.tool} failed: {failure}", record)

    async def run(
        self, target: McpTarget, work: Callable[[InteractiveClient], Awaitable[T]], *, repeatable: bool
    ) -> T:
        """Anything else that a server is asked for. Raises Unauthorized or McpCallFailed."""
        return await self._run(target, work, self._list_timeout_s, repeatable=repeatable)

    async def _exchange(
        self, target: McpTarget, exchange: ToolExchange, call: McpToolCall
    ) -> mcp_types.Result | UrlRequired:
        """All rounds that ask the end user for nothing. Raises Unauthorized, McpCallFailed, CannotGoOn."""
        timeout_s = call.timeout_s or self._call_timeout_s
        while True:
            result = await self._run(
                target,
                lambda client: exchange.send(client, timeout_s),
                timeout_s,
                repeatable=call.retry_safe,
                stopwatch=exchange.stopwatch,
            )
            if not isinstance(result, mcp_types.InputRequiredResult):
                return result
            if not await exchange.next_round(result, sampling=target.sampling):
                return result

    async def _run(
        self,
        target: McpTarget,
        work: Callable[[InteractiveClient], Awaitable[T]],
        timeout_s: float,
        *,
        repeatable: bool,
        stopwatch: Stopwatch | None = None,
    ) -> T:
        """Run on the kept connection; once more on a fresh one if the first certainly did nothing. While the
        ``stopwatch`` stands still, so does the time that this may take."""
        progressed, stopwatch = _Progressed(), stopwatch or Stopwatch()
        try:
            async with asyncio.timeout(timeout_s + GRACE_S) as limit:
                with stopwatch.running(limit):
                    try:
                        return await self._attempt(target, work, progressed, repeatable=repeatable)
                    except _Stale:
                        return await self._attempt(target, work, progressed, repeatable=repeatable, last=True)
        except TimeoutError:
            raise _timed_out(progressed.sent and not repeatable) from None

    async def _attempt(
        self,
        target: McpTarget,
        work: Callable[[InteractiveClient], Awaitable[T]],
        progressed: _Progressed,
        *,
        repeatable: bool,
        last: bool = False,
    ) -> T:
        trace = HttpTrace()
        token = TRACE.set(trace)
        connection: McpConnection | None = None
        try:
            async with self._pool.lend(target) as connection:
                client = await connection.client(target.headers)
                progressed.sent, reused = True, connection.calls > 0
                modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
                connection.calls += 1
                return await work(client)
        except McpUnavailable as unavailable:
            if unavailable.unauthorized:
                raise Unauthorized from None
            raise McpCallFailed("its server cannot be reached", status="unreachable") from None
        except MCPError as error:
            assert connection is not None
            if trace.unauthorized:
                raise Unauthorized from None
            refused = reused and bool(_FORGOTTEN[modern] & set(trace.statuses))
            closed = error.code == mcp_types.CONNECTION_CLOSED and not trace.statuses
            timed_out = error.code == mcp_types.REQUEST_TIMEOUT and not trace.errors
            if refused or closed or timed_out or trace.errors:
                self._pool.retire(connection)
            nothing_done = refused or trace.never_sent
            if not last and (nothing_done or (repeatable and (closed or trace.errors))):
                raise _Stale from None
            raise _classified(
                error, trace, unknown=not repeatable and (closed or bool(trace.errors))
            ) from None
        except (TimeoutError, asyncio.CancelledError):
            if connection is not None:
                self._pool.retire(connection)  # whether the server still listens is not known either
            raise
        except Exception as error:
            if trace.unauthorized:
                raise Unauthorized from None
            raise McpCallFailed(
                f"its server sent something unusable ({type(error).__name__})", status="protocol_error"
            ) from None
        finally:
            TRACE.reset(token)


def _outcome(
    exchange: ToolExchange, result: mcp_types.Result | UrlRequired, call: McpToolCall, record: dict[str, Any]
) -> ToolResult | NeedsInput | TaskUnderWay:
    """Raises CannotGoOn."""
    if isinstance(result, UrlRequired):
        return exchange.needs_url(result, {**record, "status": "input_required"})
    if isinstance(result, mcp_types.InputRequiredResult):
        return exchange.needs_input(result, {**record, "status": "input_required"})
    if isinstance(result, TaskCreated):
        return exchange.task(result, {**record, "status": "task"}, whole=call.whole)
    assert isinstance(result, mcp_types.CallToolResult)
    status = "tool_error" if result.is_error else "ok"
    return to_result(result, {**record, "status": status}, whole=call.whole)


def _classified(error: MCPError, trace: HttpTrace, *, unknown: bool) -> McpCallFailed:
    if trace.too_large:
        return McpCallFailed("its answer is too large; ask it for less at a time", status="too_large")
    if trace.never_sent:
        return McpCallFailed("its server cannot be reached", status="unreachable")
    if trace.errors or error.code == mcp_types.CONNECTION_CLOSED:
        told = f" {UNKNOWN_OUTCOME}" if unknown else ""
        return McpCallFailed(f"its server broke off the connection.{told}", status="broke_off")
    if error.code == mcp_types.REQUEST_TIMEOUT:
        return _timed_out(unknown=True)
    failed = [status for status in trace.statuses if status >= 400]
    if failed and error.message in {"Server returned an error response", "Not Found", "Session terminated"}:
        return McpCallFailed(f"its server answered with status {failed[-1]}", status=str(failed[-1]))
    return McpCallFailed(error.message[:MAX_MESSAGE_CHARS], status="rpc_error")


def _timed_out(unknown: bool) -> McpCallFailed:
    told = f". {UNKNOWN_OUTCOME}" if unknown else ""
    return McpCallFailed(f"its server did not answer in time{told}", status="timeout")


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
