"""The broker: which tools there are for whom, and calling them as the right end user."""

import logging
import time
from collections.abc import Mapping

from broker.calls import (
    Ask,
    NeedsConnection,
    Outcome,
    Progress,
    Resume,
    Sample,
    TaskUnderWay,
    ToolCall,
    ToolResult,
    ToolScope,
    ToolSelection,
    error_result,
)
from broker.interfaces import Interfaces
from broker.mcp_call import CALL_TIMEOUT_S, McpCaller
from broker.mcp_connection import StdioServer
from broker.mcp_pool import McpPool
from broker.metering import Payment, PriceOf, ToolMeter
from broker.operator_servers import OperatorServers
from broker.registry import ToolRegistry
from broker.resolver import ToolResolver
from broker.schema import ArgumentValidator
from broker.server_store import ServerStore
from broker.servers import McpServers
from broker.task_calls import TaskCalls
from broker.tool import BoundTool, CallContext
from broker.toolset import Toolset
from broker.webhook import WebhookDispatcher
from broker.webhook_tools import WebhookTools
from connectors.connect import ConnectSessions
from connectors.credentials import ConnectionRequired, Credentials
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError
from kit.outbound import OutboundPolicy
from vault.store import SecretNotFound, SecretTampered, Vault

logger = logging.getLogger("heddle.broker")


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
        self._meter = meter
        priced = meter.names if meter is not None else frozenset[str]()
        self._operator = OperatorServers(operator_servers, self._caller, priced=priced)
        self._validator = ArgumentValidator()
        self.policy = policy
        self.clock = clock
        self.registry = ToolRegistry(db, vault, clock, self._operator.names)
        store = ServerStore(db, vault, clock, self._operator.names)
        self.servers = McpServers(store, credentials, self._pool, self._caller)
        self.interfaces = Interfaces(self.servers, self._caller)
        self._tasks = TaskCalls(self.servers, self._caller)
        self.webhooks = WebhookDispatcher(policy, clock)
        kinds = {"webhook": WebhookTools(self.registry, self.webhooks)}
        self._resolver = ToolResolver(self.registry, kinds, self.servers, self._operator, connect_sessions)

    async def start(self) -> None:
        self._pool.start()

    async def close(self) -> None:
        await self._pool.close()
        await self.webhooks.close()

    async def toolset(self, scope: ToolScope, selection: ToolSelection) -> Toolset:
        """The tools of a turn; raises as ``ToolResolver.toolset``."""
        return await self._resolver.toolset(scope, selection)

    async def operator_tools(self) -> dict[str, list[BoundTool]]:
        """The tools of each of the operator's servers; none of one that cannot be asked at the moment."""
        return await self._resolver.operator_tools()

    async def prices(self, account_id: str) -> PriceOf:
        """What an account pays for a call of each of the operator's tools."""
        return _nothing if self._meter is None else await self._meter.prices(account_id)

    async def dispatch(
        self,
        scope: ToolScope,
        toolset: Toolset,
        call: ToolCall,
        payment: Payment,
        *,
        on_progress: Progress | None = None,
        ask: Ask | None = None,
        sample: Sample | None = None,
        resume: Resume | None = None,
    ) -> Outcome:
        """Call a tool, or go on with a call (``resume``). A tool's own failure is an error result that the
        model can act on.

        A price is set aside before: if there is a ``payment.charge`` in the end, whatever that end is, the
        caller must end the charge. Raises PaymentRequired, RateLimited or PermissionDenied, and then nothing
        was called.
        """
        tool = toolset.find(call.name)
        if tool is None and call.name in toolset.withheld:
            kept_back = toolset.withheld[call.name]
            return error_result(
                f"The tool {kept_back.display_name} cannot be used: {kept_back.withheld}.",
                {"target": kept_back.display_name, "status": "tool_changed"},
            )
        if tool is None:
            known = ", ".join(sorted(toolset.tools)) or "none"
            return error_result(f"There is no tool named {call.name}. The tools are: {known}.")
        invalid = self.check_arguments(tool.display_name, tool.input_schema, call)
        if invalid is not None:
            return invalid
        if self._meter is not None and tool.is_operators:
            await self._meter.admit(scope, tool.display_name, payment)
        assert tool.callee is not None, "a caller's own tool is not dispatched"
        started = time.monotonic()
        try:
            return await tool.callee.call(call, CallContext(scope, payment, on_progress, ask, sample, resume))
        except ConnectionRequired as need:
            provider = tool.display_name.partition("/")[0]
            try:
                return await self._resolver.connect_link(scope, need.connector, provider)
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
    ) -> tuple[Outcome, int | None]:
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

    async def connect_link(self, scope: ToolScope, need: ConnectionRequired) -> NeedsConnection:
        """A link by which the scope's end user connects what is needed. Raises InvalidRequest, NotFound."""
        return await self._resolver.connect_link(scope, need.connector, need.connector)

    async def poll_task(self, scope: ToolScope, resume: Resume) -> ToolResult | TaskUnderWay:
        """How far a call is that has become a task; answers are sent to its server. Fails only by results."""
        return await self._tasks.poll(scope, resume)

    async def give_up_task(self, scope: ToolScope, state: dict[str, object]) -> None:
        """Tell a task's server, if it can be reached, that nobody waits for it any more."""
        await self._tasks.give_up(scope, state)

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


def _nothing(_tool: str) -> int | None:
    return None


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
