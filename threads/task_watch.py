"""Calls that have become tasks at their MCP servers, while their turns wait (kind ``task``).

The rows are the truth, as for all that is waited for: any process asks for any task that is due, so a restart
loses none. One that nobody waits for any more (denied, expired, its turn cancelled) is given up at its
server, once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from sqlmodel import Session, col, or_, select

from broker.broker import Broker
from broker.calls import Resume, TaskUnderWay, ToolResult, ToolScope
from kit.clock import Clock
from kit.db import Database
from kit.to_its_end import to_its_end
from threads import needs
from threads.actions import PendingActions, Resolved
from threads.event_log import log_frames
from threads.models import PendingAction, ToolCallRow, Turn
from threads.outcomes import Answer
from threads.rows import call_of, locked_turn
from threads.turn_events import done_event, required_event
from threads.turn_tools import tool_scope

logger = logging.getLogger("heddle.threads")

LOOK_EVERY_S = 0.5
AT_ONCE = 32
CLAIM_MS = 60_000
"""A process that asks for a task has it for so long; longer than asking can take."""


@dataclass(frozen=True)
class DueTask:
    action_id: str
    turn_id: str
    tool_use_id: str
    scope: ToolScope
    resume: Resume
    wanted: bool


class TaskWatch:
    """``resolved`` goes on with turns whose tasks have ended."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        broker: Broker,
        actions: PendingActions,
        resolved: Callable[[Iterable[Resolved]], Awaitable[None]],
        *,
        event_prefix: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._broker = broker
        self._actions = actions
        self._resolved = resolved
        self._prefix = event_prefix
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch_for_ever())

    async def close(self) -> None:
        tasks = [*self._asking.values(), *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def look(self) -> None:
        """Begin to ask for what is due, those first that have been due for longest."""
        room = AT_ONCE - len(self._asking)
        if room <= 0:
            return
        due = or_(col(PendingAction.due_at) <= self._clock.now_ms(), col(PendingAction.status) != "open")
        query = select(PendingAction.id, PendingAction.turn_id).where(
            col(PendingAction.due_at).is_not(None), due
        )
        query = query.order_by(col(PendingAction.due_at)).limit(AT_ONCE)
        async with self._db.session() as session:
            found = (await session.exec(query)).all()
        for action_id, turn_id in [one for one in found if one[0] not in self._asking][:room]:
            self._asking[action_id] = asyncio.create_task(self._ask(action_id, turn_id))

    async def _ask(self, action_id: str, turn_id: str) -> None:
        try:
            task = await self._db.write(lambda session: self._claim(session, action_id, turn_id))
            if task is None:
                return
            if not task.wanted:
                await self._broker.give_up_task(task.scope, task.resume.state)
                return
            outcome = await self._broker.poll_task(task.scope, task.tool_use_id, task.resume)
            resolved = await self._db.write(lambda session: self._record(session, task, outcome))
            if resolved is not None:
                await self._resolved([resolved])
        except asyncio.CancelledError:  # the process stops: another need not wait for the claim to run out
            await to_its_end(self._db.write(lambda session: self._release(session, action_id)))
            raise
        except Exception:
            logger.exception("asking for a task of turn %s failed; it is tried again", turn_id)
        finally:
            self._asking.pop(action_id, None)

    def _claim(self, session: Session, action_id: str, turn_id: str) -> DueTask | None:
        """None if another process is at it, or it is gone."""
        turn = locked_turn(session, turn_id)
        action = session.get(PendingAction, action_id, populate_existing=True)
        if turn is None or action is None or action.due_at is None:
            return None
        now, wanted = self._clock.now_ms(), action.status == "open"
        if wanted and action.due_at > now:
            return None
        assert action.tool_use_id is not None
        call = call_of(session, turn_id, action.tool_use_id)
        assert call.suspended is not None
        resume = Resume(call.suspended["state"], call.suspended["answers"])
        action.due_at = now + CLAIM_MS if wanted else None
        session.add(action)
        if not wanted:
            call.suspended = None
            session.add(call)
        scope = tool_scope(turn)
        return DueTask(action_id, turn_id, action.tool_use_id, scope, resume, wanted)

    def _release(self, session: Session, action_id: str) -> None:
        action = session.get(PendingAction, action_id, populate_existing=True)
        if action is not None and action.due_at is not None:
            action.due_at = self._clock.now_ms()
            session.add(action)

    def _record(self, session: Session, task: DueTask, outcome: ToolResult | TaskUnderWay) -> Resolved | None:
        """What the turn is told, in the transaction that says when the server is asked next, if at all."""
        turn = locked_turn(session, task.turn_id)
        action = session.get(PendingAction, task.action_id, populate_existing=True)
        if turn is None or action is None:
            return None
        assert action.tool_use_id is not None
        call = call_of(session, turn.id, action.tool_use_id)
        if isinstance(outcome, TaskUnderWay):
            self._go_on(session, turn, call, action, task, outcome)
            return None
        action.due_at, call.suspended = None, None
        session.add_all([action, call])
        session.flush()
        return self._actions.apply(session, turn, [(action, Answer("tool_output", result=outcome))])

    def _go_on(
        self,
        session: Session,
        turn: Turn,
        call: ToolCallRow,
        action: PendingAction,
        task: DueTask,
        outcome: TaskUnderWay,
    ) -> None:
        if action.status != "open":
            return  # it is given up at the next look
        now = self._clock.now_ms()
        answers = call.suspended["answers"] if call.suspended is not None else {}
        unsent = {key: answer for key, answer in answers.items() if key not in task.resume.answers}
        call.suspended = {"state": outcome.state, "answers": unsent}
        action.due_at = now if unsent else now + outcome.poll_after_ms
        if outcome.message is not None:
            action.payload = {**action.payload, "message": outcome.message}
        until = now + turn.action_timeout_ms
        asked = [
            needs.elicitation(action.subject, outcome.server, one, expires_at=until).row(
                turn, call, now_ms=now
            )
            for one in outcome.questions
        ]
        session.add_all([action, call, *asked])
        session.flush()
        if asked and turn.status == "requires_action":  # else its own process tells of them when it parks
            done = done_event(self._prefix, turn, incomplete=True)
            log_frames(session, turn, [required_event(self._prefix, turn, [action, *asked]), done])
            turn.attempt += 1  # the numbers of the next attempt's events are taken
            turn.settled_attempts = turn.attempt
            session.add(turn)

    async def _watch_for_ever(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                logger.exception("looking for tasks that are due failed; it is tried again")
            await asyncio.sleep(LOOK_EVERY_S)
