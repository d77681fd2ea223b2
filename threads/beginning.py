"""How a turn begins: with the thread for itself, or in the queue behind the turn that has it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, or_
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, func, select

from kit.caller import Caller
from kit.clock import Clock
from kit.crash_points import reach
from kit.errors import Conflict
from kit.ids import new_id
from kit.prepared import Driver, Prepared
from kit.writer import connection_of
from threads.changes import record_changes, turn_change
from threads.ending import BUSY, Endings
from threads.leases import LEASE_MS
from threads.models import Thread, Turn
from threads.rows import TURNS, ThreadHead, append_message
from threads.store import visible
from threads.turn_request import TurnRequest

_TURN: Any = Turn.__table__  # type: ignore[attr-defined]
_any_busy = Prepared(
    select_columns(_TURN.c.id).where(
        _TURN.c.thread_id == bindparam("thread_id"),
        or_(_TURN.c.status == bindparam("first"), _TURN.c.status == bindparam("second")),
    )
)

MAX_QUEUED = 20
"""Turns that may be queued in one thread."""


class Beginning:
    """The transaction that stores a turn. What starts at once is leased to ``owner``."""

    def __init__(self, clock: Clock, owner: str, endings: Endings) -> None:
        self._clock = clock
        self._owner = owner
        self._endings = endings

    def write(
        self,
        session: Session,
        caller: Caller,
        thread_id: str,
        request: TurnRequest,
        rider: Callable[[Session, str], None] | None,
    ) -> Turn:
        """See ``Journal.begin``."""
        waits = request.on_busy != "reject"
        if waits:
            _busy(session, thread_id, lock=True)  # before the thread is locked, as everywhere
        found = session.get(Thread, thread_id, with_for_update=True, populate_existing=True)
        thread = visible(found, caller, thread_id)
        busy = _busy(session, thread_id, lock=waits)
        turn = self._new_turn(thread, caller, request)
        if busy is None:
            self._start(session, thread, turn, request)
        else:
            self._queue(session, turn, request, busy)
        if rider is not None:
            rider(session, turn.id)
        if busy is not None and turn.interrupts is not None and busy.status == "requires_action":
            self._endings.cancel(session, busy.id)
            session.flush()
        reach("turn.begin.applied")
        return turn

    def _new_turn(self, thread: Thread, caller: Caller, request: TurnRequest) -> Turn:
        now = self._clock.now_ms()
        return Turn(
            id=new_id("turn"),
            account_id=thread.account_id,
            thread_id=thread.id,
            key_id=caller.key_id,
            end_user_id=thread.end_user_id or caller.end_user_id,
            status="running",
            params=request.params,
            context={**thread.context, **request.context},
            tools_mode=request.tools_mode,
            tools=list(request.tools),
            allowed_models=list(caller.models) if caller.models is not None else None,
            max_iterations=request.max_iterations,
            max_cost_nanos=request.max_cost_nanos,
            client_tools=list(request.client_tools),
            client_tool_wait_ms=request.client_tool_wait_ms,
            hands_calls_over=request.hands_calls_over,
            tool_approval=request.tool_approval,
            tool_scope=request.tool_scope,
            parks_for_funds=request.parks_for_funds,
            action_timeout_ms=request.action_timeout_ms,
            max_duration_ms=request.max_duration_ms,
            user_seq=thread.last_seq + 1,
            last_seq=thread.last_seq + 1,
            created_at=now,
            updated_at=now,
        )

    def _start(self, session: Session, thread: Thread, turn: Turn, request: TurnRequest) -> None:
        now = self._clock.now_ms()
        turn.lease_owner, turn.lease_until = self._owner, now + LEASE_MS
        turn.deadline_at = now + turn.max_duration_ms
        TURNS.insert(session, [turn])
        head = ThreadHead(
            thread.id, thread.account_id, thread.end_user_id, thread.last_seq, thread.last_active_at
        )
        running = [turn_change(turn.id, turn.status)]
        append_message(session, head, turn.id, "user", request.content, now_ms=now, also=running)

    def _queue(self, session: Session, turn: Turn, request: TurnRequest, busy: Turn) -> None:
        """Let the turn wait for the busy one. Raises Conflict if it may not."""
        if request.on_busy == "reject":
            raise Conflict(
                f"turn {busy.id} of this thread is {busy.status}",
                code="turn_in_progress",
                details={"turn_id": busy.id, "status": busy.status},
            )
        queued = select(func.count()).where(Turn.thread_id == turn.thread_id, Turn.status == "queued")
        if session.exec(queued).one() >= MAX_QUEUED:
            raise Conflict(
                f"{MAX_QUEUED} turns are queued in this thread already", code="queue_full", param="on_busy"
            )
        turn.status, turn.attempt, turn.queued_content = "queued", 0, request.content
        turn.user_seq = turn.last_seq = 0
        if request.on_busy == "interrupt":
            turn.interrupts = busy.id
            if busy.status == "running":
                busy.cancel_requested = True
                session.add(busy)
        session.add(turn)
        session.flush()
        record_changes(session, turn.thread_id, turn.created_at, [turn_change(turn.id, turn.status)])


def _busy(session: Session, thread_id: str, *, lock: bool) -> Turn | None:
    """The turn that has the thread."""
    asked = {"thread_id": thread_id, "first": BUSY[0], "second": BUSY[1]}
    if not _any_busy.rows(Driver.of(connection_of(session)), asked):
        return None
    query = select(Turn).where(Turn.thread_id == thread_id, col(Turn.status).in_(BUSY))
    if lock:
        query = query.with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).first()
