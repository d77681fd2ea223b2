"""The journal of a turn: every state change as one transaction over the thread's own rows.

Invariants:
- a thread has at most one turn that is ``running`` or ``requires_action``; others wait ``queued``;
- only the process that holds a turn's lease, in the attempt it took it for, writes for it (``LeaseLost``);
- a message's ``seq`` is the thread's ``last_seq`` after it: dense, without gaps or repeats;
- an assistant message, its settlement and its tool-call rows exist together or not at all;
- so do a tool's result and the charge for it, where the tool has a price;
- what a transaction did is in the turn's log of events, as far as subscribers are told of it;
- a message and its search entry exist together or not at all.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlmodel import Session, col, select

from broker.calls import UNTRUSTED
from kit.caller import Caller
from kit.clock import Clock
from kit.crash_points import reach
from kit.db import Database
from kit.errors import NotFound
from kit.ids import new_id
from kit.json import storable
from threads.beginning import Beginning
from threads.changes import record_changes, withdrawn_change
from threads.ending import Endings
from threads.model_client import StepCost
from threads.models import Compaction, Message, Thread, ToolCallRow, Turn
from threads.rows import CALLS, append_message, locked_thread, take_last_message_back
from threads.store import visible
from threads.turn_request import TurnRequest
from threads.waits import Tell, Waits

UNKNOWN_OUTCOME = (
    "The outcome of this call is unknown: the server stopped while it was under way. "
    "It may or may not have taken effect; check before you repeat it."
)


class Journal(Waits):
    """Writes for one process, named ``owner``."""

    def __init__(self, db: Database, clock: Clock, owner: str, endings: Endings | None = None) -> None:
        super().__init__(db, clock, owner)
        self._endings = endings or Endings(clock)

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

        While another turn has the thread: Conflict (``turn_in_progress``), or a turn that is ``queued``. One
        that interrupts names the other in ``interrupts``, which is to be cancelled; or, if that waited for
        somebody, is ``running`` in its place, for any process to take.

        Raises NotFound; Conflict (also ``queue_full``); what ``rider`` raises.
        """

        beginning = Beginning(self._clock, self.owner, self._endings)
        turn = await self._db.write(
            lambda session: beginning.write(session, caller, thread_id, request, rider)
        )
        reach("turn.begin.committed")
        return turn

    async def withdraw(self, turn: Turn, error: Mapping[str, Any], tell: Tell) -> str | None:
        """A turn that was refused before it did anything: its message goes, the turn stays as failed. Returns
        the turn that may be taken next. Raises LeaseLost."""

        def write(session: Session) -> str | None:
            self._hold(session, turn)
            thread = locked_thread(session, turn.thread_id)
            if thread.last_seq == turn.user_seq:
                message = take_last_message_back(session, thread)
                record_changes(session, thread.id, self._clock.now_ms(), [withdrawn_change(message)])
            following = self._endings.end(session, turn, "failed", error=error)
            tell(session)
            return following

        return await self._db.write(write)

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
        cut: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Message:
        """The rows of a finished model step; runs inside its settlement's transaction. ``cut`` and
        ``context`` are how its history was fitted. Raises LeaseLost."""
        self._hold(session, turn)
        thread = locked_thread(session, turn.thread_id)
        content = storable(content)
        message = append_message(
            session,
            thread,
            turn.id,
            "assistant",
            content,
            now_ms=self._clock.now_ms(),
            of_thread={"context_cut": dict(cut) if cut is not None else None},
            request_id=request_id,
            usage=dict(cost.usage),
            stop_reason=stop_reason,
            model=model,
            provider=cost.provider,
            cost_nanos=cost.nanos,
        )
        calls = [block for block in content if block.get("type") == "tool_use"]
        if turn.hands_calls_over:
            calls = []
        rows = [
            ToolCallRow(
                id=new_id("call"),
                account_id=turn.account_id,
                turn_id=turn.id,
                iteration=iteration,
                position=position,
                tool_use_id=block["id"],
                name=block["name"],
                input=block["input"] if isinstance(block.get("input"), dict) else {},
                created_at=self._clock.now_ms(),
            )
            for position, block in enumerate(calls)
        ]
        CALLS.insert(session, rows)
        self._change(
            session,
            turn,
            nanos=cost.nanos,
            iteration=iteration,
            last_seq=message.seq,
            context_record=dict(context) if context is not None else None,
        )
        reach("turn.step.applied")
        return message

    def record_compaction(self, session: Session, turn: Turn, compaction: Compaction) -> None:
        """A summary and its cost; runs inside its settlement's transaction. Raises LeaseLost."""
        self._hold(session, turn)
        session.add(compaction)
        self.record_cost(session, turn, compaction.cost_nanos)

    async def change_call(
        self, turn: Turn, call: ToolCallRow, tell: Tell | None = None, **changes: Any
    ) -> None:
        """Change a tool call's row; ``tell`` writes that to the turn's stream. Raises LeaseLost."""

        def write(session: Session) -> None:
            self.record_call(session, turn, call, changes)
            if tell is not None:
                tell(session)

        await self._db.write(write)
        for name, value in changes.items():
            setattr(call, name, value)

    def record_call(
        self, session: Session, turn: Turn, call: ToolCallRow, changes: Mapping[str, Any], *, nanos: int = 0
    ) -> None:
        """Change a tool call's row, and add what it cost to its turn's; runs inside the transaction that
        charges it, if it costs something. Raises LeaseLost."""
        self._hold(session, turn)
        CALLS.update(session, call.id, changes)
        if nanos:  # calls end side by side: each adds to what the row says
            self._change(session, turn, nanos=nanos)

    async def append_results(self, turn: Turn, calls: list[ToolCallRow]) -> Message:
        """All calls of an iteration are done: their results become the next user message."""
        content = [
            {
                "type": "tool_result",
                "tool_use_id": call.tool_use_id,
                "content": call.content or [],
                **({"is_error": True} if call.is_error else {}),
                **({UNTRUSTED: True} if (call.record or {}).get(UNTRUSTED) is True else {}),
            }
            for call in calls
        ]

        cost = sum(call.cost_nanos or 0 for call in calls)

        def write(session: Session) -> Message:
            self._hold(session, turn)
            thread, now = locked_thread(session, turn.thread_id), self._clock.now_ms()
            message = append_message(session, thread, turn.id, "user", content, now_ms=now, cost_nanos=cost)
            self._change(session, turn, last_seq=message.seq)
            reach("turn.results.applied")
            return message

        message = await self._db.write(write)
        reach("turn.results.committed")
        turn.last_seq = message.seq
        return message

    async def finish(
        self,
        turn: Turn,
        status: str,
        tell: Tell,
        *,
        error: Mapping[str, Any] | None = None,
        hit_max: bool = False,
    ) -> str | None:
        """The turn has ended as ``completed``, ``failed`` or ``cancelled``; ``tell`` writes that to its
        stream. Returns the turn of its thread that may be taken next. Raises LeaseLost."""

        def write(session: Session) -> str | None:
            self._hold(session, turn)
            following = self._endings.end(session, turn, status, error=error, hit_max_iterations=hit_max)
            tell(session)
            reach("turn.end.applied")
            return following

        following = await self._db.write(write)
        reach("turn.end.committed")
        turn.status, turn.hit_max_iterations = status, hit_max
        return following

    def record_cost(self, session: Session, turn: Turn, nanos: int) -> None:
        """Money that a call of the turn cost although it left no message; runs inside its settlement's
        transaction. It is added whoever has the lease by now: what was spent was spent."""
        self._change(session, turn, nanos=nanos)

    def record_delivered(
        self, session: Session, turn: Turn, content: list[dict[str, Any]], *, model: str | None, nanos: int
    ) -> None:
        """The same, with the text that a model had delivered when its turn was cancelled, if that turn is
        this process's still."""
        self.record_cost(session, turn, nanos)
        if not self._holds(session, turn):
            return
        thread, now = locked_thread(session, turn.thread_id), self._clock.now_ms()
        columns: dict[str, Any] = {"stop_reason": "cancelled", "model": model, "cost_nanos": nanos}
        kept = storable(content)
        message = append_message(session, thread, turn.id, "assistant", kept, now_ms=now, **columns)
        self._change(session, turn, last_seq=message.seq)

    # --- reading ----------------------------------------------------------------------------------

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
