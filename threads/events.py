"""A turn's stream of events: numbered, logged, and shown to any number of subscribers.

Invariants: ids grow within a turn; what a subscriber gets after id N is exactly the frames with a greater
id, each once, whether they come from memory (a live turn of this process) or from the log.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
from sqlmodel import Session, col, select

from kit.crash_points import reach
from kit.db import Database
from threads.models import Turn, TurnEventChunk

logger = logging.getLogger("heddle.threads")

FLUSH_EVERY_S = 0.05
IDS_PER_ATTEMPT = 10_000_000
"""A turn that is taken over numbers its events from ``(attempt - 1) * IDS_PER_ATTEMPT``: what a dead
process sent but could not log can never share an id with something else."""
PING_EVERY_S = 15.0
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
POLL_EVERY_S = 0.25


def encode_frame(event_id: int, event: dict[str, Any]) -> bytes:
    """One server-sent event: compact JSON in raw UTF-8, ``event`` equal to ``data.type``."""
    data = msgspec.json.encode(event)
    return b"event: %s\nid: %d\ndata: %s\n\n" % (str(event["type"]).encode(), event_id, data)


class LiveTurn:
    """The events of a turn that this process is running."""

    def __init__(self, turn_id: str, attempt: int, db: Database) -> None:
        self.turn_id = turn_id
        self.first_id = (attempt - 1) * IDS_PER_ATTEMPT + 1
        self.frames: list[bytes] = []
        self.closed = False
        self.changed = asyncio.Event()
        self._db = db
        self._flushed = 0
        self._flushing = asyncio.Lock()
        self._flusher = asyncio.create_task(self._flush_for_ever())

    def publish(self, event: dict[str, Any]) -> None:
        self.frames.append(encode_frame(self.first_id + len(self.frames), event))
        self.changed.set()

    async def flush(self) -> None:
        """Log everything published so far."""
        async with self._flushing:
            start, end = self._flushed, len(self.frames)
            if start == end:
                return
            row: dict[str, Any] = {
                "turn_id": self.turn_id,
                "first_id": self.first_id + start,
                "last_id": self.first_id + end - 1,
                "frames": b"".join(self.frames[start:end]).decode(),
            }

            def write(session: Session) -> None:
                session.add(TurnEventChunk(**row))
                session.flush()
                reach("turn.events.applied")

            await self._db.write(write)
            reach("turn.events.committed")
            self._flushed = end

    async def close(self) -> None:
        """No more events will come from this process. Subscribers end, even if the log cannot be written."""
        async with self._flushing:  # never in the middle of a write: its outcome would not be known
            self._flusher.cancel()
        with suppress(asyncio.CancelledError):
            await self._flusher
        try:
            await self.flush()
        except Exception:
            logger.exception("the last events of %s could not be logged", self.turn_id)
        finally:
            self.closed = True
            self.changed.set()

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self.flush()
            except Exception:
                logger.exception("logging the events of %s failed; it is tried again", self.turn_id)


class EventHub:
    """Finds a turn's events wherever they are."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._live: dict[str, LiveTurn] = {}
        self._opened: dict[str, asyncio.Event] = {}

    def open(self, turn_id: str, attempt: int) -> LiveTurn:
        live = self._live[turn_id] = LiveTurn(turn_id, attempt, self._db)
        if turn_id in self._opened:
            self._opened[turn_id].set()
        return live

    async def log_before(self, turn_id: str, attempt: int) -> dict[int, bytes]:
        """The frames that earlier attempts at a turn logged, by attempt."""
        query = select(TurnEventChunk).where(
            TurnEventChunk.turn_id == turn_id, TurnEventChunk.first_id <= (attempt - 1) * IDS_PER_ATTEMPT
        )
        async with self._db.session() as session:
            chunks = (await session.exec(query.order_by(col(TurnEventChunk.first_id)))).all()
        frames: dict[int, bytes] = {}
        for chunk in chunks:
            of = (chunk.first_id - 1) // IDS_PER_ATTEMPT + 1
            frames[of] = frames.get(of, b"") + chunk.frames.encode()
        return frames

    async def close(self, live: LiveTurn) -> None:
        try:
            await live.close()
        finally:
            if self._live.get(live.turn_id) is live:
                del self._live[live.turn_id]

    async def subscribe(self, turn_id: str, after: int = 0) -> AsyncIterator[bytes]:
        """The frames with ids above ``after``, until the turn is finished or waits for somebody; pings while
        nothing happens, also while it is queued."""
        silence = 0.0
        while True:
            live = self._live.get(turn_id)
            logged, after = await self._logged(turn_id, after, below=live.first_id if live else None)
            for frame in logged:
                yield frame
            if live is not None:
                async for frame, event_id in _tail(live, after):
                    after = event_id or after
                    yield frame
                continue
            if logged:
                silence = 0.0
                continue
            if not await self._is_under_way(turn_id):
                rest, after = await self._logged(turn_id, after, below=None)
                for frame in rest:
                    yield frame
                return
            if await self._silent_for(turn_id, POLL_EVERY_S):  # another process runs it, or it is queued
                silence += POLL_EVERY_S
            if silence >= PING_EVERY_S:
                silence = 0.0
                yield PING

    async def _logged(self, turn_id: str, after: int, *, below: int | None) -> tuple[list[bytes], int]:
        query = select(TurnEventChunk).where(
            TurnEventChunk.turn_id == turn_id, TurnEventChunk.last_id > after
        )
        if below is not None:
            query = query.where(TurnEventChunk.first_id < below)
        async with self._db.session() as session:
            chunks = (await session.exec(query.order_by(col(TurnEventChunk.first_id)))).all()
        frames: list[bytes] = []
        for chunk in chunks:
            split = [part + b"\n\n" for part in chunk.frames.encode().split(b"\n\n") if part]
            frames.extend(split[max(0, after + 1 - chunk.first_id) :])
            after = chunk.last_id
        return frames, after

    async def _is_under_way(self, turn_id: str) -> bool:
        async with self._db.session() as session:
            status = (await session.exec(select(Turn.status).where(Turn.id == turn_id))).first()
        return status in {"running", "queued"}

    async def _silent_for(self, turn_id: str, seconds: float) -> bool:
        """Wait; False as soon as this process runs the turn."""
        opened = self._opened.setdefault(turn_id, asyncio.Event())
        try:
            await asyncio.wait_for(opened.wait(), seconds)
        except TimeoutError:
            return True
        finally:
            if self._opened.get(turn_id) is opened:
                del self._opened[turn_id]
        return False


