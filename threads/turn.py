"""The turn engine: runs the model/tool loop over the journal's rows.

A turn is a loop of steps, and what comes next is read off the rows alone, so any process can go on with
a turn that another one left: an unanswered tool call means the tool step, anything else the model step.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from broker.broker import Broker
from broker.calls import ToolScope, ToolSelection
from broker.metering import TurnBudget
from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError
from kit.ids import new_id
from kit.money import micros
from threads.actions import PendingActions
from threads.events import EventHub
from threads.failure import error_record
from threads.journal import Journal
from threads.model_client import LeaseLost, ModelClient
from threads.models import Thread, Turn
from threads.once import Once
from threads.schemas import TurnRequest, render_action
from threads.steps import ModelStepRunner, ToolStepRunner, TurnRun

logger = logging.getLogger("heddle.threads")

TEND_EVERY_S = 2.0
AFTER_ALL = 2**62
"""An event id that no turn reaches."""


class StartedTurn:
    """A turn that this process is running. ``opened`` resolves when its first step was accepted."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.failure: HeddleError | None = None
        self.cancelled = False

    def open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)


class TurnEngine:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        model: ModelClient,
        broker: Broker,
        *,
        event_prefix: str,
    ) -> None:
        self._db = db
        self._broker = broker
        self.event_prefix = event_prefix
        self.journal = Journal(db, clock, owner=new_id("proc"))
        self.hub = EventHub(db)
        self.actions = PendingActions(db, clock)
        self._model_step = ModelStepRunner(self.journal, model, self.hub)
        self._tool_step = ToolStepRunner(self.journal, broker, clock)
        self._running: dict[str, StartedTurn] = {}
        self._tender: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Take up what dead processes left (all of it on SQLite, where this process is alone)."""
        await self._adopt(any_owner_but_me=self._db.dialect == "sqlite")
        self._tender = asyncio.create_task(self._tend_for_ever())

    async def close(self) -> None:
        """Stop at the next possible point and hand the running turns over."""
        self._closing = True
        if self._tender is not None:
            self._tender.cancel()
            with suppress(asyncio.CancelledError):
                await self._tender
        tasks = [started.task for started in self._running.values() if started.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- what routes call -------------------------------------------------------------------------

    async def begin(
        self, caller: Caller, thread_id: str, request: TurnRequest, once: Once | None = None
    ) -> Turn:
        """Store the message, run the turn in the background, and return once its first step is accepted. A
        request that came before (``once``) starts nothing: its turn is returned, whatever has become of it.

        Raises Conflict, NotFound; or the HeddleError with which the turn was refused, and then the
        message is not in the thread.
        """
        if once is None:
            turn = await self.journal.begin(caller, thread_id, request)
        elif once.turn_id is not None:
            return await self.journal.get(caller, thread_id, once.turn_id)
        else:
            turn = await self.journal.begin(caller, thread_id, request, rider=once.begins)
        await asyncio.shield(self._spawn(turn).opened)
        if once is not None:
            await once.accepted()
        return turn

    async def wait(self, turn_id: str) -> None:
        """Until the turn has ended or waits for somebody, whichever process runs it."""
        async for _frame in self.hub.subscribe(turn_id, after=AFTER_ALL):
            pass

    async def cancel(self, caller: Caller, thread_id: str, turn_id: str) -> Turn:
        """Stop a turn: its model call, its tools. What was used is billed. Raises NotFound."""
        turn = await self.journal.get(caller, thread_id, turn_id)
        started = self._running.get(turn_id)
        if started is not None and started.task is not None:
            started.cancelled = True
            started.task.cancel()
            await asyncio.wait({started.task})
        elif turn.status == "requires_action":
            await self.actions.close_turn(turn_id, status="cancelled")
        return await self.journal.get(caller, thread_id, turn_id)

    async def answer(
        self, caller: Caller, thread_id: str, turn_id: str, answers: list[tuple[str, str]]
    ) -> Turn:
        """Resolve pending actions ``(id, outcome)``; the turn goes on when none is left. Raises NotFound."""
        turn = await self.journal.get(caller, thread_id, turn_id)
        if await self.actions.resolve(turn, answers):
            await self._adopt_one(turn_id)
        return await self.journal.get(caller, thread_id, turn_id)

    async def connected(self, account_id: str, connector: str, end_user_id: str) -> None:
        """A connection appeared: turns that waited for it go on."""
        await self._connection_decided(account_id, connector, end_user_id, outcome="connected")

    async def declined(self, account_id: str, connector: str, end_user_id: str) -> None:
        """The end user declined to connect: turns that waited go on, and their models are told."""
        await self._connection_decided(account_id, connector, end_user_id, outcome="deny")

    async def _connection_decided(
        self, account_id: str, connector: str, end_user_id: str, *, outcome: str
    ) -> None:
        turn_ids = await self.actions.resolve_connection(account_id, connector, end_user_id, outcome=outcome)
        for turn_id in turn_ids:
            await self._adopt_one(turn_id)

    # --- running ----------------------------------------------------------------------------------

    def _spawn(self, turn: Turn) -> StartedTurn:
        started = self._running[turn.id] = StartedTurn(turn)
        started.task = asyncio.create_task(self._run(started), name=turn.id)
        return started

    async def _run(self, started: StartedTurn) -> None:
        turn = started.turn
        live = self.hub.open(turn.id, turn.attempt)
        publish = _publisher(live.publish, self.event_prefix)
        try:
            await self._loop(started, live)
        except asyncio.CancelledError:
            await self._interrupted(started, publish)
        except LeaseLost:
            logger.warning("turn %s was taken over by another process", turn.id)
        except HeddleError as error:
            await self._failed(started, error, publish)
        except Exception:
            logger.exception("turn %s failed", turn.id)
            await self._failed(
                started, HeddleError("the turn failed because of a fault on our side"), publish
            )
        finally:
            await asyncio.shield(self.hub.close(live))
            if self._running.get(turn.id) is started:
                del self._running[turn.id]
            if not started.opened.done():
                if started.failure is not None:
                    started.opened.set_exception(started.failure)
                    started.opened.exception()  # a cancelled request does not read it
                else:
                    started.open()

    async def _loop(self, started: StartedTurn, live: Any) -> None:
        turn = started.turn
        run = await self._prepare(started, live)
        required = [need for need in run.toolset.required if need.connector not in turn.declined_connectors]
        if required and not run.calls:
            started.open()
            await self._park(run, [(None, need) for need in required])
            return
        if turn.attempt > 1:
            await self._model_step.settle_lost(run)
        while True:
            if run.calls:
                waiting = await self._tool_step.run(run)
                if waiting:
                    await self._park(run, list(waiting))
                    return
            elif run.history[-1].role == "assistant":
                await self._complete(run)
                return
            elif turn.iteration >= turn.max_iterations:
                await self._complete(run, hit_max=True)
                return
            else:
                await self._model_step.run(run, on_open=started.open)

    async def _prepare(self, started: StartedTurn, live: Any) -> TurnRun:
        turn = started.turn
        async with self._db.session() as session:
            thread = await session.get(Thread, turn.thread_id)
        assert thread is not None
        scope = ToolScope(
            account_id=turn.account_id,
            end_user_id=turn.end_user_id,
            thread_id=turn.thread_id,
            turn_id=turn.id,
            metadata=thread.meta,
        )
        selection = ToolSelection(mode=turn.tools_mode, tools=tuple(turn.tools))  # type: ignore[arg-type]
        toolset = await self._broker.toolset(scope, selection)
        history, calls = await self.journal.load(turn)
        answered = history[-1].role == "user"
        limit = turn.max_cost_nanos
        return TurnRun(
            turn,
            live,
            scope,
            toolset,
            history,
            [] if answered else calls,
            self.event_prefix,
            cancelled_by_owner=lambda: started.cancelled,
            budget=None if limit is None else TurnBudget(limit, spent=lambda: turn.cost_nanos),
        )

    async def _park(self, run: TurnRun, waiting: list[Any]) -> None:
        actions = await self.journal.park(run.turn, waiting)
        run.publish(
            "requires_action", turn_id=run.turn.id, actions=[render_action(action) for action in actions]
        )
        self._publish_done(run.live.publish, run.turn, incomplete=True)

    async def _complete(self, run: TurnRun, *, hit_max: bool = False) -> None:
        await self.journal.finish(run.turn, "completed", hit_max=hit_max)
        self._publish_done(run.live.publish, run.turn, incomplete=hit_max)

    async def _failed(self, started: StartedTurn, error: HeddleError, publish: Any) -> None:
        turn, iteration = started.turn, started.turn.iteration + 1
        record = error_record(error, iteration)
        started.failure = error
        with suppress(LeaseLost):
            if not started.opened.done() and turn.attempt == 1 and turn.iteration == 0:
                await self.journal.withdraw(turn, record)
            else:
                await self.journal.finish(turn, "failed", error=record)
        turn.status = "failed"
        publish("error", message=error.message, status=error.status, code=error.code, iteration=iteration)
        self._publish_done(publish.raw, turn, incomplete=True)

    async def _interrupted(self, started: StartedTurn, publish: Any) -> None:
        """Cancelled by its owner, or handed over because the server is shutting down."""
        with suppress(LeaseLost):
            if not started.cancelled:
                await self.journal.release(started.turn)
                return
            await self.journal.finish(started.turn, "cancelled")
            self._publish_done(publish.raw, started.turn, incomplete=True)

    def _publish_done(
        self, publish: Callable[[dict[str, Any]], None], turn: Turn, *, incomplete: bool
    ) -> None:
        event: dict[str, Any] = {
            "type": f"{self.event_prefix}.done",
            "turn_id": turn.id,
            "thread_id": turn.thread_id,
            "seq": turn.last_seq,
            "iterations": turn.iteration,
            "hit_max_iterations": turn.hit_max_iterations,
            "cost_micros": micros(turn.cost_nanos),
        }
        if incomplete:
            event["incomplete"] = True
        publish(event)

    # --- tending ----------------------------------------------------------------------------------

    async def _tend_for_ever(self) -> None:
        """Renew leases, adopt orphans, let actions expire; every fault is logged and tried again."""
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            try:
                await self.journal.renew(list(self._running))
                await self.actions.expire()
                await self._adopt(any_owner_but_me=False)
            except Exception:
                logger.exception("tending turns failed; it is tried again in %s s", TEND_EVERY_S)

    async def _adopt(self, *, any_owner_but_me: bool) -> None:
        for turn_id, attempt in await self.journal.orphans(any_owner_but_me=any_owner_but_me):
            if turn_id not in self._running and not self._closing:
                await self._take(turn_id, attempt, force=any_owner_but_me)

    async def _adopt_one(self, turn_id: str) -> None:
        async with self._db.session() as session:
            turn = await session.get(Turn, turn_id)
        if turn is not None and turn.status == "running" and turn_id not in self._running:
            await self._take(turn_id, turn.attempt, force=False)

    async def _take(self, turn_id: str, attempt: int, *, force: bool) -> None:
        turn = await self.journal.take(turn_id, expected_attempt=attempt, force=force)
        if turn is not None:
            started = self._spawn(turn)
            started.open()  # nobody waits for an HTTP status


def _publisher(raw: Callable[[dict[str, Any]], None], prefix: str) -> Any:
    def publish(event: str, /, **data: Any) -> None:
        raw({"type": f"{prefix}.{event}", **data})

    publish.raw = raw  # type: ignore[attr-defined]
    return publish
