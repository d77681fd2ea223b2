"""Pending actions: what turns wait for, and how the waiting ends.

Invariants: an action is resolved once (answering again changes nothing); a turn leaves
``requires_action`` in the transaction that resolves its last open action, and only then.
"""

from sqlmodel import Session, col, select, update

from kit.clock import Clock
from kit.db import Database
from kit.errors import InvalidRequest, NotFound
from threads.models import PendingAction, ToolCallRow, Turn

DECLINED = "The end user did not connect the account that this tool needs."
OUTCOMES = {"connected": "connected", "approve": "connected", "deny": "deny"}


class PendingActions:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def open_of(self, turn_id: str) -> list[PendingAction]:
        async with self._db.session() as session:
            query = select(PendingAction).where(
                PendingAction.turn_id == turn_id, PendingAction.status == "open"
            )
            return list((await session.exec(query.order_by(col(PendingAction.created_at)))).all())

    async def resolve(self, turn: Turn, answers: list[tuple[str, str]]) -> bool:
        """Apply answers; True if the turn may go on. Raises NotFound or InvalidRequest, changing nothing."""
        for _, outcome in answers:
            if outcome not in OUTCOMES:
                raise InvalidRequest(
                    f"actions.type: expected connected or deny, got {outcome}", param="actions"
                )

        def write(session: Session) -> bool:
            for action_id, outcome in answers:
                action = session.get(PendingAction, action_id)
                if action is None or action.turn_id != turn.id:
                    raise NotFound(f"action {action_id} not found")
                self._resolve_row(session, action, OUTCOMES[outcome])
            return self._go_on(session, turn.id)

        return await self._db.write(write)

    async def resolve_connection(
        self, account_id: str, connector: str, end_user_id: str, *, outcome: str
    ) -> list[str]:
        """The end user connected the account (``connected``) or declined to (``deny``); returns the turns
        that may go on now."""

        def write(session: Session) -> list[str]:
            actions = session.exec(
                select(PendingAction).where(
                    PendingAction.account_id == account_id,
                    PendingAction.end_user_id == end_user_id,
                    PendingAction.subject == connector,
                    PendingAction.kind == "connect",
                    PendingAction.status == "open",
                )
            ).all()
            for action in actions:
                self._resolve_row(session, action, outcome)
            turn_ids = sorted({action.turn_id for action in actions})
            return [turn_id for turn_id in turn_ids if self._go_on(session, turn_id)]

        return await self._db.write(write)

    async def expire(self) -> None:
        """Actions past their time get their default outcome; the turns are picked up as orphans."""
        now = self._clock.now_ms()

        async with self._db.session() as session:
            query = select(PendingAction.id).where(
                PendingAction.status == "open", PendingAction.expires_at <= now
            )
            due = list((await session.exec(query)).all())
        if not due:
            return

        def write(session: Session) -> None:
            turn_ids = set()
            for action_id in due:
                action = session.get(PendingAction, action_id)
                if action is not None and action.status == "open":
                    self._resolve_row(session, action, action.default_outcome, status="expired")
                    turn_ids.add(action.turn_id)
            for turn_id in sorted(turn_ids):
                self._go_on(session, turn_id)

        await self._db.write(write)

    async def close_turn(self, turn_id: str, *, status: str) -> None:
        """End a waiting turn and everything it waits for."""
        now = self._clock.now_ms()

        def write(session: Session) -> None:
            session.exec(
                update(PendingAction)
                .where(col(PendingAction.turn_id) == turn_id, col(PendingAction.status) == "open")
                .values(status="resolved", outcome=status, resolved_at=now)
            )
            session.exec(
                update(Turn)
                .where(col(Turn.id) == turn_id, col(Turn.status) == "requires_action")
                .values(status=status, finished_at=now, updated_at=now)
            )

        await self._db.write(write)

    def _resolve_row(
        self, session: Session, action: PendingAction, outcome: str, status: str = "resolved"
    ) -> None:
        if action.status != "open":
            return
        now = self._clock.now_ms()
        action.status, action.outcome, action.resolved_at = status, outcome, now
        session.add(action)
        if action.tool_use_id is None:
            if outcome == "deny":
                turn = session.exec(select(Turn).where(Turn.id == action.turn_id)).one()
                turn.declined_connectors = [*turn.declined_connectors, action.subject]
                session.add(turn)
            return
        call = session.exec(
            select(ToolCallRow).where(
                ToolCallRow.turn_id == action.turn_id, ToolCallRow.tool_use_id == action.tool_use_id
            )
        ).one()
        if outcome == "deny":
            call.status, call.is_error, call.finished_at = "done", True, now
            call.output = {"error": DECLINED}
            call.content = [{"type": "text", "text": DECLINED}]
        else:
            call.status = "pending"
        session.add(call)

    def _go_on(self, session: Session, turn_id: str) -> bool:
        """Set a waiting turn running again, for anybody to take, if nothing is open any more."""
        session.flush()
        turn = session.exec(select(Turn).where(Turn.id == turn_id).with_for_update()).one()
        still_open = session.exec(
            select(PendingAction.id).where(PendingAction.turn_id == turn_id, PendingAction.status == "open")
        ).first()
        if still_open is not None or turn.status != "requires_action":
            return False
        turn.status, turn.lease_owner, turn.lease_until = "running", None, 0
        turn.updated_at = self._clock.now_ms()
        session.add(turn)
        return True