async def _tail(live: LiveTurn, after: int) -> AsyncIterator[tuple[bytes, int | None]]:
    """A live turn's frames above ``after`` with their ids, pings between them, until it closes."""
    position = max(0, after + 1 - live.first_id)
    while True:
        while position < len(live.frames):
            yield live.frames[position], live.first_id + position
            position += 1
        if live.closed:
            return
        live.changed.clear()
        try:
            await asyncio.wait_for(live.changed.wait(), PING_EVERY_S)
        except TimeoutError:
            yield PING, None


def log_frames(session: Session, turn: Turn, events: list[dict[str, Any]]) -> None:
    """Log events of a turn that no process is running, as the next attempt at it would number them."""
    first_id = turn.attempt * IDS_PER_ATTEMPT + 1
    frames = [encode_frame(first_id + number, event) for number, event in enumerate(events)]
    session.add(
        TurnEventChunk(
            turn_id=turn.id,
            first_id=first_id,
            last_id=first_id + len(frames) - 1,
            frames=b"".join(frames).decode(),
        )
    )


def last_event_id(session: Session, turn_id: str) -> int:
    """The id of the newest logged event; 0 if there is none."""
    query = select(TurnEventChunk.last_id).where(TurnEventChunk.turn_id == turn_id)
    return session.exec(query.order_by(col(TurnEventChunk.last_id).desc())).first() or 0
