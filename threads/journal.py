"""The journal of a turn: every state change as one transaction over the thread's own rows.

Invariants:
- a thread has at most one turn that is ``running`` or ``requires_action``;
- only the process that holds a turn's lease, in the attempt it took it for, writes for it (``LeaseLost``);
- a message's ``seq`` is the thread's ``last_seq`` after it: dense, without gaps or repeats;
- an assistant message, its settlement and its tool-call rows exist together or not at all;
- so do a tool's result and the charge for it, where the tool has a price.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import true
from sqlmodel import Session, col, select, update

from broker.calls import NeedsConnection
from kit.caller import Caller
from kit.clock import Clock
from kit.crash_points import reach
from kit.db import Database
from kit.errors import Conflict, NotFound
from kit.ids import new_id
from kit.json import storable
from threads.model_client import LeaseLost, StepCost
from threads.models import Message, PendingAction, Thread, ToolCallRow, Turn
from threads.schemas import TurnRequest
from threads.store import visible

LEASE_MS = 30_000
BUSY = ("running", "requires_action")
UNKNOWN_OUTCOME = (
    "The outcome of this call is unknown: the server stopped while it was under way. "
    "It may or may not have taken effect; check before you repeat it."
)


class Journal:
    """Writes for one process, named ``owner``."""

    def __init__(self, db: Database, clock: Clock, owner: str) -> None:
        self._db = db
        self._clock = clock
        self.owner = owner

    async def begin(
        self,
        caller: Caller,
        thread_id: str,
        request: TurnRequest,
        *,
        rider: Callable[[Session, str], None] | None = None,
    ) -> Turn:
        """Store the user's message and a running turn, leased to this process. ``rider`` makes further writes
        in the same transaction, given the turn's id.

        Raises NotFound, Conflict (``turn_in_progress``) while another turn is busy; what ``rider`` raises.
        """

        def write(session: Session) -> Turn:
            now = self._clock.now_ms()
            thread = visible(session.get(Thread, thread_id, with_for_update=True), caller, thread_id)
            busy = session.exec(
                select(Turn.id, Turn.status).where(Turn.thread_id == thread_id, col(Turn.status).in_(BUSY))
            ).first()
            if busy is not None:
                raise Conflict(
                    f"turn {busy[0]} of this thread is {busy[1]}",
                    code="turn_in_progress",
                    details={"turn_id": busy[0], "status": busy[1]},
                )
            turn = Turn(
                id=new_id("turn"),
                account_id=thread.account_id,
                thread_id=thread_id,
                key_id=caller.key_id,
                end_user_id=thread.end_user_id or caller.end_user_id,
                status="running",
                params=request.params,
                tools_mode=request.tools_mode,
                tools=list(request.tools),
                allowed_models=list(caller.models) if caller.models is not None else None,
                max_iterations=request.max_iterations,
                max_cost_nanos=request.max_cost_nanos,
                user_seq=thread.last_seq + 1,
                last_seq=thread.last_seq + 1,
                lease_owner=self.owner,
                lease_until=now + LEASE_MS,
                created_at=now,
                updated_at=now,
            )
            session.add(turn)
            session.flush()
            self._append(session, thread, turn.id, "user", request.content)
            if rider is not None:
                rider(session, turn.id)
            reach("turn.begin.applied")
            return turn

        turn = await self._db.write(write)
        reach("turn.begin.committed")
        return turn

    async def withdraw(self, turn: Turn, error: Mapping[str, Any]) -> None:
        """A turn that was refused before it did anything: its message goes, the turn stays as failed."""

        def write(session: Session) -> None:
            self._finish(session, turn, "failed", error=dict(error))
            thread = self._thread(session, turn)
            if thread.last_seq == turn.user_seq:
                message = session.exec(
                    select(Message).where(Message.thread_id == thread.id, Message.seq == turn.user_seq)
                ).one()
                session.delete(message)
                thread.last_seq -= 1
                session.add(thread)

        await self._db.write(write)

    def record_step(
        self,
        session: Session,
        turn: Turn,
        *,
        iteration: int,
        request_id: str,
        content: list[dict[str, Any]],
        model: str | None,
        stop_reason: str | None,
        cost: StepCost,
    ) -> Message:
        """The rows of a finished model step; runs inside its settlement's transaction. Raises LeaseLost."""
        self._hold(session, turn)
        thread = self._thread(session, turn)
        content = storable(content)
        message = self._append(
            session,
            thread,
            turn.id,
            "assistant",
            content,
            request_id=request_id,
            usage=dict(cost.usage),
            stop_reason=stop_reason,
            model=model,
            cost_nanos=cost.nanos,
        )
        calls = [block for block in content if block.get("type") == "tool_use"]
        for position, block in enumerate(calls):
            arguments = block.get("input")
            session.add(
                ToolCallRow(
                    id=new_id("call"),
                    account_id=turn.account_id,
                    turn_id=turn.id,
                    iteration=iteration,
                    position=position,
                    tool_use_id=block["id"],
                    name=block["name"],
                    input=arguments if isinstance(arguments, dict) else {},
                    created_at=self._clock.now_ms(),
                )
            )
        self._change(
            session,
            turn,
            iteration=iteration,
            cost_nanos=col(Turn.cost_nanos) + cost.nanos,
            last_seq=message.seq,
        )
        reach("turn.step.applied")
        return message

    async def change_call(self, turn: Turn, call: ToolCallRow, **changes: Any) -> None:
        """Change a tool call's row. Raises LeaseLost."""
        await self._db.write(lambda session: self.record_call(session, turn, call, changes))
        for name, value in changes.items():
            setattr(call, name, value)

    def record_call(
        self, session: Session, turn: Turn, call: ToolCallRow, changes: Mapping[str, Any], *, nanos: int = 0
    ) -> None:
        """Change a tool call's row, and add what it cost to its turn's; runs inside the transaction that
        charges it, if it costs something. Raises LeaseLost."""
        self._hold(session, turn)
        session.exec(update(ToolCallRow).where(col(ToolCallRow.id) == call.id).values(**changes))
        if nanos:  # calls end side by side: each adds to what the row says
            self._change(session, turn, cost_nanos=Turn.cost_nanos + nanos)

    async def append_results(self, turn: Turn, calls: list[ToolCallRow]) -> Message:
        """All calls of an iteration are done: their results become the next user message."""
        content = [
            {
                "type": "tool_result",
                "tool_use_id": call.tool_use_id,
                "content": call.content or [],
                **({"is_error": True} if call.is_error else {}),
            }
            for call in calls
        ]

        cost = sum(call.cost_nanos or 0 for call in calls)

        def write(session: Session) -> Message:
            self._hold(session, turn)
            thread = self._thread(session, turn)
            message = self._append(session, thread, turn.id, "user", content, cost_nanos=cost)
            self._change(session, turn, last_seq=message.seq)
            reach("turn.results.applied")
            return message

        message = await self._db.write(write)
        reach("turn.results.committed")
        turn.last_seq = message.seq
        return message

    async def park(
        self, turn: Turn, waiting: list[tuple[ToolCallRow | None, NeedsConnection]]
    ) -> list[PendingAction]:
        """The turn waits for connections; it gives up its lease. Raises LeaseLost."""
        now = self._clock.now_ms()
        actions = [
            PendingAction(
                id=new_id("act"),
                account_id=turn.account_id,
                turn_id=turn.id,
                end_user_id=turn.end_user_id,
                kind="connect",
                subject=need.connector,
                tool_use_id=call.tool_use_id if call is not None else None,
                payload={"display_name": need.display_name, "connect_url": need.connect_url},
                expires_at=need.expires_at,
                created_at=now,
            )
            for call, need in waiting
        ]

        def write(session: Session) -> None:
            self._hold(session, turn)
            session.add_all([action.model_copy() for action in actions])
            self._change(session, turn, status="requires_action", lease_owner=None, lease_until=0)

        await self._db.write(write)
        turn.status = "requires_action"
        return actions

    async def finish(
        self, turn: Turn, status: str, *, error: Mapping[str, Any] | None = None, hit_max: bool = False
    ) -> None:
        """The turn has ended as ``completed``, ``failed`` or ``cancelled``. Raises LeaseLost."""

        def write(session: Session) -> None:
            self._finish(
                session, turn, status, error=dict(error) if error else None, hit_max_iterations=hit_max
            )
            reach("turn.end.applied")

        await self._db.write(write)
        reach("turn.end.committed")
        turn.status, turn.hit_max_iterations = status, hit_max

    def record_cost(self, session: Session, turn: Turn, nanos: int) -> None:
        """Money that a call of the turn cost although it left no message; runs inside its settlement's
        transaction. It is added whoever has the lease by now: what was spent was spent."""
        self._change(session, turn, cost_nanos=col(Turn.cost_nanos) + nanos)

    # --- leases -----------------------------------------------------------------------------------

    async def take(self, turn_id: str, *, expected_attempt: int, force: bool) -> Turn | None:
        """Lease a running turn for a new attempt; None if somebody was faster, or holds it still.

        ``force`` ignores a lease that has time left: only for a process that knows itself to be alone.
        """
        now = self._clock.now_ms()
        free = true() if force else col(Turn.lease_until) < now

        def write(session: Session) -> Turn | None:
            result = session.exec(
                update(Turn)
                .where(
                    col(Turn.id) == turn_id,
                    col(Turn.status) == "running",
                    col(Turn.attempt) == expected_attempt,
                    free,
                )
                .values(
                    lease_owner=self.owner,
                    lease_until=now + LEASE_MS,
                    attempt=Turn.attempt + 1,
                    updated_at=now,
                )
            )
            if result.rowcount != 1:
                return None
            reach("turn.take.applied")
            return session.exec(
                select(Turn).where(Turn.id == turn_id).execution_options(populate_existing=True)
            ).one()

        taken = await self._db.write(write)
        if taken is not None:
            reach("turn.take.committed")
        return taken

    async def renew(self, turn_ids: list[str]) -> None:
        """Prolong the leases of turns that this process is running."""
        until = self._clock.now_ms() + LEASE_MS

        def write(session: Session) -> None:
            session.exec(
                update(Turn)
                .where(col(Turn.id).in_(turn_ids), col(Turn.lease_owner) == self.owner)
                .values(lease_until=until)
            )

        if turn_ids:
            await self._db.write(write)

    async def release(self, turn: Turn) -> None:
        """Give a running turn up (shutdown): whoever comes next may take it at once."""

        def write(session: Session) -> None:
            self._hold(session, turn)
            self._change(session, turn, lease_until=0)

        await self._db.write(write)

    async def orphans(self, *, any_owner_but_me: bool) -> list[tuple[str, int]]:
        """Running turns whose process is gone, as (id, attempt)."""
        stale = col(Turn.lease_until) < self._clock.now_ms()
        if any_owner_but_me:
            stale = stale | (col(Turn.lease_owner) != self.owner)
        query = select(Turn.id, Turn.attempt).where(Turn.status == "running", stale)
        async with self._db.session() as session:
            return [(row[0], row[1]) for row in (await session.exec(query)).all()]

    # --- reading ----------------------------------------------------------------------------------

    async def load(self, turn: Turn) -> tuple[list[Message], list[ToolCallRow]]:
        """The thread's history, and the tool calls of the turn's current iteration."""
        query = (
            select(Message)
            .where(Message.thread_id == turn.thread_id, Message.seq <= turn.last_seq)
            .order_by(col(Message.seq))
        )
        async with self._db.session() as session:
            history = list((await session.exec(query)).all())
        return history, await self.calls_of(turn)

    async def calls_of(self, turn: Turn) -> list[ToolCallRow]:
        """The tool calls of the turn's current iteration, in the model's order."""
        query = (
            select(ToolCallRow)
            .where(ToolCallRow.turn_id == turn.id, ToolCallRow.iteration == turn.iteration)
            .order_by(col(ToolCallRow.position))
        )
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def get(self, caller: Caller, thread_id: str, turn_id: str) -> Turn:
        """Raises NotFound unless the turn belongs to a thread that the caller may see."""
        async with self._db.session() as session:
            visible(await session.get(Thread, thread_id), caller, thread_id)
            turn = await session.get(Turn, turn_id)
        if turn is None or turn.thread_id != thread_id:
            raise NotFound(f"turn {turn_id} not found")
        return turn

    # --- rows -------------------------------------------------------------------------------------

    def _hold(self, session: Session, turn: Turn) -> None:
        """Make sure, under the row's lock, that this process still holds the lease."""
        row = session.exec(
            select(Turn.lease_owner, Turn.attempt, Turn.status).where(Turn.id == turn.id).with_for_update()
        ).first()
        if row is None or row[0] != self.owner or row[1] != turn.attempt or row[2] != "running":
            raise LeaseLost(turn.id)

    def _change(self, session: Session, turn: Turn, **changes: Any) -> None:
        changes["updated_at"] = self._clock.now_ms()
        session.exec(update(Turn).where(col(Turn.id) == turn.id).values(**changes))

    def _finish(self, session: Session, turn: Turn, status: str, **changes: Any) -> None:
        self._hold(session, turn)
        now = self._clock.now_ms()
        self._change(
            session, turn, status=status, lease_owner=None, lease_until=0, finished_at=now, **changes
        )

    def _thread(self, session: Session, turn: Turn) -> Thread:
        return session.exec(select(Thread).where(Thread.id == turn.thread_id).with_for_update()).one()

    def _append(
        self, session: Session, thread: Thread, turn_id: str, role: str, content: Any, **columns: Any
    ) -> Message:
        now = self._clock.now_ms()
        thread.last_seq += 1
        thread.last_active_at = max(now, thread.last_active_at)
        message = Message(
            id=new_id("msg"),
            account_id=thread.account_id,
            thread_id=thread.id,
            seq=thread.last_seq,
            role=role,
            content=content,
            turn_id=turn_id,
            created_at=now,
            **columns,
        )
        session.add(message)
        session.add(thread)
        session.flush()
        return message
