"""The broker: which tools there are for whom, and calling them as the right end user."""

import logging
import time
from collections.abc import Mapping

from broker.calls import (
    NeedsConnection,
    ToolCall,
    ToolResult,
    ToolScope,
    ToolSelection,
    error_result,
)
from broker.mcp_call import CALL_TIMEOUT_S, McpCaller, McpCallFailed, Unauthorized
from broker.mcp_pool import McpPool, McpTarget, StdioServer
from broker.models import McpServer
from broker.registry import ToolRegistry
from broker.schema import ArgumentValidator
from broker.servers import McpServers, connector_of
from broker.toolset import BoundTool, Toolset
from broker.webhook import WebhookDispatcher
from connectors.connect import ConnectSessions
from connectors.connections import ConnectionRequired, Connections
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, InvalidRequest
from kit.outbound import OutboundPolicy
from vault.store import Vault

logger = logging.getLogger("heddle.broker")


class Broker:
    def __init__(
        self,
        *,
        db: Database,
        vault: Vault,
        connections: Connections,
        connect_sessions: ConnectSessions,
        clock: Clock,
        policy: OutboundPolicy,
        operator_servers: Mapping[str, StdioServer],
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._pool = McpPool(policy)
        self._caller = McpCaller(self._pool, call_timeout_s=call_timeout_s)
        self._connect_sessions = connect_sessions
        self._operator_servers = dict(operator_servers)
        self._validator = ArgumentValidator()
        self.policy = policy
        self.registry = ToolRegistry(db, vault, clock)
        self.servers = McpServers(db, vault, clock, connections, self._caller)
        self.webhooks = WebhookDispatcher(policy, clock)

    async def start(self) -> None:
        self._pool.start()

    async def close(self) -> None:
        await self._pool.close()
        await self.webhooks.close()

    # --- resolving --------------------------------------------------------------------------------

    async def toolset(self, scope: ToolScope, selection: ToolSelection) -> Toolset:
        """The tools of a turn.

        Raises InvalidRequest naming a tool that is not there, or (``end_user_required``) a tool that acts
        as an end user where there is none. With ``tenant``, servers that cannot be used are left out.
        """
        if selection.mode == "none":
            return Toolset()
        webhooks = await self.registry.all(scope.account_id)
        servers = await self.servers.all(scope.account_id)
        bound: list[BoundTool] = []
        required: list[NeedsConnection] = []
        if selection.mode == "tenant":
            bound += [BoundTool.of_webhook(tool) for tool in webhooks]
            for server in servers:
                if scope.end_user_id is None and server.auth_mode == "per_user":
                    continue
                if server.discovered_at is not None:
                    bound += await self._server_tools(scope, server, None, required)
            for name in self._operator_servers:
                bound += await self._operator_tools(name)
            return Toolset.build(bound, ())
        for wanted in selection.tools:
            tool = next((tool for tool in webhooks if wanted in {tool.id, tool.name}), None)
            if tool is not None:
                bound.append(BoundTool.of_webhook(tool))
                continue
            server_name, _, tool_name = wanted.partition("/")
            found = next((row for row in servers if server_name in {row.id, row.name}), None)
            if found is not None:
                bound += await self._server_tools(scope, found, tool_name or None, required)
            elif server_name in self._operator_servers:
                listed = await self._operator_tools(server_name)
                bound += [t for t in listed if not tool_name or t.mcp_name == tool_name] or [_unknown(wanted)]
            else:
                _unknown(wanted)
        return Toolset.build(bound, _once_each(required))

    async def _server_tools(
        self, scope: ToolScope, server: McpServer, only: str | None, required: list[NeedsConnection]
    ) -> list[BoundTool]:
        if server.auth_mode == "per_user" and scope.end_user_id is None:
            await self.servers.bearer(server, scope)  # raises end_user_required
        if server.discovered_at is None:
            try:
                await self.servers.discover_for(server, scope)
            except ConnectionRequired:
                required.append(await self._connect_link(server, scope))
                return []
        tools = await self.servers.tools(server)
        bound = [BoundTool.of_server(server, tool) for tool in tools if only in {None, tool.name}]
        if only is not None and not bound:
            _unknown(f"{server.name}/{only}")
        return bound

    async def _operator_tools(self, name: str) -> list[BoundTool]:
        target = McpTarget(key=(f"operator:{name}", ""), stdio=self._operator_servers[name])
        try:
            listed = await self._caller.list_tools(target)
        except (McpCallFailed, Unauthorized) as failure:
            logger.warning("the operator's MCP server %s cannot be used: %s", name, failure)
            return []
        return [
            BoundTool(
                f"{name}/{tool.name}",
                tool.description,
                tool.input_schema,
                tool.retry_safe,
                operator_target=target,
                mcp_name=tool.name,
            )
            for tool in listed
        ]

    # --- calling ----------------------------------------------------------------------------------

    async def dispatch(
        self, scope: ToolScope, toolset: Toolset, call: ToolCall
    ) -> ToolResult | NeedsConnection:
        """Call a tool. A tool's own failure is an error result that the model can act on."""
        started = time.monotonic()
        tool = toolset.find(call.name)
        if tool is None:
            known = ", ".join(sorted(toolset.tools)) or "none"
            return error_result(f"There is no tool named {call.name}. The tools are: {known}.")
        problems = self._validator.problems(tool.input_schema, call.input)
        if problems:
            listed = "; ".join(problems)
            return error_result(
                f"The arguments do not fit the tool's schema: {listed}. Correct them and call again.",
                {"kind": "validation", "target": tool.display_name, "status": "invalid_arguments"},
            )
        try:
            return await self._dispatch(scope, tool, call)
        except ConnectionRequired:
            assert tool.server is not None
            return await self._connect_link(tool.server, scope)
        except HeddleError as error:
            record = {"target": tool.display_name, "status": error.code}
            record["latency_ms"] = str(round((time.monotonic() - started) * 1000))
            return error_result(f"The tool {tool.display_name} failed: {error.message}", record)

    async def _dispatch(self, scope: ToolScope, tool: BoundTool, call: ToolCall) -> ToolResult:
        if tool.webhook is not None:
            return await self.webhooks.call(await self.registry.target(tool.webhook), scope, call)
        if tool.operator_target is not None:
            return await self._caller.call_tool(
                tool.operator_target, tool.mcp_name, call.input, retry_safe=tool.retry_safe
            )
        assert tool.server is not None
        bearer = await self.servers.bearer(tool.server, scope)
        try:
            try:
                return await self._caller.call_tool(
                    bearer.target, tool.mcp_name, call.input, retry_safe=tool.retry_safe
                )
            except Unauthorized:
                bearer = await self.servers.renewed(tool.server, scope, bearer)
                return await self._caller.call_tool(
                    bearer.target, tool.mcp_name, call.input, retry_safe=tool.retry_safe
                )
        except Unauthorized:
            raise self.servers.refused(tool.server, scope) from None

    async def _connect_link(self, server: McpServer, scope: ToolScope) -> NeedsConnection:
        assert scope.end_user_id is not None
        connector = connector_of(server)
        link = await self._connect_sessions.create(scope.account_id, connector, scope.end_user_id)
        return NeedsConnection(connector, server.name, link.connect_url, link.expires_at)


def _unknown(name: str) -> BoundTool:
    raise InvalidRequest(f"tools: there is no tool {name}", code="unknown_tool", param="tools")


def _once_each(required: list[NeedsConnection]) -> tuple[NeedsConnection, ...]:
    return tuple({need.connector: need for need in required}.values())
