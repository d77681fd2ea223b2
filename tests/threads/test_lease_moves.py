"""Processes, pauses and writes around one turn, in any order: there is always one that may write."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from kit.clock import ManualClock
from kit.db import Database
from tests.schema import create_sqlite
from tests.threads.rivals import Process, Write, finish, park, release, renew, step
from threads.actions import PendingActions
from threads.ending import Endings
from threads.leases import LEASE_MS
from threads.model_client import LeaseLost
from threads.models import Message, PendingAction, Turn

MOVES = ("advance", "take", "renew", "write", "release", "park", "pay", "finish")
Move = tuple[int, str]


@dataclass
class Expected:
    """The lease as it must be."""

    status: str = "running"
    owner: str | None = "0"
    attempt: int = 1
    until: int = 0
    messages: int = 2

    def is_of(self, process: Process) -> bool:
        held = (self.status, self.owner, self.attempt)
        return held == ("running", process.name, process.turn.attempt)


class Play:
    """Three processes and a turn. ``advance`` lets time pass for one, and stand still for the others."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.processes = [Process(db, str(number)) for number in range(3)]
        self.actions = PendingActions(db, ManualClock(), Endings(ManualClock()))
        self.expected = Expected(until=self.processes[0].clock.now_ms() + LEASE_MS)

    async def run(self, moves: list[Move]) -> None:
        await self.processes[0].begin()
        for process in self.processes[1:]:
            process.turn = self.processes[0].turn
        for number, name in moves:
            await getattr(self, name)(self.processes[number])
            await self.check()

    async def advance(self, process: Process) -> None:
        process.clock.advance(seconds=LEASE_MS / 1000 * 0.6)

    async def take(self, process: Process) -> None:
        expected, now = self.expected, process.clock.now_ms()
        free = expected.status == "running" and expected.until < now
        orphans = dict(await process.journal.orphans(any_owner_but_me=False))
        assert (process.turn.id in orphans) == free
        async with self.db.session() as session:
            turn = await session.get_one(Turn, process.turn.id)
        assert await process.take(turn) == free
        if free:
            expected.owner, expected.attempt = process.name, expected.attempt + 1
            expected.until = now + LEASE_MS

    async def renew(self, process: Process) -> None:
        await renew(process)
        if self.expected.status == "running" and self.expected.owner == process.name:
            self.expected.until = process.clock.now_ms() + LEASE_MS

    async def write(self, process: Process) -> None:
        if await self.allowed(process, step):
            self.expected.messages += 1

    async def release(self, process: Process) -> None:
        if await self.allowed(process, release):
            self.expected.until = 0

    async def park(self, process: Process) -> None:
        if await self.allowed(process, park):
            self.expected.status, self.expected.owner, self.expected.until = "requires_action", None, 0

    async def finish(self, process: Process) -> None:
        if await self.allowed(process, finish):
            self.expected.status, self.expected.owner, self.expected.until = "completed", None, 0

    async def pay(self, process: Process) -> None:
        """What the turn waits for is there."""
        async with self.db.session() as session:
            query = select(PendingAction.id).where(
                PendingAction.turn_id == process.turn.id, PendingAction.status == "open"
            )
            waiting = (await session.exec(query.order_by(col(PendingAction.id)))).all()
        await self.actions.resolve_funds(list(waiting))
        if self.expected.status == "requires_action":
            self.expected.status = "running"

    async def allowed(self, process: Process, write: Write) -> bool:
        """Do it; it must succeed for who holds the lease, and for nobody else."""
        if self.expected.is_of(process):
            await write(process)
            return True
        with pytest.raises(LeaseLost):
            await write(process)
        return False

    async def check(self) -> None:
        expected = self.expected
        async with self.db.session() as session:
            turn = await session.get_one(Turn, self.processes[0].turn.id)
            messages = (await session.exec(select(Message.seq).order_by(col(Message.seq)))).all()
        held = (turn.status, turn.lease_owner, turn.attempt, turn.lease_until)
        assert held == (expected.status, expected.owner, expected.attempt, expected.until)
        assert messages == list(range(1, expected.messages + 1))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(MOVES)), max_size=20))
def test_whatever_happens_one_process_writes(moves: list[Move]) -> None:
    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'heddle.db'}"
            create_sqlite(url)
            db = Database(url)
            try:
                await Play(db).run(moves)
            finally:
                await db.close()

    asyncio.run(play())
