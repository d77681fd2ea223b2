"""How a turn comes to wait: its calls open actions, and it parks when nothing else is left to do.

Invariant: a turn that waits has an open action, and holds no lease.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlmodel import Session, col, select

from threads.changes import record_changes, turn_change
from threads.leases import Leases
from threads.models import PendingAction, ToolCallRow, Turn
from threads.needs import Need
from threads.rows import TURNS

Tell = Callable[[Session], None]
"""Logs the events that tell of a transaction, within it."""
TellOf = Callable[[Session, Sequence[PendingAction]], None]
"""The same, of one that opens these actions."""


class Waits(Leases):
    async def open_actions(
        self,
        turn: Turn,
        call: ToolCallRow,
        needs: Sequence[Need],
        tell: Tell | None = None,
        *,
        suspended: dict[str, Any] | None = None,
    ) -> None:
        """The call waits for somebody, while others of the turn may go on; unless its answer has come already
        (``call.status`` says so then). ``suspended`` is with what it goes on, if that is not as before;
        ``tell`` writes that it waits to the turn's stream. Raises LeaseLost."""

        def write(session: Session) -> ToolCallRow:
            self._hold(session, turn)
            row = session.get_one(ToolCallRow, call.id, populate_existing=True)
            if row.status != "answered":
                row.status, row.suspended = "waiting", suspended or row.suspended
                session.add(row)
                session.add_all([need.row(turn, call, now_ms=self._clock.now_ms()) for need in needs])
            if tell is not None:
                tell(session)
            return row

        call.sqlmodel_update(await self._db.write(write))

    async def ask(self, turn: Turn, call: ToolCallRow, need: Need, tell: TellOf) -> str:
        """Ask somebody something while the call is under way; returns the action's id. Raises LeaseLost."""

        def write(session: Session) -> str:
            self._hold(session, turn)
            action = need.row(turn, call, now_ms=self._clock.now_ms())
            session.add(action)
            session.flush()
            tell(session, [action])
            return action.id

        return await self._db.write(write)

    async def park(self, turn: Turn, tell: TellOf, needs: Sequence[Need] = ()) -> list[PendingAction]:
        """The turn waits for its open actions and for ``needs``, and gives up its lease; ``tell`` writes that
        to its stream. Returns all of them; none, and the turn runs on, if everything was answered
        meanwhile. Raises LeaseLost."""

        def write(session: Session) -> list[PendingAction]:
            self._hold(session, turn)
            now = self._clock.now_ms()
            session.add_all([need.row(turn, None, now_ms=now) for need in needs])
            session.flush()
            query = select(PendingAction).where(
                PendingAction.turn_id == turn.id, PendingAction.status == "open"
            )
            waiting = list(session.exec(query.order_by(col(PendingAction.created_at))).all())
            if waiting:
                self._change(
                    session,
                    turn,
                    status="requires_action",
                    lease_owner=None,
                    lease_until=0,
                    parked_at=now,
                    settled_attempts=turn.attempt,
                )
                record_changes(session, turn.thread_id, now, [turn_change(turn.id, "requires_action")])
                tell(session, waiting)
            return waiting

        actions = await self._db.write(write)
        if actions:
            turn.status = "requires_action"
        return actions

    def _change(self, session: Session, turn: Turn, *, nanos: int = 0, **changes: Any) -> None:
        """``nanos`` are added to what the turn has cost."""
        changes["updated_at"] = self._clock.now_ms()
        TURNS.update(session, turn.id, changes, cost_nanos=nanos)
