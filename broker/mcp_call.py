"""Calls to MCP servers over the pool: list tools, call a tool, with every way to fail told apart."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import mcp_types
from mcp import MCPError

from broker.calls import NeedsInput, TaskUnderWay, ToolResult, error_result
from broker.mcp_connection import McpBusy, McpConnection, McpTarget, McpUnavailable
from broker.mcp_exchange import CannotGoOn, McpToolCall, ToolExchange, UrlRequired
from broker.mcp_failures import (
    InsufficientScope,
    McpCallFailed,
    Unauthorized,
    classified,
    denied,
    timed_out,
    unusable,
)
from broker.mcp_interaction import InteractiveClient
from broker.mcp_listing import BadListing, Listing, read_listing
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
_FORGOTTEN: dict[bool, set[int]] = {True: {404}, False: {400, 404}}
"""Statuses, by whether the revision is stateless, that a restarted server gives to a session it forgot.
(404 says the specification; several servers say 400.) The call was refused, so it may be sent again."""
_UNKNOWN_HERE = {400, 404, 405, 406, 415}
"""Statuses of a server that does not speak as it did when it was last asked; it did nothing."""


class _Stale(Exception):
    """The kept connection was of no use any more, and the call certainly did nothing or may be repeated."""


@dataclass
class _Progressed:
    """How far a call came before it failed: only a call that was sent can have an unknown outcome."""

    sent: bool = False
    answers_before: int = 0
    trace: HttpTrace = field(default_factory=HttpTrace)


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
        """All usable tools, in bounds. Raises Unauthorized, InsufficientScope or McpCallFailed."""
        progressed = _Progressed()
        return await self._run(target, read_listing, self._list_timeout_s, progressed, repeatable=True)

    async def call_tool(
        self, target: McpTarget, call: McpToolCall, context: CallContext
    ) -> ToolResult | NeedsInput | TaskUnderWay:
        """Call a tool. Raises Unauthorized and InsufficientScope; every other failure is an error result.

        Cancelling the waiting task cancels the call at the server.
        """
        started, progressed = time.monotonic(), _Progressed()
        host = urlsplit(target.url).hostname if target.url else "stdio"
        record: dict[str, Any] = {"kind": "mcp", "target": host}
        try:
            exchange = ToolExchange(target.key[0], call, context)
            result = await self._exchange(target, exchange, call, progressed)
            record.update(latency_ms=_ms(started))
            return _outcome(exchange, result, call, record)
        except (McpCallFailed, CannotGoOn) as failure:
            status = failure.status if isinstance(failure, McpCallFailed) else "cannot_go_on"
            record.update(status=status, latency_ms=_ms(started), bytes=progressed.trace.received)
            return error_result(f"The tool {call.tool} failed: {failure}", record)

    async def run(
        self, target: McpTarget, work: Callable[[InteractiveClient], Awaitable[T]], *, repeatable: bool
    ) -> T:
        """Anything else that a server is asked for. Raises Unauthorized, InsufficientScope, McpCallFailed."""
        return await self._run(target, work, self._list_timeout_s, _Progressed(), repeatable=repeatable)

    async def _exchange(
        self, target: McpTarget, exchange: ToolExchange, call: McpToolCall, progressed: _Progressed
    ) -> mcp_types.Result | UrlRequired:
        """All rounds that ask the end user for nothing. Raises as ``run``, CannotGoOn."""
        timeout_s = call.timeout_s or self._call_timeout_s
        while True:
            result = await self._run(
                target,
                lambda client: exchange.send(client, timeout_s),
                timeout_s,
                progressed,
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
        progressed: _Progressed,
        *,
        repeatable: bool,
        stopwatch: Stopwatch | None = None,
    ) -> T:
        """Run on the kept connection; once more on a fresh one if the first certainly did nothing. While the
        ``stopwatch`` stands still, so does the time that this may take."""
        stopwatch = stopwatch or Stopwatch()
        try:
            async with asyncio.timeout(timeout_s + GRACE_S) as limit:
                with stopwatch.running(limit):
                    try:
                        return await self._attempt(target, work, progressed, repeatable=repeatable)
                    except _Stale:
                        return await self._attempt(target, work, progressed, repeatable=repeatable, last=True)
        except TimeoutError:
            raise timed_out(unknown=progressed.sent and not repeatable) from None

    async def _attempt(
        self,
        target: McpTarget,
        work: Callable[[InteractiveClient], Awaitable[T]],
        progressed: _Progressed,
        *,
        repeatable: bool,
        last: bool = False,
    ) -> T:
        trace = progressed.trace = HttpTrace()
        token = TRACE.set(trace)
        connection: McpConnection | None = None
        try:
            async with self._pool.lend(target) as connection:
                client = await connection.client(target.headers)
                progressed.sent, connection.calls = True, connection.calls + 1
                progressed.answers_before = connection.answers
                result = await work(client)
                connection.answers += 1
                return result
        except McpUnavailable as unavailable:
            if unavailable.outdated and not last:
                raise _Stale from None
            raise _unavailable(unavailable) from None
        except MCPError as error:
            assert connection is not None
            raise self._judged(error, progressed, connection, repeatable=repeatable, last=last) from None
        except (TimeoutError, asyncio.CancelledError) as left:
            if connection is not None and not (
                connection.is_process and isinstance(left, asyncio.CancelledError)
            ):
                self._pool.retire(connection)  # whether the server still listens is not known either
            raise
        except Exception as error:
            what = str(error) if isinstance(error, BadListing) else type(error).__name__
            raise denied(trace) or unusable(what, unknown=not repeatable) from None
        finally:
            TRACE.reset(token)

    def _judged(
        self,
        error: MCPError,
        progressed: _Progressed,
        connection: McpConnection,
        *,
        repeatable: bool,
        last: bool,
    ) -> Exception:
        """What the failure of a call on an open connection means for it, and for the connection."""
        trace = progressed.trace
        refusal = denied(trace)
        if refusal is not None:
            return refusal
        outdated = self._speaks_otherwise(error, trace, connection)
        reused = connection.calls > 1
        refused = reused and bool(_FORGOTTEN[connection.is_modern] & set(trace.statuses))
        closed = error.code == mcp_types.CONNECTION_CLOSED and not trace.statuses
        hung = error.code == mcp_types.REQUEST_TIMEOUT and not trace.errors
        if connection.is_process and connection.answers > progressed.answers_before:
            hung = False  # it is only this call that takes long; the process is everybody's
        if closed:
            connection.broke_off = True
        if outdated or refused or closed or hung or trace.errors:
            self._pool.retire(connection)
        nothing_done = outdated or refused or trace.never_sent
        broke_off = error.code == mcp_types.CONNECTION_CLOSED or bool(trace.errors)
        if not last and (nothing_done or (repeatable and broke_off)):
            return _Stale()
        return classified(error, trace, unknown=not repeatable)

    def _speaks_otherwise(self, error: MCPError, trace: HttpTrace, connection: McpConnection) -> bool:
        """Whether the server refused the call for the revision it was made in, which is then asked again."""
        refused = error.code == mcp_types.UNSUPPORTED_PROTOCOL_VERSION
        of_this_call = error.code in {mcp_types.INVALID_PARAMS, mcp_types.HEADER_MISMATCH}
        refused |= connection.assumed and not of_this_call and bool(_UNKNOWN_HERE & set(trace.statuses))
        if refused:
            self._pool.forget_era(connection)
        return refused


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


def _unavailable(unavailable: McpUnavailable) -> Exception:
    if unavailable.unauthorized:
        return Unauthorized()
    if unavailable.missing_scopes is not None:
        return InsufficientScope(unavailable.missing_scopes)
    if isinstance(unavailable, McpBusy):
        return McpCallFailed(f"{unavailable}; try again later", status="busy")
    return McpCallFailed("its server cannot be reached", status="unreachable")


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
