"""The model step of a turn: ask the model, show its answer. It ends in one transaction of the journal."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from broker.calls import ToolScope
from broker.metering import TurnBudget
from broker.toolset import Toolset
from kit.crash_points import reach
from kit.to_its_end import to_its_end
from threads.accumulate import MessageAccumulator, StreamOutOfOrder
from threads.context.repair import tool_use_ids
from threads.context.window import ContextWindow, TurnContext
from threads.events import EventHub
from threads.journal import Journal
from threads.live_turn import LastEvents, LiveTurn
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


@dataclass
class TurnRun:
    """A turn while this process works on it: its row, its history, its tools, its stream."""

    turn: Turn
    live: LiveTurn
    scope: ToolScope
    toolset: Toolset
    context: TurnContext
    calls: list[ToolCallRow]
    event_prefix: str
    woken: asyncio.Event
    """Set when somebody else has changed the turn's rows."""
    cancelled_by_owner: Callable[[], bool]
    budget: TurnBudget | None = None
    sampling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while an MCP server has a model called."""
    tools_outdated: bool = False
    """Whether a call has brought tools that are not in the toolset yet."""
    client_tools_until: float | None = None
    """Until when, by the loop's time, the turn waits here for tools that its caller runs."""

    @property
    def history(self) -> list[Message]:
        return self.context.history

    def publish(self, event: str, /, **data: Any) -> None:
        """Publish one of our own events, e.g. ``qlaud.tool_dispatch_done``."""
        self.live.publish({"type": f"{self.event_prefix}.{event}", **data})

    def call_event(self, event: str, call: ToolCallRow, **data: Any) -> dict[str, Any]:
        """One of our own events about a tool call."""
        named = {"iteration": call.iteration, "tool_use_id": call.tool_use_id}
        return {"type": f"{self.event_prefix}.{event}", **named, **data}

    def start_event(self, call: ToolCallRow, name: str) -> dict[str, Any]:
        bound = self.toolset.find(call.name)
        shown = bound.for_client if bound is not None else None
        more = {} if shown is None else {"mcp": shown}
        return self.call_event("tool_dispatch_start", call, name=name, **more)

    def display_name(self, call: ToolCallRow) -> str:
        bound = self.toolset.find(call.name)
        return bound.display_name if bound is not None else call.name


class ModelStepRunner:
    """Sends the history to the model, shows its answer, and commits it with its settlement."""

    def __init__(self, journal: Journal, model: ModelClient, window: ContextWindow, hub: EventHub) -> None:
        self._journal = journal
        self._model = model
        self._window = window
        self._hub = hub

    async def settle_lost(self, run: TurnRun) -> None:
        """Pay for what earlier attempts had delivered of the step that is next, and died of; once, however
        often the turn changes hands."""
        turn, iteration = run.turn, run.turn.iteration + 1
        attempts = range(turn.settled_attempts + 1, turn.attempt)
        if not attempts:
            return
        logged, record = await self._hub.log_before(turn.id, turn.attempt), self._cost_of(turn)
        for attempt in attempts:
            delivered = delivered_of(logged.get(attempt, b""), iteration, run.event_prefix)
            body = self._window.as_before(turn, run.context, run.toolset.definitions) if delivered else {}
            step = ModelStep.of(turn, request_id_of(turn, iteration, attempt), body)
            turn.cost_nanos += await self._model.settle_lost(step, delivered, record)
            reach("turn.lost.committed")

    async def run(self, run: TurnRun, *, on_open: Callable[[], None]) -> None:
        """``on_open`` is called once the provider has accepted; until then a refusal is an HTTP status.

        Raises HeddleError: what was delivered until then is billed.
        """
        turn, iteration = run.turn, run.turn.iteration + 1
        request_id = request_id_of(turn, iteration)
        prepared = await self._window.prepare(turn, run.context, run.toolset.definitions)
        stream = await self._model.open(ModelStep.of(turn, request_id, prepared.body), self._cost_of(turn))
        reach("turn.step.opened")
        on_open()
        if iteration > 1:
            run.publish("iteration_start", iteration=iteration)
        accumulator = MessageAccumulator(run.context.tool_ids | tool_use_ids(run.history))
        try:
            last = await self._show(run, stream, accumulator)
            content = accumulator.content()
        except StreamOutOfOrder as error:
            turn.cost_nanos += await stream.abandon(self._cost_of(turn))
            raise ModelStreamBroke(f"the provider's stream made no sense: {error}") from None
        except asyncio.CancelledError:
            kept = accumulator if run.cancelled_by_owner() else None
            await to_its_end(self._abandon(turn, stream, kept))
            raise
        except BaseException:
            await to_its_end(self._abandon(turn, stream, None))
            raise

        async def commit(told: LastEvents) -> tuple[Message, StepCost]:
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
                    cut=prepared.cut,
                    context=prepared.record,
                )
                told.log(session, last)
                return message, cost

            committed = await stream.commit(record)
            reach("turn.step.committed")
            return committed

        try:
            message, cost = await run.live.conclude(commit)
        except LeaseLost:
            await self._abandon(turn, stream, None)  # delivered: paid unless whoever took over has paid it
            raise
        turn.iteration, turn.last_seq = iteration, message.seq
        turn.cost_nanos += cost.nanos
        run.history.append(message)
        asked = any(block.get("type") == "tool_use" for block in content)
        run.calls = await self._journal.calls_of(turn) if asked else []

    async def _show(
        self, run: TurnRun, stream: ModelStream, accumulator: MessageAccumulator
    ) -> dict[str, Any]:
        """Publish events as they come; the closing ``message_stop`` is held back until the commit. Raises
        ModelStreamBroke if there is none."""
        async for event in stream.events():
            shown = accumulator.feed(event)
            if shown is None:
                continue
            if shown.get("type") == "message_stop":
                return shown
            run.live.publish(shown)
            reach("turn.step.shown")
            await run.live.room()
        raise ModelStreamBroke("the provider broke off its answer")

    async def _abandon(self, turn: Turn, stream: ModelStream, kept: MessageAccumulator | None) -> None:
        """Pay for what was delivered; its text stays in the thread if it is ``kept``."""
        delivered = kept.delivered() if kept is not None else []

        def record(session: Session, nanos: int) -> None:
            if kept is not None and delivered:
                self._journal.record_delivered(session, turn, delivered, model=kept.model, nanos=nanos)
            else:
                self._journal.record_cost(session, turn, nanos)

        try:
            turn.cost_nanos += await stream.abandon(record)
        except Exception:
            logger.exception("settling an abandoned step of %s failed", turn.id)

    def _cost_of(self, turn: Turn) -> CostRecorder:
        return lambda session, nanos: self._journal.record_cost(session, turn, nanos)


def request_id_of(turn: Turn, step: int | str, attempt: int | None = None) -> str:
    """The settlement key of a model step (its iteration) or a tool call (its row's id), in this attempt at
    the turn unless another is named.

    What was cut off by a crash or a shutdown is a new call. It cannot be paid twice: a settlement and the
    rows that say it is done are one transaction, and only the attempt that holds the turn's lease writes it.
    """
    name, attempt = f"{turn.id}:{step}", attempt or turn.attempt
    return name if attempt == 1 else f"{name}:{attempt}"
