"""The broker: which tools there are for whom, and calling them as the right end user."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from broker.builtins.builtin import Services
from broker.builtins.images import ImageMaker
from broker.builtins.registration import BuiltinRegistration
from broker.builtins.store import KIND as BUILTIN
from broker.builtins.store import BuiltinStore
from broker.builtins.tools import BuiltinTools
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
from broker.dynamic.catalog_servers import PREFIX, CatalogServers
from broker.dynamic.lookup import Lookup
from broker.dynamic.manage import ManageConnections
from broker.dynamic.mode import DynamicMode
from broker.dynamic.multi_execute import MultiExecute
from broker.dynamic.offers import Offers
from broker.endpoints import EndpointLimits
from broker.interfaces import Interfaces
from broker.mcp_call import CALL_TIMEOUT_S, McpCaller
from broker.mcp_pool import McpPool
from broker.mcp_stdio import StdioServer
from broker.metering import Payment, PriceOf, ToolMeter
from broker.operator_servers import OperatorServers
from broker.registry import ToolRegistry
from broker.resolver import RegisteredKind, ToolResolver
from broker.result_review import ResultReview
from broker.schema import ArgumentValidator
from broker.server_store import ServerStore
from broker.servers import McpServers
from broker.task_calls import TaskCalls
from broker.tool import BoundTool, CallContext, Composite, InnerCalls
from broker.toolset import Toolset
from broker.webhook import WebhookDispatcher
from broker.webhook_targets import WebhookTargets
from broker.webhook_tools import WebhookTools
from connectors.connect import ConnectSessions
from connectors.credentials import ConnectionRequired, Credentials
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, PaymentRequired, RateLimited
from kit.outbound import OutboundPolicy
from kit.to_its_end import to_its_end
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
        images: ImageMaker | None = None,
        call_timeout_s: float = CALL_TIMEOUT_S,
        review: ResultReview | None = None,
        endpoint_limits: EndpointLimits | None = None,
    ) -> None:
        """Without a ``meter`` no tool costs anything; ``images`` draws for the built-in that does."""
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
        self.servers = McpServers(store, credentials, self._pool, self._caller, clock)
        self._pool.on_change(self._list_changed)
        self.interfaces = Interfaces(self.servers, self._caller)
        self._tasks = TaskCalls(self.servers, self._caller)
        self.webhook_targets = WebhookTargets(db, vault, clock, self.registry)
        self.webhooks = WebhookDispatcher(policy, clock, endpoint_limits)
        self.review = review or ResultReview()
        builtin_store = BuiltinStore(db, vault, clock, self._operator.names)
        self.builtins = BuiltinRegistration(builtin_store, credentials, policy)
        self._builtin_tools = BuiltinTools(builtin_store, credentials, Services(clock, policy, images))
        kinds: dict[str, RegisteredKind] = {
            "webhook": WebhookTools(self.webhook_targets, self.webhooks),
            BUILTIN: self._builtin_tools,
        }
        self._resolver = ToolResolver(self.registry, kinds, self.servers, self._operator, connect_sessions)
        connections = connect_sessions.connections
        self._catalog_servers = CatalogServers(connect_sessions.registry.catalog, self.servers)
        self._offers = Offers(self._resolver, self.registry, self.servers, self._catalog_servers, connections)
        lookup = Lookup(self._offers, self._resolver, self._catalog_servers)
        self.dynamic = DynamicMode(
            self._offers,
            lookup,
            MultiExecute(lookup, self),
            ManageConnections(self._offers, self, connect_sessions, connections),
        )

    async def start(self) -> None:
        self._pool.start()

    async def close(self) -> None:
        await self.dynamic.close()
        await self._offers.close()
        await self._catalog_servers.close()
        await self.servers.close()
        await self._pool.close()
        await self.webhooks.close()
        await self._builtin_tools.close()
        await self.review.close()

    async def toolset(self, scope: ToolScope, selection: ToolSelection) -> Toolset:
        """The tools of a turn; raises as ``ToolResolver.toolset``."""
        if selection.mode == "dynamic":
            return await self.dynamic.toolset(scope, selection)
        return await self._resolver.toolset(scope, selection)

    async def operator_tools(self) -> dict[str, list[BoundTool]]:
        """The tools of each of the operator's servers; none of one that cannot be asked at the moment."""
        return await self._resolver.operator_tools()

    def _list_changed(self, key: tuple[str, str]) -> None:
        self.servers.list_changed(*key)
        self._operator.list_changed(key[0])

    async def connect_link(self, scope: ToolScope, connector: str, display_name: str) -> NeedsConnection:
        """A link by which the scope's end user connects an account. Raises InvalidRequest, NotFound."""
        return await self._resolver.connect_link(scope, connector, display_name)

    async def reached_by(self, scope: ToolScope, toolset: Toolset, call: ToolCall) -> list[BoundTool]:
        """The tools that a call calls in its turn; none for one that does its work itself."""
        tool = toolset.find(call.name)
        if tool is None or not isinstance(tool.callee, Composite):
            return []
        return await tool.callee.reached_by(call, scope)

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
        inner: InnerCalls | None = None,
        ask: Ask | None = None,
        sample: Sample | None = None,
        resume: Resume | None = None,
    ) -> Outcome:
        """Call a tool, or go on with a call (``resume``). A tool's own failure is an error result that the
        model can act on.

        A price is set aside before: if there is a ``payment.charge`` in the end, whatever that end is, the
        caller must end the charge. ``inner`` keeps the results of calls within the call. Raises
        PaymentRequired, RateLimited or PermissionDenied, and then nothing was called.
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
        checked = self._validator.check(tool.input_schema, call.input)
        if checked.problems:
            return _invalid(tool.display_name, checked.problems)
        call = replace(call, input=checked.arguments)
        if self._meter is not None and tool.is_operators:
            await self._meter.admit(scope, tool.display_name, payment)
        assert tool.callee is not None, "a caller's own tool is not dispatched"
        started = time.monotonic()
        try:
            context = CallContext(scope, payment, on_progress, inner, ask, sample, resume)
            result = await tool.callee.call(call, context)
            if checked.mended:
                result = replace(result, record={**result.record, "mended_arguments": checked.mended})
            return await self._reviewed(scope, tool, call, result)
        except (PaymentRequired, RateLimited):  # of a built-in that spends by itself: nothing was done
            raise
        except ConnectionRequired as need:
            provider = tool.display_name.removeprefix(PREFIX).partition("/")[0]
            try:
                return await self._resolver.connect_link(scope, need.connector, provider, scopes=need.scopes)
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
        self,
        scope: ToolScope,
        toolset: Toolset,
        call: ToolCall,
        payment: Payment,
        *,
        on_progress: Progress | None = None,
        called_off: Callable[[], bool] = lambda: False,
    ) -> tuple[Outcome, int | None]:
        """Dispatch one call and settle it; with what it cost in nano-USD, None if it has no price.

        ``called_off``: whether it is the payer who has it cancelled, when its task is cancelled.
        """
        try:
            result = await self.dispatch(scope, toolset, call, payment, on_progress=on_progress)
        except BaseException as error:
            if payment.charge is not None:
                by_payer = isinstance(error, asyncio.CancelledError) and called_off()
                await to_its_end(payment.charge.cut_off(by_payer=by_payer))
            raise
        if payment.charge is None:
            return result, None
        if not isinstance(result, ToolResult):
            return result, await to_its_end(payment.charge.cut_off(by_payer=False))
        return result, await to_its_end(payment.charge.settle(result))

    async def poll_task(
        self, scope: ToolScope, tool_use_id: str, resume: Resume
    ) -> ToolResult | TaskUnderWay:
        """How far a call is that has become a task; answers are sent to its server. Fails only by results."""
        outcome = await self._tasks.poll(scope, resume)
        if isinstance(outcome, TaskUnderWay):
            return outcome
        server, tool = resume.state["server"], resume.state["tool"]
        trusted = await self.servers.trusts(scope.account_id, resume.state["server_id"], tool)
        return await self.review.reviewed(scope, tool_use_id, f"{server}/{tool}", outcome, trusted=trusted)

    async def give_up_task(self, scope: ToolScope, state: dict[str, object]) -> None:
        """Tell a task's server, if it can be reached, that nobody waits for it any more."""
        await self._tasks.give_up(scope, state)

    def check_arguments(
        self, name: str, schema: dict[str, object], call: ToolCall, *, mendable: bool = False
    ) -> ToolResult | None:
        """An error result that says how to correct the arguments, or None if they fit, or (``mendable``) will
        be made to fit by ``dispatch``."""
        validator = self._validator
        problems = (
            validator.check(schema, call.input).problems
            if mendable
            else validator.problems(schema, call.input)
        )
        return _invalid(name, problems) if problems else None

    async def _reviewed(self, scope: ToolScope, tool: BoundTool, call: ToolCall, result: Outcome) -> Outcome:
        if not isinstance(result, ToolResult):
            return result
        trusted = tool.trusted or (tool.is_operators and self.review.trusts(tool.display_name))
        return await self.review.reviewed(scope, call.tool_use_id, tool.display_name, result, trusted=trusted)


def _nothing(_tool: str) -> int | None:
    return None


def _invalid(name: str, problems: list[str]) -> ToolResult:
    listed = "; ".join(problems)
    return error_result(
        f"The arguments do not fit the tool's schema: {listed}. Correct them and call again.",
        {"kind": "validation", "target": name, "status": "invalid_arguments"},
    )


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
