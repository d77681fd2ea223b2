"""Running a turn: the model/tool loop over the journal's rows.

What comes next is read off the rows alone, so any process can go on with a turn that another one left: an
unanswered tool call means the tool step, anything else the model step.
"""

import asyncio
import logging
import random

from sqlmodel import Session

from broker.broker import Broker
from broker.calls import ToolScope, ToolSelection
from broker.metering import TurnBudget
from broker.toolset import Toolset
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, PaymentRequired, RateLimited, UpstreamTimeout
from threads import needs
from threads.actions import PendingActions
from threads.approvals import Approvals
from threads.context.window import ContextWindow
from threads.events import EventHub
from threads.failure import error_record
from threads.journal import Journal
from threads.live_turn import LastEvents, LiveTurn
from threads.model_client import LeaseLost, ModelClient
from threads.models import Thread, Turn
from threads.parking import park
from threads.steps import ModelStepRunner, TurnRun
from threads.tool_dispatch import may_wait_for_funds
from threads.tool_step import ToolStepRunner
from threads.turn_events import done_event, error_event
from threads.turn_tools import check_dynamic_approvals, tool_scope, with_client_tools

logger = logging.getLogger("heddle.threads")


class TurnTimeReached(UpstreamTimeout):
    code = "turn_time_reached"

    def __init__(self, limit_ms: int) -> None:
        super().__init__(
            f"the turn ran for as long as it may ({limit_ms / 1000:g} s)", details={"limit_ms": limit_ms}
        )


