"""The broker: which tools there are for whom, and calling them as the right end user."""

import asyncio
import logging
import time
from collections.abc import Mapping

from broker.calls import (
    AnswersLater,
    NeedsConnection,
    Progress,
    ToolCall,
    ToolResult,
    ToolScope,
    ToolSelection,
    error_result,
)
from broker.mcp_call import CALL_TIMEOUT_S, McpCaller, Unauthorized
from broker.mcp_connection import StdioServer
from broker.mcp_pool import McpPool
from broker.metering import Payment, PriceOf, ToolMeter
from broker.models import McpServer, Tool
from broker.operator_servers import OperatorServers
from broker.registry import ToolRegistry
from broker.schema import ArgumentValidator
from broker.server_store import PER_USER, ServerStore
from broker.servers import McpServers, connector_of
from broker.toolset import BoundTool, Toolset
from broker.webhook import WebhookDispatcher
from connectors.connect import ConnectSessions
from connectors.credentials import ConnectionRequired, Credentials
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, InvalidRequest
from kit.outbound import OutboundPolicy
from vault.store import SecretNotFound, SecretTampered, Vault

logger = logging.getLogger("heddle.broker")

DISCOVERY_WAIT_S = 5.0


class Broker:
    def __init__(
        self,
        *,
        db: Database,
        vault: Vault,
        credentials: Credentials,
        connect_sessions: ConnectSessions,
        clock: Clock,
        policy: OutboundPolicy,
        operator_servers: Mapping[str, StdioServer],
        meter: ToolMeter | None = None,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """Without a ``meter`` no tool costs anything."""
        self._pool = McpPool(policy)
        self._caller = McpCaller(self._pool, call_timeout_s=call_timeout_s)
        self._connect_sessions = connect_sessions
        self._meter = meter
        priced = meter.names if meter is not None else frozenset[str]()
        self._operator = OperatorServers(operator_servers, self._caller, priced=priced)
        self._validator = ArgumentValidator()
        self.policy = policy
        self.clock = clock
        self.registry = ToolRegistry(db, vault, clock, self._operator.names)
        store = ServerStore(db, vault, clock, self._operator.names)
        self.servers = McpServers(store, credentials, self._pool, self._caller)
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
        as an end user where there is none; UpstreamFailed if a named server cannot be asked for its tools.
        With ``tenant``, servers that cannot be used are left out.
        """
        if selection.mode == "none":
            return Toolset()
        webhooks = await self.registry.all(scope.account_id)
        servers = await self.servers.store.all(scope.account_id)
        if selection.mode == "tenant":
            return Toolset.build(await self._all_tools(scope, webhooks, servers))
        bound: list[BoundTool] = []
        required: dict[str, NeedsConnection] = {}
        for wanted in selection.tools:
            tool = next((tool for tool in webhooks if wanted in {tool.id, tool.name}), None)
            if tool is not None:
                bound.append(BoundTool.of_webhook(tool))
                continue
            server_name, _, tool_name = wanted.partition("/")
            server = next((row for row in servers if server_name in {row.id, row.name}), None)
            if server is None and server_name not in self._operator.names:
                raise _unknown(wanted)
            try:
                tools = await self._named_tools(scope, server_name, server)
            except ConnectionRequired as need:
                assert server is not None
                required[need.connector] = await self._connect_link(server, scope)
                continue
            chosen = [
                tool for tool in tools if not tool_name or tool.display_name.partition("/")[2] == tool_name
            ]
            if not chosen and tool_name:
                raise _unknown(wanted)
            bound += chosen
        return Toolset.build(bound, tuple(required.values()))

    async def _all_tools(
        self, scope: ToolScope, webhooks: list[Tool], servers: list[McpServer]
    ) -> list[BoundTool]:
        bound = [BoundTool.of_webhook(tool) for tool in webhooks]
        for server in servers:
            if scope.end_user_id is None and server.auth_mode == PER_USER:
                continue
            try:
                async with asyncio.timeout(DISCOVERY_WAIT_S):
                    bound += await self._server_tools(scope, server)
            except (HeddleError, TimeoutError) as problem:
                logger.info("MCP server %s is left out of a turn: %s", server.id, type(problem).__name__)
        own = {server.name for server in servers}
        for name in sorted(self._operator.names - own):
            try:
                bound += await self._operator.tools(name)
            except HeddleError:
                continue  # logged where it happened
        return bound

    async def _named_tools(self, scope: ToolScope, name: str, server: McpServer | None) -> list[BoundTool]:
        if server is not None:
            return await self._server_tools(scope, server)
        return await self._operator.tools(name)

    async def _server_tools(self, scope: ToolScope, server: McpServer) -> list[BoundTool]:
        """Discovers them if no end user has connected before. Raises ConnectionRequired."""
        self.servers.require_end_user(server, scope)
        if server.discovered_at is None:
            await self.servers.refresh(server, scope)
        return [BoundTool.of_server(server, tool) for tool in await self.servers.tools(server)]

    async def operator_tools(self) -> dict[str, list[BoundTool]]:
        """The tools of each of the operator's servers; none of one that cannot be asked at the moment."""

        async def tools(name: str) -> list[BoundTool]:
            try:
                async with asyncio.timeout(DISCOVERY_WAIT_S):
                    return await self._operator.tools(name)
            except (HeddleError, TimeoutError):
                return []  # logged where it happened

        names = sorted(self._operator.names)
        return dict(zip(names, await asyncio.gather(*map(tools, names)), strict=True))

    async def prices(self, account_id: str) -> PriceOf:
        """What an account pays for a call of each of the operator's tools."""
        return _nothing if self._meter is None else await self._meter.prices(account_id)

    # --- calling ----------------------------------------------------------------------------------

    async def dispatch(
        self,
        scope: ToolScope,
        toolset: Toolset,
        call: ToolCall,
        payment: Payment,
        *,
        on_progress: Progress | None = None,
    ) -> ToolResult | NeedsConnection | AnswersLater:
        """Call a tool. A tool's own failure is an error result that the model can act on.

        A price is set aside before: if there is a ``payment.charge`` in the end, whatever that end is, the
        caller must end the charge. Raises PaymentRequired, RateLimited or PermissionDenied, and then nothing
        was called.
        """
        tool = toolset.find(call.name)
        if tool is None:
            known = ", ".join(sorted(toolset.tools)) or "none"
            return error_result(f"There is no tool named {call.name}. The tools are: {known}.")
        invalid = self.check_arguments(tool.display_name, tool.input_schema, call)
        if invalid is not None:
            return invalid
        if self._meter is not None and tool.is_operators:
            await self._meter.admit(scope, tool.display_name, payment)
        started = time.monotonic()
        try:
            return await self._dispatch(scope, tool, call, on_progress)
        except ConnectionRequired:
            assert tool.server is not None
            try:
                return await self._connect_link(tool.server, scope)
            except HeddleError as error:
                code, message = error.code, error.message
        except HeddleError as error:
            code, message = error.code, error.message
        except SecretNotFound:
            code, message = "gone", "it was deleted meanwhile"
        except SecretTampered:
            logger.error(
                "a secret of tool %s of account %s does not open", tool.display_name, scope.account_id
            )
            code, message = "secret_unusable", "its stored credentials cannot be opened"
        record = {"target": tool.display_name, "status": code, "latency_ms": _ms(started)}
        return error_result(f"The tool {tool.display_name} failed: {message}", record)

    async def call(
        self, scope: ToolScope, toolset: Toolset, call: ToolCall, payment: Payment
    ) -> tuple[ToolResult | NeedsConnection | AnswersLater, int | None]:
        """Dispatch one call and settle it; with what it cost in nano-USD, None if it has no price."""
        try:
            result = await self.dispatch(scope, toolset, call, payment)
        except BaseException:
            if payment.charge is not None:
                await payment.charge.cut_off(by_payer=False)
            raise
        if payment.charge is None:
            return result, None
        if not isinstance(result, ToolResult):
            return result, await payment.charge.cut_off(by_payer=False)
        return result, await payment.charge.settle(result)

    def check_arguments(self, name: str, schema: dict[str, object], call: ToolCall) -> ToolResult | None:
        """An error result that says how to mend the arguments, or None if they fit."""
        problems = self._validator.problems(schema, call.input)
        if not problems:
            return None
        listed = "; ".join(problems)
        return error_result(
            f"The arguments do not fit the tool's schema: {listed}. Correct them and call again.",
            {"kind": "validation", "target": name, "status": "invalid_arguments"},
        )

    async def _dispatch(
        self, scope: ToolScope, tool: BoundTool, call: ToolCall, on_progress: Progress | None
    ) -> ToolResult | AnswersLater:
        if tool.webhook is not None:
            return await self.webhooks.call(await self.registry.target(tool.webhook), scope, call)
        if tool.server is not None and tool.server_tool is not None:
            return await self.servers.call(tool.server, tool.server_tool, scope, call.input, on_progress)
        assert tool.operator_target is not None
        try:
            return await self._caller.call_tool(
                tool.operator_target,
                tool.mcp_name,
                call.input,
                retry_safe=tool.retry_safe,
                on_progress=on_progress,
            )
        except Unauthorized:  # cannot come from a process that is asked over its own pipes
            raise AssertionError("a stdio server has no HTTP status") from None

    async def _connect_link(self, server: McpServer, scope: ToolScope) -> NeedsConnection:
        assert scope.end_user_id is not None
        connector = connector_of(server)
        link = await self._connect_sessions.create(scope.account_id, connector, scope.end_user_id)
        return NeedsConnection(connector, server.name, link.connect_url, link.expires_at)


def _nothing(_tool: str) -> int | None:
    return None


def _unknown(name: str) -> InvalidRequest:
    return InvalidRequest(f"tools: there is no tool {name}", code="unknown_tool", param="tools")


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
