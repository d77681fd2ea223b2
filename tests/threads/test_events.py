"""A turn's events: each is logged once and shown once, whatever happens while they are written."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from tests.threads.frames import frames_of
from threads.events import EventHub
from threads.journal import Journal
from threads.live_turn import FLUSH_EVERY_S
from threads.models import Turn, TurnEventChunk
from threads.store import ThreadStore
from threads.turn_request import parse_turn

CALLER = Caller("acct_1", "key_1", "standard")


class SlowCommits:
    """A database whose commits are answered late: what was written stands before the writer knows it."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.session = db.session
        self.answering = asyncio.Event()
        self.writing = asyncio.Event()

    async def write(self, write: Callable[[Session], Any]) -> Any:
        result = await self._db.write(write)
        self.writing.set()
        await self.answering.wait()
        return result


class BrokenLog:
    def __init__(self, db: Database) -> None:
        self.session = db.session

    async def write(self, _write: Callable[[Session], Any]) -> Any:
        raise OSError("disk full")


@pytest.fixture
async def turn(db: Database, clock: ManualClock) -> Turn:
    store = ThreadStore(db, clock)
    thread = await store.create(CALLER, end_user_id=None, metadata={}, thread_id=None)
    journal = Journal(db, clock, "one")
    return await journal.begin(CALLER, thread.id, parse_turn({"model": "sim-small", "content": "hi"}))


def end(session: Session, turn_id: str) -> None:
    session.execute(text("UPDATE turn SET status = 'completed' WHERE id = :id"), {"id": turn_id})


async def frames(hub: EventHub, turn_id: str, after: int = 0) -> list[bytes]:
    async with asyncio.timeout(10):
        return await frames_of(hub.subscribe(turn_id, after))


async def test_closing_during_a_write_logs_every_event_once_and_ends_the_subscribers(
    db: Database, turn: Turn
) -> None:
    slow: Any = SlowCommits(db)
    hub = EventHub(slow)
    live = hub.open(turn.id, turn.attempt)
    watching = asyncio.create_task(frames(hub, turn.id))
    live.publish({"type": "one"})
    await slow.writing.wait()
    live.publish({"type": "two"})
    closing = asyncio.create_task(hub.close(live))
    await asyncio.sleep(0)
    slow.answering.set()
    await closing
    await db.write(lambda session: end(session, turn.id))
    seen = await watching
    assert [frame.split(b"\n")[0] for frame in seen] == [b"event: one", b"event: two"]
    assert await frames(hub, turn.id) == seen
    assert await frames(hub, turn.id, after=1) == seen[1:]
    async with db.session() as session:
        chunks = (await session.exec(select(TurnEventChunk).order_by(col(TurnEventChunk.first_id)))).all()
    assert [(chunk.first_id, chunk.last_id) for chunk in chunks] == [(1, 1), (2, 2)]


async def test_a_log_that_cannot_be_written_does_not_keep_subscribers_waiting(
    db: Database, turn: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = BrokenLog(db)
    hub = EventHub(broken)
    live = hub.open(turn.id, turn.attempt)
    watching = asyncio.create_task(frames(hub, turn.id))
    live.publish({"type": "one"})
    await asyncio.sleep(2 * FLUSH_EVERY_S)
    await db.write(lambda session: end(session, turn.id))
    await hub.close(live)
    assert [frame.split(b"\n")[0] for frame in await watching] == [b"event: one"]
    assert f"the last events of {turn.id} could not be logged" in caplog.text
