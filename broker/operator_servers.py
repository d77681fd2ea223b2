"""The stdio MCP servers that the operator configured: tools for every account, without credentials."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from broker.calls import NeedsInput, TaskUnderWay, ToolCall, ToolResult
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_exchange import McpToolCall
from broker.mcp_failures import Denied, McpCallFailed
from broker.mcp_listing import ListedTool
from broker.mcp_stdio import StdioServer
from broker.tool import BoundTool, CallContext
from broker.trace_context import trace_of
from kit.errors import UpstreamUnavailable

logger = logging.getLogger("heddle.broker")

LISTED_FOR_S = 300.0
ASK_AGAIN_S = 15.0


class OperatorServers:
    """Lists each server's tools once in five minutes; a server that cannot be started is asked again."""

    def __init__(
        self, servers: Mapping[str, StdioServer], caller: McpCaller, *, priced: frozenset[str] = frozenset()
    ) -> None:
        """``priced``: the full names that have a price; one that its server does not list is logged."""
        self._targets = {
            name: McpTarget((f"operator:{name}", ""), stdio=server) for name, server in servers.items()
        }
        self._caller = caller
        self._priced = priced
        self._listed: dict[str, tuple[float, list[BoundTool]]] = {}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._targets)

    def list_changed(self, server_id: str) -> None:
        """A server says that its list changed; that is believed once in a while."""
        name = server_id.removeprefix("operator:")
        listed_at, tools = self._listed.get(name, (0.0, []))
        if tools and asyncio.get_running_loop().time() - listed_at > ASK_AGAIN_S:
            del self._listed[name]

    async def tools(self, name: str) -> list[BoundTool]:
        """The tools of one server. Raises UpstreamUnavailable."""
        now = asyncio.get_running_loop().time()
        listed_at, tools = self._listed.get(name, (0.0, []))
        if tools and now - listed_at < LISTED_FOR_S:
            return tools
        target = self._targets[name]
        try:
            listing = await self._caller.list_tools(target)
        except (McpCallFailed, Denied) as failure:
            logger.warning("the operator's MCP server %s cannot be used: %s", name, failure)
            raise UpstreamUnavailable(f"the MCP server {name} cannot be used at the moment") from None
        tools = [self._bind(name, target, tool) for tool in listing.tools]
        self._listed[name] = (now, tools)
        self._tell_of_unlisted(name, {tool.display_name for tool in tools})
        return tools

    def _bind(self, server_name: str, target: McpTarget, tool: ListedTool) -> BoundTool:
        return BoundTool(
            f"{server_name}/{tool.name}",
            tool.description,
            tool.input_schema,
            tool.retry_safe,
            _OperatorTool(self._caller, target, server_name, tool),
            server_names=frozenset({server_name}),
            is_operators=True,
            details=tool.details,
        )

    def _tell_of_unlisted(self, name: str, listed: set[str]) -> None:
        """A price under a name that is mistyped would leave a tool free by accident."""
        prices = {full for full in self._priced if full.partition("/")[0] == name} - {f"{name}/*"}
        for full in sorted(prices - listed):
            logger.warning("%s has a price, but the operator's MCP server %s lists no such tool", full, name)


@dataclass(frozen=True)
class _OperatorTool:
    caller: McpCaller
    target: McpTarget
    server: str
    tool: ListedTool

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | NeedsInput | TaskUnderWay:
        what = McpToolCall(
            self.server,
            self.tool.name,
            call.input,
            self.tool.retry_safe,
            input_schema=self.tool.input_schema,
            trace=trace_of(context.scope, call),
        )
        try:
            return await self.caller.call_tool(self.target, what, context)
        except Denied:  # cannot come from a process that is asked over its own pipes
            raise AssertionError("a stdio server has no HTTP status") from None
