"""The two steps of a turn: ask the model, run the tools. Each ends in one transaction of the journal."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from broker.broker import Broker
from broker.calls import NeedsConnection, ToolCall, ToolResult, ToolScope, error_result
from broker.metering import OpenCharge, Payment, Record, TurnBudget
from broker.toolset import Toolset
from kit.clock import Clock
from kit.crash_points import reach
from kit.errors import HeddleError, PaymentRequired
from threads.accumulate import MessageAccumulator, StreamOutOfOrder
from threads.context import build_context, tool_use_ids
from threads.events import EventHub, LiveTurn
from threads.journal import UNKNOWN_OUTCOME, Journal
from threads.lost import delivered_of
from threads.model_client import (
    CostRecorder,
    LeaseLost,
    ModelClient,
    ModelStep,
    ModelStream,
    ModelStreamBroke,
    StepCost,
)
from threads.models import Message, ToolCallRow, Turn

logger = logging.getLogger("heddle.threads")

MAX_CONCURRENT_CALLS = 16


@dataclass
class TurnRun:
    """A turn while this process works on it: its row, its history, its tools, its stream."""

    turn: Turn
    live: LiveTurn
    scope: ToolScope
    toolset: Toolset
    history: list[Message]
    calls: list[ToolCallRow]
    event_prefix: str
    cancelled_by_owner: Callable[[], bool]
    budget: TurnBudget | None = None

    def publish(self, event: str, /, **data: Any) -> None:
        """Publish one of our own events, e.g. ``qlaud.tool_dispatch_done``."""
        self.live.publish({"type": f"{self.event_prefix}.{event}", **data})

    def display_name(self, call: ToolCallRow) -> str:
        bound = self.toolset.find(call.name)
        return bound.display_name if bound is not None else call.name


class ModelStepRunner:
    """Sends the history to the model, shows its answer, and commits it with its settlement."""

    def __init__(self, journal: Journal, model: ModelClient, hub: EventHub) -> None:
        self._journal = journal
        self._model = model
        self._hub = hub

    async def settle_lost(self, run: TurnRun) -> None:
        """Pay for what earlier attempts had delivered of the step that is next, and died of; once, however
        often the turn changes hands."""
        turn, iteration = run.turn, run.turn.iteration + 1
        logged, record = await self._hub.log_before(turn.id, turn.attempt), self._cost_of(turn)
        for attempt in range(1, turn.attempt):
            delivered = delivered_of(logged.get(attempt, b""), iteration, run.event_prefix)
            step = await self._step(run, _request_id(turn, iteration, attempt))
            turn.cost_nanos += await self._model.settle_lost(step, delivered, record)
            reach("turn.lost.committed")

    async def run(self, run: TurnRun, *, on_open: Callable[[], None]) -> None:
        """``on_open`` is called once the provider has accepted; until then a refusal is an HTTP status.

        Raises HeddleError: what was delivered until then is billed.
        """
        turn, iteration = run.turn, run.turn.iteration + 1
        request_id = _request_id(turn, iteration)
        stream = await self._model.open(await self._step(run, request_id))
        reach("turn.step.opened")
        on_open()
        if iteration > 1:
            run.publish("iteration_start", iteration=iteration)
        accumulator = MessageAccumulator(tool_use_ids(run.history))
        try:
            last = await self._show(run, stream, accumulator)
            content = accumulator.content()
        except StreamOutOfOrder as error:
            turn.cost_nanos += await stream.abandon(self._cost_of(turn))
            raise ModelStreamBroke(f"the provider's stream made no sense: {error}") from None
        except BaseException:
            await asyncio.shield(self._abandon(turn, stream))
            raise

        def record(session: Session, cost: StepCost) -> tuple[Message, StepCost]:
            message = self._journal.record_step(
                session,
                turn,
                iteration=iteration,
                request_id=request_id,
                content=content,
                model=accumulator.model,
                stop_reason=accumulator.stop_reason,
                cost=cost,
            )
            return message, cost

        try:
            message, cost = await stream.commit(record)
        except LeaseLost:
            await self._abandon(turn, stream)  # delivered: paid unless whoever took over has paid it
            raise
        reach("turn.step.committed")
        turn.iteration, turn.last_seq = iteration, message.seq
        turn.cost_nanos += cost.nanos
        run.history.append(message)
        run.calls = await self._journal.calls_of(turn)
        if last is not None:
            run.live.publish(last)

    async def _show(
        self, run: TurnRun, stream: ModelStream, accumulator: MessageAccumulator
    ) -> dict[str, Any] | None:
        """Publish events as they come; the closing ``message_stop`` is held back until the commit."""
        async for event in stream.events():
            shown = accumulator.feed(event)
            if shown is None:
                continue
            if shown.get("type") == "message_stop":
                return shown
            run.live.publish(shown)
            reach("turn.step.shown")
        if not accumulator.complete:
            raise ModelStreamBroke("the provider broke off its answer")
        return None

    async def _abandon(self, turn: Turn, stream: ModelStream) -> None:
        try:
            turn.cost_nanos += await stream.abandon(self._cost_of(turn))
        except Exception:
            logger.exception("settling an abandoned step of %s failed", turn.id)

    def _cost_of(self, turn: Turn) -> CostRecorder:
        return lambda session, nanos: self._journal.record_cost(session, turn, nanos)

    async def _step(self, run: TurnRun, request_id: str) -> ModelStep:
        turn = run.turn
        body = {
            "max_tokens": await self._model.default_max_tokens(turn.account_id, turn.params["model"]),
            **turn.params,
            "messages": build_context(run.history),
        }
        if run.toolset.definitions:
            body["tools"] = run.toolset.definitions
        return ModelStep(
            request_id=request_id,
            account_id=turn.account_id,
            key_id=turn.key_id,
            end_user_id=turn.end_user_id,
            thread_id=turn.thread_id,
            turn_id=turn.id,
            body=body,
            allowed_models=tuple(turn.allowed_models) if turn.allowed_models is not None else None,
            budget_nanos=turn.max_cost_nanos,
            spent_nanos=turn.cost_nanos,
        )


class ToolStepRunner:
    """Runs an iteration's tool calls concurrently; each result is written when it arrives."""

    def __init__(self, journal: Journal, broker: Broker, clock: Clock) -> None:
        self._journal = journal
        self._broker = broker
        self._clock = clock

    async def run(self, run: TurnRun) -> list[tuple[ToolCallRow, NeedsConnection]]:
        """Returns the calls that wait for a connection; when none does, the results are in the thread."""
        limit = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        waiting: list[tuple[ToolCallRow, NeedsConnection]] = []

        async def one(call: ToolCallRow) -> None:
            async with limit:
                need = await self._call(run, call)
            if need is not None:
                waiting.append((call, need))

        async with asyncio.TaskGroup() as group:
            for call in run.calls:
                if call.status != "done":
                    group.create_task(one(call))
        if not waiting:
            message = await self._journal.append_results(run.turn, run.calls)
            run.history.append(message)
            run.calls = []
        return waiting

    async def _call(self, run: TurnRun, call: ToolCallRow) -> NeedsConnection | None:
        name = run.display_name(call)
        payment = Payment(_request_id(run.turn, call.id), run.turn.key_id, run.budget)
        if call.status == "running" and not self._retry_safe(run, call):
            await self._finish(run, call, name, error_result(UNKNOWN_OUTCOME), None)
            return None
        run.publish("tool_dispatch_start", iteration=call.iteration, tool_use_id=call.tool_use_id, name=name)
        await self._journal.change_call(run.turn, call, status="running")
        reach("turn.tool.started")
        request = ToolCall(
            tool_use_id=call.tool_use_id,
            name=call.name,
            input=call.input,
            iteration=call.iteration,
            created_at=call.created_at,
        )
        try:
            result = await self._dispatch(run, request, name, payment)
        except asyncio.CancelledError:
            if payment.charge is not None:
                await _to_its_end(self._cut_off(run, call, payment.charge))
            raise
        reach("turn.tool.answered")
        if isinstance(result, NeedsConnection):
            if payment.charge is not None:
                await payment.charge.cut_off(by_payer=False)
            await self._journal.change_call(run.turn, call, status="waiting")
            return result
        await _to_its_end(self._finish(run, call, name, result, payment.charge))
        return None

    async def _dispatch(
        self, run: TurnRun, request: ToolCall, name: str, payment: Payment
    ) -> ToolResult | NeedsConnection:
        """What the model is told, whatever happens; also of a price that is not covered."""
        try:
            return await self._broker.dispatch(run.scope, run.toolset, request, payment)
        except PaymentRequired as refusal:
            return error_result(
                f"The tool {name} was not called: it costs money, and this call is not covered "
                f"({refusal.code}).",
                {"target": name, "status": refusal.code},
            )
        except HeddleError as error:
            return error_result(error.message)
        except Exception:
            logger.exception("dispatching a call of turn %s failed", run.turn.id)
            return error_result("The tool could not be called because of a fault on our side.")

    async def _finish(
        self, run: TurnRun, call: ToolCallRow, name: str, result: ToolResult, charge: OpenCharge | None
    ) -> None:
        """Write the result, and charge for it in the same transaction. Raises LeaseLost, nothing charged."""
        changes: dict[str, Any] = {
            "status": "done",
            "output": result.output,
            "content": result.content,
            "is_error": result.is_error,
            "record": result.record,
            "finished_at": self._clock.now_ms(),
        }
        if charge is None:
            await self._journal.change_call(run.turn, call, **changes)
        else:
            await self._charge(run, call, changes, lambda record: charge.settle(result, record))
        reach("turn.tool.committed")
        run.publish(
            "tool_dispatch_done",
            iteration=call.iteration,
            tool_use_id=call.tool_use_id,
            name=name,
            is_error=result.is_error,
            output=result.output,
        )

    async def _charge(
        self,
        run: TurnRun,
        call: ToolCallRow,
        changes: dict[str, Any],
        end: Callable[[Record], Awaitable[int]],
    ) -> None:
        """End a charge together with what the call's row and its turn's say of it."""

        def record(session: Session, nanos: int) -> None:
            told = {**changes, "cost_nanos": nanos}
            self._journal.record_call(session, run.turn, call, told, nanos=nanos)

        cost = await end(record)
        run.turn.cost_nanos += cost
        for name, value in {**changes, "cost_nanos": cost}.items():
            setattr(call, name, value)

    async def _cut_off(self, run: TurnRun, call: ToolCallRow, charge: OpenCharge) -> None:
        """The turn stops while the call is under way: paid if its owner stopped it, else called again by
        whoever goes on with the turn."""
        if not run.cancelled_by_owner():
            await charge.cut_off(by_payer=False)
            return
        with suppress(LeaseLost):
            await self._charge(run, call, {}, lambda record: charge.cut_off(by_payer=True, record=record))

    @staticmethod
    def _retry_safe(run: TurnRun, call: ToolCallRow) -> bool:
        bound = run.toolset.find(call.name)
        return bound is not None and bound.retry_safe


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """What has happened is written although the turn may be cancelled meanwhile; that goes on afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _request_id(turn: Turn, step: int | str, attempt: int | None = None) -> str:
    """The settlement key of a model step (its iteration) or a tool call (its row's id), in this attempt at
    the turn unless another is named.

    What was cut off by a crash or a shutdown is a new call. It cannot be paid twice: a settlement and the
    rows that say it is done are one transaction, and only the attempt that holds the turn's lease writes it.
    """
    name, attempt = f"{turn.id}:{step}", attempt or turn.attempt
    return name if attempt == 1 else f"{name}:{attempt}"
