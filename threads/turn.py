"""The turn engine: which turns this process runs, and what is asked of any turn, wherever it runs."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress

from broker.broker import Broker
from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.ids import new_id
from threads.actions import PendingActions, Resolved
from threads.ending import ENDED, Endings
from threads.events import EventHub
from threads.funds import FundsWatch
from threads.journal import Journal
from threads.model_client import Funds, ModelClient
from threads.models import Turn
from threads.once import Once
from threads.outcomes import Answer
from threads.runner import StartedTurn, TurnRunner
from threads.task_watch import TaskWatch
from threads.turn_request import TurnRequest
from threads.wakes import Wakes

logger = logging.getLogger("heddle.threads")

TEND_EVERY_S = 2.0
STOP_WITHIN_S = 15.0
"""How long a request waits for a turn of another process to stop."""
STOP_LOOK_S = 0.1


class TurnEngine:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        model: ModelClient,
        broker: Broker,
        funds: Funds,
        *,
        event_prefix: str,
    ) -> None:
        self._db = db
        self.event_prefix = event_prefix
        self.endings = Endings(clock, event_prefix)
        self.journal = Journal(db, clock, new_id("proc"), self.endings)
        self.hub = EventHub(db)
        self.actions = PendingActions(db, clock, self.endings)
        self.funds = FundsWatch(db, funds, self.actions, self._take_all)
        self.tasks = TaskWatch(db, clock, broker, self.actions, self.resolved, event_prefix=event_prefix)
        self._runner = TurnRunner(
            db, clock, self.journal, self.actions, self.hub, model, broker, event_prefix=event_prefix
        )
        self._wakes = Wakes(db, self._woken)
        self._running: dict[str, StartedTurn] = {}
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self._changed: set[str] = set()
        self._change = asyncio.Event()
        self._tender: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Take up what dead processes left (all of it on SQLite, where this process is alone)."""
        await self._wakes.start()
        await self._adopt(any_owner_but_me=self._db.dialect == "sqlite")
        self._tender = asyncio.create_task(self._tend_for_ever())
        self.funds.start()
        self.tasks.start()

    async def close(self) -> None:
        """Stop at the next possible point and hand the running turns over."""
        self._closing = True
        await self.funds.close()
        await self.tasks.close()
        if self._tender is not None:
            self._tender.cancel()
            with suppress(asyncio.CancelledError):
                await self._tender
        await self._wakes.close()
        tasks = [started.task for started in self._running.values() if started.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- what routes call -------------------------------------------------------------------------

    async def begin(
        self,
        caller: Caller,
        thread_id: str,
        request: TurnRequest,
        once: Once | None = None,
        *,
        at_once: bool = False,
    ) -> Turn:
        """Store the message, run the turn in the background, and return once its first step is accepted, or
        once it is queued. A request that came before (``once``) starts nothing: its turn is returned,
        whatever has become of it. ``at_once``: return without waiting for the first step; the turn's row says
        if it was refused.

        Raises Conflict, NotFound; or the HeddleError with which the turn was refused, and then the
        message is not in the thread.
        """
        if once is not None and once.turn_id is not None:
            return await self.journal.get(caller, thread_id, once.turn_id)
        rider = once.begins if once is not None else None
        turn = await self.journal.begin(caller, thread_id, request, rider=rider)
        if turn.lease_owner == self.journal.owner:
            started = self._spawn(turn)
            if at_once:
                started.nobody_waits()
            await asyncio.shield(started.opened)
        elif turn.interrupts is not None:
            await self._interrupt(turn)
            turn = await self.journal.get(caller, thread_id, turn.id)
        if once is not None:
            await once.accepted()
        return turn

    async def wait(self, turn_id: str) -> None:
        """Until the turn has ended or waits for somebody, whichever process runs it."""
        await self.hub.until_idle(turn_id)

    async def cancel(self, caller: Caller, thread_id: str, turn_id: str) -> Turn:
        """Stop a turn: its model call, its tools. What was used is billed. Raises NotFound."""
        await self.journal.get(caller, thread_id, turn_id)
        await self._stop(turn_id)
        return await self.journal.get(caller, thread_id, turn_id)

    async def answer(
        self, caller: Caller, thread_id: str, turn_id: str, answers: Sequence[tuple[str, Answer]]
    ) -> Turn:
        """Answer pending actions by id; the turn goes on when none is left. Raises NotFound, InvalidRequest,
        TooLarge."""
        await self.journal.get(caller, thread_id, turn_id)
        await self.resolved([await self.actions.resolve(turn_id, answers)])
        return await self.journal.get(caller, thread_id, turn_id)

    async def tool_result(self, caller: Caller, thread_id: str, tool_use_id: str, answer: Answer) -> str:
        """The caller's own tool came to this; returns the turn's id. Raises NotFound unless the turn waits
        for it right now, TooLarge."""
        resolved = await self.actions.tool_result(caller, thread_id, tool_use_id, answer)
        await self.resolved([resolved])
        return resolved.turn_id

    async def connected(self, account_id: str, connector: str, end_user_id: str, label: str) -> None:
        """A connection appeared: turns that waited for it go on."""
        outcome = "connected"
        await self.resolved(
            await self.actions.resolve_connection(account_id, connector, end_user_id, label, outcome=outcome)
        )

    async def declined(self, account_id: str, connector: str, end_user_id: str, label: str) -> None:
        """The end user declined to connect: turns that waited go on, and their models are told."""
        outcome = "deny"
        await self.resolved(
            await self.actions.resolve_connection(account_id, connector, end_user_id, label, outcome=outcome)
        )

    async def resolved(self, actions: Iterable[Resolved]) -> None:
        """Go on with the turns whose actions were answered, here or where they run."""
        for one in actions:
            await self._take_all(one.to_take)
            if one.anew and not one.goes_on:
                await self._wakes.wake(one.turn_id)  # it may run still, and wait for this very answer

    # --- running ----------------------------------------------------------------------------------

    def _spawn(self, turn: Turn) -> StartedTurn:
        started = self._running[turn.id] = StartedTurn(turn, self._awaited.get(turn.id))
        started.task = asyncio.create_task(self._run(started), name=turn.id)
        return started

    async def _run(self, started: StartedTurn) -> None:
        following = None
        try:
            following = await self._runner.run(started)
        finally:
            if self._running.get(started.turn.id) is started:
                del self._running[started.turn.id]
            started.close()
        if following is not None:
            await self._take_turn(following)

    async def _interrupt(self, turn: Turn) -> None:
        """Stop the turn that this one interrupts, and start this one. Raises the HeddleError with which it
        was refused; where another process has started it, its stream tells."""
        assert turn.interrupts is not None
        opened = self._awaited[turn.id] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.shield(self._stop(turn.interrupts))
            await self._take_turn(turn.id)
            if turn.id in self._running or opened.done():
                await asyncio.shield(opened)
        finally:
            del self._awaited[turn.id]

    async def _stop(self, turn_id: str) -> None:
        """Have a turn ended, whoever runs it; for ``STOP_WITHIN_S`` at most."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_WITHIN_S
        while True:
            stopped = await self._db.write(lambda session: self.endings.cancel(session, turn_id))
            if stopped.next_turn_id is not None:
                await self._take_turn(stopped.next_turn_id)
            if stopped.status in ENDED or loop.time() >= deadline:
                return
            started = self._running.get(turn_id)
            if started is not None and started.task is not None:
                started.cancel()
                await asyncio.wait({started.task}, timeout=STOP_WITHIN_S)
            else:
                await self._wakes.wake(turn_id)
                await asyncio.sleep(STOP_LOOK_S)

    def _woken(self, turn_id: str) -> None:
        """Somebody has changed the rows of a turn."""
        started = self._running.get(turn_id)
        if started is None:
            return
        started.woken.set()
        if not started.cancelled:
            self._changed.add(turn_id)
            self._change.set()

    # --- tending ----------------------------------------------------------------------------------

    async def _tend_for_ever(self) -> None:
        """Renew leases, cancel as asked, let actions expire, adopt orphans; every fault is logged and tried
        again."""
        loop = asyncio.get_running_loop()
        due = loop.time() + TEND_EVERY_S
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._change.wait(), max(0, due - loop.time()))
            self._change.clear()
            try:
                changed, self._changed = self._changed, set()
                await self._cancel_as_asked(changed)
                if loop.time() >= due:
                    due = loop.time() + TEND_EVERY_S
                    await self._tend()
            except Exception:
                logger.exception("tending turns failed; it is tried again in %s s", TEND_EVERY_S)

    async def _tend(self) -> None:
        await self.journal.renew(list(self._running))
        await self._cancel_as_asked(self._running.keys())
        await self.resolved(await self.actions.expire())
        await self._adopt(any_owner_but_me=False)

    async def _cancel_as_asked(self, turn_ids: Iterable[str]) -> None:
        for turn_id in await self.journal.to_cancel(list(turn_ids)):
            started = self._running.get(turn_id)
            if started is not None and not started.cancelled:
                started.cancel()

    async def _adopt(self, *, any_owner_but_me: bool) -> None:
        for turn_id, attempt in await self.journal.orphans(any_owner_but_me=any_owner_but_me):
            if turn_id not in self._running:
                await self._take(turn_id, attempt, force=any_owner_but_me)

    async def _take_all(self, turn_ids: Iterable[str]) -> None:
        for turn_id in turn_ids:
            await self._take_turn(turn_id)

    async def _take_turn(self, turn_id: str) -> None:
        """Run a turn that nobody runs, if it is to run."""
        async with self._db.session() as session:
            turn = await session.get(Turn, turn_id)
        if turn is None or turn.status != "running" or turn.lease_owner is not None:
            return
        before = self._running.get(turn_id)
        if before is not None and before.task is not None:  # it has parked, and logs its last events
            await asyncio.wait({before.task})
        await self._take(turn_id, turn.attempt, force=False)

    async def _take(self, turn_id: str, attempt: int, *, force: bool) -> None:
        if self._closing:
            return
        turn = await self.journal.take(turn_id, expected_attempt=attempt, force=force)
        if turn is None:
            return
        started = self._spawn(turn)
        if turn_id not in self._awaited:
            started.nobody_waits()
