"""Making a batch of calls: each looked up, checked, paid for, approved of and kept like a call of its own.

Invariants:
- a call is dispatched only if ``InnerCalls.permitted`` says so at that moment;
- each call has a charge of its own, ``<charge of the batch>:<place>``, ended when the call's result is kept;
- after a crash, a call that was not kept and is not safe to repeat is not made again.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broker.calls import (
    AnswersLater,
    NeedsConnection,
    NeedsInput,
    Outcome,
    TaskUnderWay,
    ToolCall,
    ToolResult,
    ToolScope,
    error_result,
)
from broker.dynamic.calls import Asked, safe_name
from broker.dynamic.lookup import Found, Lookup, Missing
from broker.metering import OpenCharge, Payment
from broker.tool import BoundTool, CallContext, InnerCalls
from broker.toolset import Toolset
from kit.errors import HeddleError, PaymentRequired, RateLimited
from kit.money import micros
from kit.to_its_end import to_its_end

logger = logging.getLogger("heddle.broker")

UNKNOWN_OUTCOME = (
    "The outcome of this call is unknown: the server stopped while it was under way. "
    "It may or may not have taken effect; check before you repeat it."
)
ANSWERS_LATER = "The tool has taken the call and answers later, which cannot be waited for within a batch."
ASKS_FIRST = (
    "The tool asks the end user something first, which cannot be waited for within a batch. Call it alone."
)
NEEDS_APPROVAL = "The tool was not called: the call needs an approval. Make it again, and that is asked for."


@dataclass
class Unkept:
    """``InnerCalls`` of a request: nothing outlives it. ``cost_micros``: what each priced call cost."""

    kept: Mapping[int, ToolResult] = field(default_factory=dict)
    resumed: bool = False
    cost_micros: dict[int, int] = field(default_factory=dict)

    async def permitted(self, tool: BoundTool) -> bool:  # noqa: ARG002 - who has a key decides for itself
        return True

    async def keep(self, place: int, name: str, result: ToolResult, charge: OpenCharge | None) -> None:  # noqa: ARG002
        if charge is not None:
            self.cost_micros[place] = micros(await charge.settle(result))

    async def cut_off(self, charge: OpenCharge) -> None:
        await charge.cut_off(by_payer=False)


@dataclass(frozen=True)
class Batch:
    """Calls that are made together, and on whose behalf. ``call`` is the call that asks for them."""

    call: ToolCall
    asked: Sequence[Asked]
    context: CallContext
    only: frozenset[str]


class Dispatch(Protocol):
    """What of the broker a batch needs."""

    async def dispatch(
        self, scope: ToolScope, toolset: Toolset, call: ToolCall, payment: Payment
    ) -> Outcome: ...

    async def give_up_task(self, scope: ToolScope, state: dict[str, object]) -> None: ...

    async def connect_link(self, scope: ToolScope, connector: str, display_name: str) -> NeedsConnection: ...


class MultiExecute:
    def __init__(self, lookup: Lookup, dispatch: Dispatch) -> None:
        self._lookup = lookup
        self._dispatch = dispatch

    async def reached(
        self, scope: ToolScope, asked: Sequence[Asked], only: frozenset[str]
    ) -> list[BoundTool]:
        """The tools that a batch would call, as far as there are such now."""
        found = await self._lookup.find(scope, [one.name for one in asked], only)
        return [tools[0] for tools in found.values() if isinstance(tools, list) and len(tools) == 1]

    async def run(self, batch: Batch, inner: InnerCalls) -> dict[int, ToolResult]:
        """The results by their place; whatever a call comes to, the others go on. Raises what
        ``inner.keep`` raises: the batch stops then."""
        results = dict(inner.kept)
        scope = batch.context.scope
        found = await self._lookup.find(scope, [one.name for one in batch.asked], batch.only)

        async def one(place: int, asked: Asked) -> None:
            results[place] = await self._kept(batch, place, found[asked.name], inner)

        try:
            async with asyncio.TaskGroup() as group:
                for place, asked in enumerate(batch.asked):
                    if place not in results:
                        group.create_task(one(place, asked))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return results

    async def _kept(self, batch: Batch, place: int, found: Found, inner: InnerCalls) -> ToolResult:
        outer = batch.context.payment
        payment = Payment(f"{outer.charge_id}:{place}", outer.key_id, outer.budget, outer.is_request)
        try:
            result = await self._result(batch, place, found, inner, payment)
        except asyncio.CancelledError:
            if payment.charge is not None:
                await to_its_end(inner.cut_off(payment.charge))
            raise
        await to_its_end(inner.keep(place, batch.asked[place].name, result, payment.charge))
        return result

    async def _result(
        self, batch: Batch, place: int, found: Found, inner: InnerCalls, payment: Payment
    ) -> ToolResult:
        name = batch.asked[place].name
        if inner.resumed and not _repeatable(found):
            return error_result(UNKNOWN_OUTCOME, {"target": name, "status": "unknown"})
        if isinstance(found, Missing):
            return await self._not_there(batch.context.scope, name, found)
        if len(found) != 1:
            return error_result(f"{name} names {len(found)} tools; call one of them.", {"target": name})
        if not await inner.permitted(found[0]):
            return error_result(NEEDS_APPROVAL, {"target": name, "status": "needs_approval"})
        try:
            return await self._called(batch, place, found[0], payment)
        except (PaymentRequired, RateLimited) as refusal:
            return error_result(
                f"{name} was not called: it costs money, and this call is not covered ({refusal.code}).",
                {"target": name, "status": refusal.code},
            )
        except HeddleError as refusal:
            return error_result(f"{name}: {refusal.message}", {"target": name, "status": refusal.code})
        except Exception:
            logger.exception("a call of a batch failed")
            return error_result("The tool could not be called because of a fault on our side.")

    async def _called(self, batch: Batch, place: int, tool: BoundTool, payment: Payment) -> ToolResult:
        outer, asked = batch.call, batch.asked[place]
        name = safe_name(tool.display_name)
        call = ToolCall(
            f"{outer.tool_use_id}_{place}", name, asked.input, outer.created_at, iteration=outer.iteration
        )
        scope = batch.context.scope
        result = await self._dispatch.dispatch(scope, Toolset({name: tool}), call, payment)
        if isinstance(result, NeedsConnection):
            return connection_required(asked.name, result)
        if isinstance(result, TaskUnderWay):
            await self._dispatch.give_up_task(scope, result.state)
        if isinstance(result, TaskUnderWay | AnswersLater):
            return error_result(ANSWERS_LATER, {**result.record, "status": "answers_later"})
        if isinstance(result, NeedsInput):
            return error_result(ASKS_FIRST, {**result.record, "status": "input_required"})
        return result

    async def _not_there(self, scope: ToolScope, name: str, missing: Missing) -> ToolResult:
        if missing.connector is None or scope.end_user_id is None:
            return error_result(missing.message, {"target": name, "status": "unknown_tool"})
        try:
            link = await self._dispatch.connect_link(scope, missing.connector, missing.connector)
        except HeddleError as problem:
            return error_result(problem.message, {"target": name, "status": problem.code})
        return connection_required(name, link)


def connection_required(name: str, need: NeedsConnection) -> ToolResult:
    """The link is for the end user; it is in no record."""
    message = f"The end user must connect {need.display_name} first, by opening connect_url. Then call again."
    output = {
        "error": "connection_required",
        "message": message,
        "tool": name,
        "connect_url": need.connect_url,
        "expires_at": need.expires_at,
    }
    record = {"target": name, "status": "connection_required"}
    return ToolResult(output, [{"type": "text", "text": message}], True, record)


def _repeatable(found: Found) -> bool:
    return isinstance(found, list) and len(found) == 1 and found[0].retry_safe
