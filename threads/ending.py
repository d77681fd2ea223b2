"""How turns end, and what follows in the same transaction: nothing waits for them any more, their stream is
closed, and the thread's next queued turn starts.

Invariant: a thread with a queued turn has one that is running or waits for somebody. (Whoever queues a turn
locks the busy one first, so that it cannot end unnoticed.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select, update

from kit.clock import Clock
from kit.prepared import Driver, Prepared
from kit.writer import connection_of
from threads.changes import record_changes, turn_change
from threads.event_log import log_frames
from threads.models import PendingAction, Turn
from threads.rows import TURNS, append_message, locked_thread, locked_turn
from threads.turn_events import done_event, error_event

BUSY = ("running", "requires_action")
"""The states of a turn that has its thread for itself."""
ENDED = ("completed", "failed", "cancelled")


_TURN: Any = Turn.__table__  # type: ignore[attr-defined]
_next_queued = Prepared(
    select_columns(_TURN.c.id).where(
        _TURN.c.thread_id == bindparam("thread_id"), _TURN.c.status == bindparam("status")
    )
)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of a turn that was to be cancelled, and which turn of its thread may be taken next."""

    status: str
    next_turn_id: str | None = None


class Endings:
    """Every method runs within a transaction, and wants its turn locked."""

    def __init__(self, clock: Clock, event_prefix: str = "qlaud") -> None:
        self._clock = clock
        self._prefix = event_prefix

    def end(
        self,
        session: Session,
        turn: Turn,
        status: str,
        *,
        error: Mapping[str, Any] | None = None,
        hit_max_iterations: bool = False,
    ) -> str | None:
        """A turn has ended by its own process, which tells its stream. Returns the turn that may be taken
        next."""
        now = self._clock.now_ms()
        TURNS.update(
            session,
            turn.id,
            {
                "status": status,
                "error": dict(error) if error is not None else None,
                "hit_max_iterations": hit_max_iterations,
                "queued_content": None,
                "lease_owner": None,
                "lease_until": 0,
                "finished_at": now,
                "updated_at": now,
            },
        )
        if status != "completed":
            session.exec(
                update(PendingAction)
                .where(col(PendingAction.turn_id) == turn.id, col(PendingAction.status) == "open")
                .values(status="resolved", outcome=status, resolved_at=now)
            )
        record_changes(session, turn.thread_id, now, [turn_change(turn.id, status)])
        return self._start_next(session, turn.thread_id)

    def end_idle(
        self, session: Session, turn: Turn, status: str, *, error: Mapping[str, Any] | None = None
    ) -> str | None:
        """The same for a turn that no process is running: its stream is told by what is logged here."""
        was_busy = turn.status in BUSY
        self._tell(session, turn, error)
        if was_busy:
            return self.end(session, turn, status, error=error)
        turn.status, turn.queued_content = status, None
        turn.finished_at = turn.updated_at = now = self._clock.now_ms()
        session.add(turn)
        record_changes(session, turn.thread_id, now, [turn_change(turn.id, status)])
        return None

    def cancel(self, session: Session, turn_id: str) -> Stopped:
        """End a turn that nobody runs; ask the process that runs it to stop otherwise."""
        turn = locked_turn(session, turn_id)
        assert turn is not None
        if turn.status in ENDED:
            return Stopped(turn.status)
        if turn.status == "running" and turn.lease_until >= self._clock.now_ms():
            turn.cancel_requested = True
            session.add(turn)
            return Stopped("running")
        return Stopped("cancelled", self.end_idle(session, turn, "cancelled"))

    def end_waiting(self, session: Session, thread_id: str) -> None:
        """Cancel the turns of a thread that wait for somebody or in the queue: there will be no thread."""
        waiting = select(Turn.id).where(
            Turn.thread_id == thread_id, col(Turn.status).in_(("queued", "requires_action"))
        )
        by_place = waiting.order_by(col(Turn.status).asc())  # the queued ones first: none is to start
        for turn_id in session.exec(by_place).all():
            self.cancel(session, turn_id)

    def _tell(self, session: Session, turn: Turn, error: Mapping[str, Any] | None) -> None:
        told = [] if error is None else [error_event(self._prefix, error)]
        log_frames(session, turn, [*told, done_event(self._prefix, turn, incomplete=True)])

    def _start_next(self, session: Session, thread_id: str) -> str | None:
        """Put the next queued turn's message into the thread; the turn may be taken by any process.

        A turn that interrupts goes before those that wait their turn. One that was itself interrupted before
        it began leaves its message, and ends.
        """
        if not _next_queued.rows(
            Driver.of(connection_of(session)), {"thread_id": thread_id, "status": "queued"}
        ):
            return None
        queued = session.exec(
            select(Turn)
            .where(Turn.thread_id == thread_id, Turn.status == "queued")
            .order_by(col(Turn.interrupts).is_(None), col(Turn.created_at), col(Turn.id))
            .with_for_update()
            .execution_options(populate_existing=True)
        ).all()
        thread, now = locked_thread(session, thread_id), self._clock.now_ms()
        for number, turn in enumerate(queued):
            interrupted = any(later.interrupts is not None for later in queued[number + 1 :])
            status = "cancelled" if interrupted else "running"
            message = append_message(
                session,
                thread,
                turn.id,
                "user",
                turn.queued_content,
                now_ms=now,
                also=[turn_change(turn.id, status)],
            )
            turn.user_seq = turn.last_seq = message.seq
            turn.status, turn.queued_content, turn.updated_at = status, None, now
            session.add(turn)
            if interrupted:
                turn.finished_at = now
                self._tell(session, turn, None)
                continue
            turn.deadline_at = now + turn.max_duration_ms
            return turn.id
        raise AssertionError("the last queued turn is not interrupted by a later one")
