"""How a turn's events are kept: little in memory, all in the log, nothing for readers that do not read."""

import asyncio
import random

import pytest
from sqlmodel import Session, select, update

from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from tests.threads.frames import frames_of, split
from threads import event_log, live_turn
from threads.event_log import LogReader, add_to_log, encode_frame
from threads.events import EventHub
from threads.journal import Journal
from threads.live_turn import LiveTurn
from threads.models import Turn, TurnEventChunk
from threads.store import ThreadStore
from threads.turn_request import parse_turn

CALLER = Caller("acct_1", "key_1", "standard")


@pytest.fixture
def journal(db: Database, clock: ManualClock) -> Journal:
    return Journal(db, clock, "one")


@pytest.fixture
async def turn(db: Database, clock: ManualClock, journal: Journal) -> Turn:
    thread = await ThreadStore(db, clock).create(CALLER, end_user_id=None, metadata={}, thread_id=None)
    return await journal.begin(CALLER, thread.id, parse_turn({"model": "sim-small", "content": "hi"}))


def delta(number: int, size: int = 5) -> dict[str, object]:
    return {"type": "content_block_delta", "number": number, "text": "x" * size}


async def test_readers_of_any_speed_get_every_frame_once_and_hold_nothing_up(
    db: Database, turn: Turn, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((live_turn, "PIECE_BYTES"), (event_log, "PIECE_BYTES"), (event_log, "ROW_BYTES")):
        monkeypatch.setattr(module, name, 4_000)
    monkeypatch.setattr(live_turn, "TAIL_BYTES", 4_000)
    monkeypatch.setattr(live_turn, "FLUSH_EVERY_S", 0.002)
    hub, chance = EventHub(db), random.Random(1)
    live = hub.open(turn.id, turn.attempt)
    largest = 0

    async def read(pause_s: float) -> list[bytes]:
        nonlocal largest
        frames: list[bytes] = []
        async for piece in hub.subscribe(turn.id):
            largest = max(largest, len(piece))
            frames += split(piece)
            await asyncio.sleep(pause_s)
        return frames

    asleep = hub.subscribe(turn.id)
    readers = [asyncio.create_task(read(pause)) for pause in (0, 0.001, 0.01)]
    for number in range(1_500):
        live.publish(delta(number, chance.choice((1, 5, 200))))
        if number == 0:
            asleep_got = [await anext(asleep)]
        if number % 37 == 0:
            await asyncio.sleep(0.001)
    await live.flush()
    assert live._bytes <= 4_000 and sum(map(len, live._frames)) == live._bytes
    await live.conclude(
        lambda last: journal.finish(turn, "completed", lambda session: last.log(session, {"type": "end"}))
    )
    await hub.close(live)
    async with asyncio.timeout(30):
        results = await asyncio.gather(*readers)
        asleep_got += [piece async for piece in asleep]
    assert results[0][-1] == b'event: end\nid: 1501\ndata: {"type":"end"}\n\n'
    assert [frame.split(b"\n")[1] for frame in results[0]] == [b"id: %d" % n for n in range(1, 1_502)]
    assert all(result == results[0] for result in results)
    assert split(b"".join(asleep_got)) == results[0]
    assert largest <= 4_000


async def test_a_long_log_is_read_a_part_at_a_time(db: Database, turn: Turn) -> None:
    """100,000 events, in rows as a turn of an hour leaves them, and some as large as rows may be."""
    frames = [encode_frame(number + 1, delta(number)) for number in range(100_000)]

    def write(session: Session) -> None:
        for start in range(0, 5_000, 10):
            add_to_log(session, turn.id, 1, start + 1, frames[start : start + 10])
        add_to_log(session, turn.id, 1, 5_001, frames[5_000:])

    await db.write(write)
    reader, read, reads = LogReader(db, turn.id, 5), bytearray(), 0
    while pieces := await reader.read():
        assert sum(map(len, pieces)) <= event_log.MOST_ROWS * event_log.ROW_BYTES
        read += b"".join(pieces)
        reads += 1
    assert reader.after == 100_000
    assert bytes(read) == b"".join(frames[5:])
    assert len(read) / event_log.PIECE_BYTES / 2 < reads < 400


async def test_whoever_finds_a_turn_ended_finds_its_last_events(
    db: Database, turn: Turn, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if its process dies right then: the end and the events that tell it are one transaction."""
    monkeypatch.setattr(live_turn, "FLUSH_EVERY_S", 1_000)
    live = EventHub(db).open(turn.id, turn.attempt)
    live.publish(delta(1))
    reading = asyncio.create_task(frames_of(EventHub(db).subscribe(turn.id)))
    await live.conclude(
        lambda last: journal.finish(turn, "completed", lambda session: last.log(session, {"type": "end"}))
    )
    async with asyncio.timeout(10):
        assert [frame.split(b"\n")[0] for frame in await reading] == [
            b"event: content_block_delta",
            b"event: end",
        ]
    await live.close()
    async with db.session() as session:
        assert len((await session.exec(select(TurnEventChunk))).all()) == 1


async def test_what_cannot_end_a_turn_tells_nobody_that_it_ended(
    db: Database, turn: Turn, journal: Journal
) -> None:
    live = LiveTurn(turn.id, turn.attempt, db)
    live.publish(delta(1))

    async def fails(last: live_turn.LastEvents) -> None:
        def write(session: Session) -> None:
            last.log(session, {"type": "end"})
            raise OSError("disk full")

        await db.write(write)

    with pytest.raises(OSError, match="disk full"):
        await live.conclude(fails)
    await live.close()
    assert live.after(0) == (encode_frame(1, delta(1)), 1)
    reader = LogReader(db, turn.id, 0)
    assert await reader.read() == [encode_frame(1, delta(1))]


async def test_a_process_that_lost_a_turn_adds_nothing_to_its_log(db: Database, turn: Turn) -> None:
    live = LiveTurn(turn.id, turn.attempt, db)
    live.publish(delta(1))
    await live.flush()
    await db.write(lambda session: session.exec(update(Turn).values(attempt=2)))
    live.publish(delta(2))
    await live.close()
    assert await LogReader(db, turn.id, 0).read() == [encode_frame(1, delta(1))]


async def test_a_model_is_not_read_on_while_the_log_is_far_behind(
    db: Database, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "MOST_UNLOGGED_BYTES", 1_000)
    monkeypatch.setattr(live_turn, "FLUSH_EVERY_S", 0.3)
    live = LiveTurn(turn.id, turn.attempt, db)
    await asyncio.wait_for(live.room(), 0.1)
    live.publish(delta(1, 2_000))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(live.room(), 0.05)
    await asyncio.wait_for(live.room(), 5)
    await live.close()
