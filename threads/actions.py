"""Pending actions: what turns wait for, and how the waiting ends.

Invariants: an action is resolved once (answering again changes nothing); a turn leaves
``requires_action`` in the transaction that resolves its last open action, and only then. Each transaction
locks the turn before it looks at its actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, func, select

from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound
from threads.approvals import grant
from threads.changes import record_changes, turn_change
from threads.ending import Endings
from threads.models import PendingAction, Thread, ToolOutput, Turn
from threads.outcomes import Answer, check_output, checked_answer, result_of
from threads.questions import close_questions, response_of, take_answer
from threads.rows import call_of, locked_turn
from threads.store import visible

EXPIRED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a turn's actions: the turn goes on itself (``goes_on``), or has ended and another of its
    thread is next; ``anew`` unless all had been answered before."""

    turn_id: str
    goes_on: bool = False
    next_turn_id: str | None = None
    anew: bool = True

    @property
    def to_take(self) -> list[str]:
        """Turns that any process may run now."""
        own = [self.turn_id] if self.goes_on else []
        return own if self.next_turn_id is None else [*own, self.next_turn_id]


class PendingActions:
    def __init__(self, db: Database, clock: Clock, endings: Endings) -> None:
        self._db = db
        self._clock = clock
        self._endings = endings

    async def open_of(self, turn_id: str) -> list[PendingAction]:
        async with self._db.session() as session:
            return list((await session.exec(_open(turn_id))).all())

    async def resolve(self, turn_id: str, answers: Sequence[tuple[str, Answer]]) -> Resolved:
        """Apply answers by action id. Raises NotFound, InvalidRequest or TooLarge, and changes nothing."""

        def write(session: Session) -> Resolved:
            turn = locked_turn(session, turn_id)
            found = []
            for number, (action_id, answer) in enumerate(answers):
                action = session.get(PendingAction, action_id, populate_existing=True)
                if action is None or action.turn_id != turn_id:
                    raise NotFound(f"action {action_id} not found", param="actions")
                found.append((action, checked_answer(action, answer, param=f"actions.{number}")))
            assert turn is not None
            return self.apply(session, turn, found)

        return await self._db.write(write)

    async def resolve_connection(
        self, account_id: str, connector: str, end_user_id: str, label: str, *, outcome: str
    ) -> list[Resolved]:
        """The end user connected the account (``connected``) or declined to (``deny``)."""
        labelled = col(PendingAction.payload)["label"].as_string()
        waiting = select(PendingAction.id, PendingAction.turn_id).where(
            PendingAction.account_id == account_id,
            PendingAction.end_user_id == end_user_id,
            PendingAction.subject == connector,
            PendingAction.kind == "connect",
            PendingAction.status == "open",
            func.coalesce(labelled, "") == label,
        )
        return await self._resolve_all(waiting, Answer(outcome))

    async def resolve_funds(self, action_ids: Sequence[str]) -> list[Resolved]:
        """There is money for these: their turns try again."""
        waiting = select(PendingAction.id, PendingAction.turn_id).where(col(PendingAction.id).in_(action_ids))
        return await self._resolve_all(waiting, Answer("funds"))

    async def tool_result(self, caller: Caller, thread_id: str, tool_use_id: str, answer: Answer) -> Resolved:
        """The caller's tool came to this. Raises NotFound unless it waits for it right now, TooLarge."""

        def write(session: Session) -> Resolved:
            visible(session.get(Thread, thread_id, populate_existing=True), caller, thread_id)
            waiting = (
                select(PendingAction.id, PendingAction.turn_id)
                .join(Turn, col(Turn.id) == PendingAction.turn_id)
                .where(
                    Turn.thread_id == thread_id,
                    PendingAction.tool_use_id == tool_use_id,
                    PendingAction.kind == "client_tool",
                    PendingAction.status == "open",
                )
            )
            for action_id, turn_id in session.exec(waiting).all():
                turn = locked_turn(session, turn_id)
                action = session.get_one(PendingAction, action_id, populate_existing=True)
                if turn is not None and action.status == "open":
                    return self.apply(session, turn, [(action, answer)])
            raise NotFound(f"no client tool of this thread waits for the result of {tool_use_id}")

        check_output(answer)
        return await self._db.write(write)

    async def expire(self) -> list[Resolved]:
        """Actions past their time get their default outcome; some at a time, the oldest first."""
        due = (
            select(PendingAction.id, PendingAction.turn_id)
            .where(PendingAction.status == "open", PendingAction.expires_at <= self._clock.now_ms())
            .order_by(col(PendingAction.expires_at))
            .limit(EXPIRED_AT_ONCE)
        )
        return await self._resolve_all(due, None)

    async def _resolve_all(self, query: object, answer: Answer | None) -> list[Resolved]:
        """Resolve each, in a transaction for each turn; with its default if there is no answer."""
        async with self._db.session() as session:
            rows = (await session.exec(query)).all()  # type: ignore[call-overload]
        by_turn: dict[str, list[str]] = {}
        for action_id, turn_id in rows:
            by_turn.setdefault(turn_id, []).append(action_id)
        resolved = []
        for turn_id, action_ids in sorted(by_turn.items()):

            def write(session: Session, turn_id: str = turn_id, ids: list[str] = action_ids) -> Resolved:
                turn = locked_turn(session, turn_id)
                assert turn is not None
                actions = [session.get_one(PendingAction, one, populate_existing=True) for one in ids]
                return self.apply(
                    session,
                    turn,
                    [(action, answer or Answer(action.default_outcome)) for action in actions],
                    expired=answer is None,
                )

            resolved.append(await self._db.write(write))
        return resolved

    async def give_up_questions(
        self, turn_id: str, tool_use_id: str, action_id: str | None = None
    ) -> dict[str, Any]:
        """A call that is under way does not wait for an answer any more: to this question, or to any. Returns
        the answer if there was one after all, else what it takes for one."""

        def write(session: Session) -> dict[str, Any]:
            locked_turn(session, turn_id)
            close_questions(session, turn_id, tool_use_id, now_ms=self._clock.now_ms(), only=action_id)
            action = session.get(PendingAction, action_id) if action_id is not None else None
            return response_of(action)

        return await self._db.write(write)

    async def response(self, action_id: str) -> dict[str, Any] | None:
        """What a question was answered; None while it is open."""
        async with self._db.session() as session:
            action = await session.get(PendingAction, action_id, populate_existing=True)
        return response_of(action) if action is None or action.status != "open" else None

    # --- within a transaction that has locked the turn ---------------------------------------------

    def apply(
        self,
        session: Session,
        turn: Turn,
        answers: Sequence[tuple[PendingAction, Answer]],
        *,
        expired: bool = False,
    ) -> Resolved:
        """Resolve those that are open still."""
        now = self._clock.now_ms()
        still_open = [(action, answer) for action, answer in answers if action.status == "open"]
        for action, answer in still_open:
            if action.status != "open":  # answered twice in one request
                continue
            action.status = "expired" if expired else "resolved"
            action.outcome, action.resolved_at = answer.type, now
            session.add(action)
            if action.kind == "funds" and answer.type != "funds":
                session.flush()
                error = action.payload["error"]
                return Resolved(
                    turn.id, next_turn_id=self._endings.end_idle(session, turn, "failed", error=error)
                )
            self._tell(session, turn, action, answer, expired=expired)
        if not still_open:
            return Resolved(turn.id, anew=False)
        return Resolved(turn.id, goes_on=self._go_on(session, turn))

    def _tell(
        self, session: Session, turn: Turn, action: PendingAction, answer: Answer, *, expired: bool
    ) -> None:
        """What the answer does to the call that waited, or to the tools that the turn has."""
        if action.kind == "elicitation":
            response = answer.response or {"action": answer.type}
            take_answer(session, action, response, now_ms=self._clock.now_ms())
            return
        if action.tool_use_id is None:
            if action.kind == "connect" and answer.type == "deny":
                turn.declined_connectors = [*turn.declined_connectors, action.subject]
                session.add(turn)
            return
        result = result_of(action, answer, expired=expired)
        call = call_of(session, turn.id, action.tool_use_id)
        if result is None:
            call.status = "pending"
            call.approved = call.approved or action.kind == "approval"
            if action.kind == "approval" and "first_use_of" in action.payload:
                grant(session, turn, action, now_ms=self._clock.now_ms())
        else:
            call.status, call.is_error, call.finished_at = "answered", result.is_error, self._clock.now_ms()
            call.output, call.content, call.record = result.output, result.content, result.record
            call.for_client = result.for_client
            if result.full is not None:
                session.add(ToolOutput(call_id=call.id, body=result.full))
        session.add(call)
        if action.kind == "task":
            close_questions(session, turn.id, action.tool_use_id, now_ms=self._clock.now_ms())

    def _go_on(self, session: Session, turn: Turn) -> bool:
        """Set a waiting turn running again, for anybody to take, if nothing is open any more."""
        session.flush()
        if turn.status != "requires_action" or session.exec(_open(turn.id).limit(1)).first() is not None:
            return False
        now = self._clock.now_ms()
        if turn.deadline_at is not None and turn.parked_at is not None:
            turn.deadline_at += now - turn.parked_at  # what it waited does not count
        turn.status, turn.lease_owner, turn.lease_until = "running", None, 0
        turn.parked_at, turn.updated_at = None, now
        session.add(turn)
        record_changes(session, turn.thread_id, now, [turn_change(turn.id, turn.status)])
        return True


def _open(turn_id: str):  # type: ignore[no-untyped-def]
    query = select(PendingAction).where(PendingAction.turn_id == turn_id, PendingAction.status == "open")
    return query.order_by(col(PendingAction.created_at), col(PendingAction.id))
