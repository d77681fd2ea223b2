"""Processes that fight for a turn, each with a clock of its own, and everything they can write."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, select

from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from threads.journal import Journal
from threads.leases import LEASE_MS
from threads.live_turn import LiveTurn
from threads.model_client import StepCost
from threads.models import Compaction, ToolCallRow, Turn
from threads.needs import Need
from threads.store import ThreadStore
from threads.turn_request import parse_turn

CALLER = Caller("acct_1", "key_1", "standard")
PAST_LEASE_S = LEASE_MS / 1000 + 1
NEED = Need("funds", "wallet_empty", "fail", 2**53, key_id="key_1", needed_nanos=1)
CALL = {"type": "tool_use", "id": "toolu_1", "name": "ship", "input": {}}

Write = Callable[["Process"], Awaitable[None]]


@dataclass
class Process:
    """A process with a clock of its own; ``turn`` is the turn as it knew it last."""

    db: Database
    name: str
    clock: ManualClock = field(default_factory=ManualClock)
    turn: Turn = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.db, self.clock, self.name)

    async def begin(self) -> None:
        """A turn that has called a tool."""
        thread = await ThreadStore(self.db, self.clock).create(
            CALLER, end_user_id=None, metadata={}, thread_id=None
        )
        asked = parse_turn({"model": "sim-small", "content": "hi"})
        self.turn = await self.journal.begin(CALLER, thread.id, asked)
        await self.step([CALL])
        self.turn.iteration = 1

    async def step(self, content: list[dict[str, Any]]) -> None:
        turn = self.turn
        await self.db.write(
            lambda session: self.journal.record_step(
                session,
                turn,
                iteration=turn.iteration + 1,
                request_id="r",
                content=content,
                model="sim",
                stop_reason="end_turn",
                cost=StepCost(1, {}),
            )
        )

    async def take(self, turn: Turn) -> bool:
        taken = await self.journal.take(turn.id, expected_attempt=turn.attempt, force=False)
        if taken is not None:
            self.turn = taken
        return taken is not None


def silent(*_: Any) -> None:
    """Tells nobody."""


async def in_session(process: Process, write: Callable[[Session, Turn], object]) -> None:
    await process.db.write(lambda session: write(session, process.turn))


async def step(process: Process) -> None:
    await process.step([{"type": "text", "text": "mine"}])


async def withdraw(process: Process) -> None:
    await process.journal.withdraw(process.turn, {"message": "refused"}, silent)


async def compaction(process: Process) -> None:
    def write(session: Session, turn: Turn) -> None:
        summary = Compaction(
            id="cmp_1",
            account_id=turn.account_id,
            thread_id=turn.thread_id,
            through_seq=1,
            summary="all of it",
            created_at=1,
        )
        process.journal.record_compaction(session, turn, summary)

    await in_session(process, write)


async def call(process: Process) -> ToolCallRow:
    async with process.db.session() as session:
        query = select(ToolCallRow).where(ToolCallRow.turn_id == process.turn.id)
        return (await session.exec(query)).one()


async def change_call(process: Process) -> None:
    await process.journal.change_call(process.turn, await call(process), status="done", output="mine")


async def record_call(process: Process) -> None:
    row = await call(process)
    changes = {"status": "done"}
    await in_session(
        process, lambda session, turn: process.journal.record_call(session, turn, row, changes, nanos=5)
    )


async def results(process: Process) -> None:
    await process.journal.append_results(process.turn, [await call(process)])


async def action(process: Process) -> None:
    await process.journal.open_actions(process.turn, await call(process), [NEED])


async def ask(process: Process) -> None:
    await process.journal.ask(process.turn, await call(process), NEED, silent)


async def park(process: Process) -> None:
    await process.journal.park(process.turn, silent, [NEED])


async def finish(process: Process) -> None:
    await process.journal.finish(process.turn, "completed", silent)


async def release(process: Process) -> None:
    await process.journal.release(process.turn)


async def renew(process: Process) -> None:
    await process.journal.renew([process.turn.id])


async def cost(process: Process) -> None:
    await in_session(process, lambda session, turn: process.journal.record_cost(session, turn, 7))


async def delivered(process: Process) -> None:
    text = [{"type": "text", "text": "mine"}]
    await in_session(
        process,
        lambda session, turn: process.journal.record_delivered(session, turn, text, model="sim", nanos=7),
    )


async def events(process: Process) -> None:
    live = LiveTurn(process.turn.id, process.turn.attempt, process.db)
    live.publish({"type": "mine"})
    await live.close()


FORBIDDEN: dict[str, Write] = {
    "withdraw": withdraw,
    "record_step": step,
    "record_compaction": compaction,
    "change_call": change_call,
    "record_call": record_call,
    "append_results": results,
    "open_actions": action,
    "ask": ask,
    "park": park,
    "finish": finish,
    "release": release,
}
"""What only the runner of a turn may write."""
WITHOUT_EFFECT: dict[str, Write] = {"renew": renew, "events": events}
"""What a loser need not be told of: nothing comes of it."""
ONLY_COSTS: dict[str, Write] = {
    "record_cost": cost,
    "record_delivered": delivered,
}
"""What was spent was spent, whoever has the turn."""
NO_RUNNER = {"begin", "take", "orphans", "to_cancel", "calls_of", "get"}
"""What makes a runner, or reads."""
