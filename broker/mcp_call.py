"""Calls to MCP servers over the pool: list tools, call a tool, with every way to fail told apart."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import mcp_types
from mcp import MCPError
from mcp.client import Client

from broker.calls import ToolResult, error_result
from broker.mcp_pool import McpPool, McpTarget, McpUnavailable
from broker.mcp_results import to_result
from broker.mcp_transport import TRACE, HttpTrace

T = TypeVar("T")

CALL_TIMEOUT_S = 60.0
LIST_TIMEOUT_S = 20.0
MAX_TOOLS = 500
GRACE_S = 2.0


class Unauthorized(Exception):
    """The server answered 401 to the credential."""


class McpCallFailed(Exception):
    """A call that came to nothing; the message is fit for a model and a developer."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.message, self.status = message, status


@dataclass(frozen=True)
class ListedTool:
    """A tool as a server describes it."""

    name: str
    description: str
    input_schema: dict[str, Any]
    retry_safe: bool


class McpCaller:
    def __init__(self, pool: McpPool, *, call_timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._pool = pool
        self._call_timeout_s = call_timeout_s

    async def list_tools(self, target: McpTarget) -> list[ListedTool]:
        """All tools, at most 500 of them. Raises Unauthorized or McpCallFailed."""

        async def listing(client: Client) -> list[mcp_types.Tool]:
            tools: list[mcp_types.Tool] = []
            cursor: str | None = None
            while True:
                page = await client.list_tools(cursor=cursor)
                tools.extend(page.tools)
                cursor = page.next_cursor
                if not cursor or len(tools) >= MAX_TOOLS:
                    return tools[:MAX_TOOLS]

        listed = await self._run(target, listing, LIST_TIMEOUT_S, repeatable=True)
        return [_listed(tool) for tool in listed]

    async def call_tool(
        self, target: McpTarget, name: str, arguments: dict[str, Any], *, retry_safe: bool
    ) -> ToolResult:
        """Call a tool. Raises Unauthorized; every other failure is an error result."""
        started = time.monotonic()
        host = urlsplit(target.url).hostname if target.url else "stdio"
        record: dict[str, Any] = {"kind": "mcp", "target": host}

        async def calling(client: Client) -> mcp_types.CallToolResult:
            return await client.call_tool(name, arguments, read_timeout_seconds=self._call_timeout_s)

        try:
            result = await self._run(target, calling, self._call_timeout_s, repeatable=retry_safe)
        except McpCallFailed as failure:
            record.update(status=failure.status, latency_ms=_ms(started))
            return error_result(f"The tool {name} failed: {failure.message}", record)
        status = "tool_error" if result.is_error else "ok"
        record.update(status=status, latency_ms=_ms(started))
        return to_result(result, record)

    async def _run(
        self,
        target: McpTarget,
        work: Callable[[Client], Awaitable[T]],
        timeout_s: float,
        *,
        repeatable: bool,
    ) -> T:
        """Run on the kept connection; once more on a fresh one if the first certainly did nothing."""
        for last_try in (False, True):
            trace = HttpTrace()
            token = TRACE.set(trace)
            connection = self._pool.connection(target)
            connection.in_use += 1
            try:
                async with asyncio.timeout(timeout_s + GRACE_S):
                    client = await connection.client(target.headers)
                    return await work(client)
            except McpUnavailable as unavailable:
                await self._pool.drop(target, connection)
                if unavailable.unauthorized:
                    raise Unauthorized from None
                raise McpCallFailed("its server cannot be reached", status="unreachable") from None
            except TimeoutError:
                raise _timed_out(repeatable) from None
            except MCPError as error:
                if trace.unauthorized:
                    raise Unauthorized from None
                gone = 404 in trace.statuses or trace.never_sent or connection.dead
                if gone or trace.errors:
                    await self._pool.drop(target, connection)
                if (gone or (trace.errors and repeatable)) and not last_try:
                    continue
                raise _classified(error, trace, repeatable) from None
            except Exception as error:
                await self._pool.drop(target, connection)
                if trace.unauthorized:
                    raise Unauthorized from None
                raise McpCallFailed(
                    f"its server sent something unusable ({type(error).__name__})", status="protocol_error"
                ) from None
            finally:
                connection.in_use -= 1
                TRACE.reset(token)
        raise AssertionError("the second try returns or raises")


def _classified(error: MCPError, trace: HttpTrace, repeatable: bool) -> McpCallFailed:
    if trace.too_large:
        return McpCallFailed("its answer is too large; ask it for less at a time", status="too_large")
    if trace.never_sent:
        return McpCallFailed("its server cannot be reached", status="unreachable")
    if trace.errors:
        unknown = "" if repeatable else " Whether it took effect is not known."
        return McpCallFailed("its server broke off the connection." + unknown, status="broke_off")
    if error.code == mcp_types.REQUEST_TIMEOUT:
        return _timed_out(repeatable)
    failed = [status for status in trace.statuses if status >= 400]
    if failed:
        return McpCallFailed(f"its server answered with status {failed[-1]}", status=str(failed[-1]))
    return McpCallFailed(error.message[:1000], status="rpc_error")


def _timed_out(repeatable: bool) -> McpCallFailed:
    unknown = "" if repeatable else ". Whether it took effect is not known"
    return McpCallFailed(f"its server did not answer in time{unknown}", status="timeout")


def _listed(tool: mcp_types.Tool) -> ListedTool:
    hints = tool.annotations
    safe = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
    return ListedTool(tool.name, tool.description or "", dict(tool.input_schema), safe)


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