class StartedTurn:
    """A turn that this process is running. ``opened`` resolves when its first step was accepted, or when it
    is clear that nobody waits for that; ``accepted`` says which."""

    def __init__(self, turn: Turn, opened: "asyncio.Future[None] | None" = None) -> None:
        self.turn = turn
        self.opened = opened or asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.failure: HeddleError | None = None
        self.accepted = False
        self.cancelled = turn.cancel_requested
        self.woken = asyncio.Event()

    def open(self) -> None:
        self.accepted = True
        self.nobody_waits()

    def nobody_waits(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def cancel(self) -> None:
        """Stop it for good, as its owner wants."""
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Tell those who wait for its first step how it ended, if they have not been told."""
        if self.opened.done():
            return
        if self.failure is None:
            self.nobody_waits()
        else:
            self.opened.set_exception(self.failure)
            self.opened.exception()  # a cancelled request does not read it


class TurnRunner:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        journal: Journal,
        actions: PendingActions,
        hub: EventHub,
        model: ModelClient,
        broker: Broker,
        *,
        event_prefix: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._journal = journal
        self._hub = hub
        self._broker = broker
        self._prefix = event_prefix
        self._window = ContextWindow(db, journal, model, clock)
        self._model_step = ModelStepRunner(journal, model, self._window, hub)
        self._tool_step = ToolStepRunner(journal, actions, model, broker, Approvals(db), clock)

    async def run(self, started: StartedTurn) -> str | None:
        """Run the turn until it ends, waits for somebody, or is handed over. Returns the turn of its thread
        that may be taken next."""
        turn = started.turn
        live = self._hub.open(turn.id, turn.attempt)
        try:
            return await self._run(started, live)
        except LeaseLost:
            logger.warning("turn %s was taken over by another process", turn.id)
            return None
        finally:
            await asyncio.shield(self._hub.close(live))

    async def _run(self, started: StartedTurn, live: LiveTurn) -> str | None:
        turn = started.turn
        try:
            if started.cancelled:
                raise asyncio.CancelledError
            return await self._in_time(started, live)
        except asyncio.CancelledError:
            return await self._interrupted(started, live)
        except LeaseLost:
            raise
        except HeddleError as error:
            return await self._failed(started, error, live)
        except Exception:
            logger.exception("turn %s failed", turn.id)
            fault = HeddleError("the turn failed because of a fault on our side")
            return await self._failed(started, fault, live)

    async def _in_time(self, started: StartedTurn, live: LiveTurn) -> str | None:
        turn = started.turn
        left_s = None
        if turn.deadline_at is not None:
            left_s = max(0, turn.deadline_at - self._clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(left_s) as limit:
                return await self._loop(started, live)
        except TimeoutError:
            if limit.expired():
                raise TurnTimeReached(turn.max_duration_ms) from None
            raise

    async def _loop(self, started: StartedTurn, live: LiveTurn) -> str | None:
        turn = started.turn
        run = await self._prepare(started, live)
        required = [need for need in run.toolset.required if need.connector not in turn.declined_connectors]
        if required and not run.calls:
            started.open()
            await park(self._journal, run, [needs.connection(need) for need in required])
            return None
        await self._model_step.settle_lost(run)
        while True:
            if run.calls:
                started.open()
                if await self._tool_step.run(run):
                    return None
            elif run.history[-1].role == "assistant":
                return await self._complete(run)
            elif turn.iteration >= turn.max_iterations:
                return await self._complete(run, hit_max=True)
            else:
                await self._renew_tools(run)
                try:
                    await self._model_step.run(run, on_open=started.open)
                except PaymentRequired as refusal:
                    if not may_wait_for_funds(turn, refusal):
                        raise
                    started.open()
                    need = needs.funds(turn, refusal, now_ms=self._clock.now_ms())
                    await park(self._journal, run, [need])
                    return None
                except RateLimited as refusal:
                    if not started.opened.done():
                        raise  # its caller hears of it; later steps are not lost for being too many a minute
                    await asyncio.sleep(_pause_s(refusal))

    async def _prepare(self, started: StartedTurn, live: LiveTurn) -> TurnRun:
        turn = started.turn
        async with self._db.session() as session:
            thread = await session.get(Thread, turn.thread_id)
        assert thread is not None
        scope = tool_scope(turn, thread.meta)
        toolset = await self._toolset(turn, scope)
        await check_dynamic_approvals(turn, scope, self._broker.dynamic)
        context = await self._window.open(turn, thread)
        answered = context.history[-1].role == "user"
        limit = turn.max_cost_nanos
        return TurnRun(
            turn,
            live,
            scope,
            toolset,
            context,
            [] if answered else await self._journal.calls_of(turn),
            self._prefix,
            started.woken,
            cancelled_by_owner=lambda: started.cancelled,
            budget=None if limit is None else TurnBudget(limit, spent=lambda: turn.cost_nanos),
        )

    async def _toolset(self, turn: Turn, scope: ToolScope) -> Toolset:
        selection = ToolSelection(mode=turn.tools_mode, tools=tuple(turn.tools))  # type: ignore[arg-type]
        return with_client_tools(turn, await self._broker.toolset(scope, selection))

    async def _renew_tools(self, run: TurnRun) -> None:
        """What has been connected since the last step has brought its tools."""
        if run.tools_outdated:
            run.toolset, run.tools_outdated = await self._toolset(run.turn, run.scope), False

    async def _complete(self, run: TurnRun, *, hit_max: bool = False) -> str | None:
        turn = run.turn
        turn.hit_max_iterations = hit_max
        done = done_event(self._prefix, turn, incomplete=hit_max)
        following = await run.live.conclude(
            lambda last: self._journal.finish(
                turn, "completed", lambda session: last.log(session, done), hit_max=hit_max
            )
        )
        run.live.over = True
        return following

    async def _failed(self, started: StartedTurn, error: HeddleError, live: LiveTurn) -> str | None:
        turn = started.turn
        record = error_record(error, turn.iteration + 1)
        started.failure = error
        events = [error_event(self._prefix, record), done_event(self._prefix, turn, incomplete=True)]

        async def end(last: LastEvents) -> str | None:
            def tell(session: Session) -> None:
                last.log(session, *events)

            if not started.accepted and turn.attempt == 1 and turn.iteration == 0:
                return await self._journal.withdraw(turn, record, tell)
            return await self._journal.finish(turn, "failed", tell, error=record)

        following = await live.conclude(end)
        live.over, turn.status = True, "failed"
        return following

    async def _interrupted(self, started: StartedTurn, live: LiveTurn) -> str | None:
        """Cancelled by its owner, or handed over because the server is shutting down."""
        turn = started.turn
        if not started.cancelled:
            await live.flush()  # whoever takes it next reads on where this log ends
            await self._journal.release(turn)
            return None
        following = await live.conclude(
            lambda last: self._journal.finish(
                turn, "cancelled", lambda session: self._tell_cancelled(session, last, turn.id)
            )
        )
        live.over = True
        return following

    def _tell_cancelled(self, session: Session, last: LastEvents, turn_id: str) -> None:
        turn = session.get_one(Turn, turn_id, populate_existing=True)  # its last step may have written to it
        last.log(session, done_event(self._prefix, turn, incomplete=True))


def _pause_s(refusal: RateLimited) -> float:
    """Until the key's rates may allow the next step; not the same for all that wait."""
    return float(refusal.details.get("retry_after_ms", 1_000)) / 1000 + random.uniform(0, 1)  # noqa: S311
