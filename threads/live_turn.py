"""The events of a turn that this process is running: in memory those that are not logged yet and a bounded
tail of the others. Whoever is further behind reads the log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlmodel import Session

from kit.crash_points import reach
from kit.db import Database
from kit.to_its_end import to_its_end
from threads.event_log import PIECE_BYTES, add_to_log, encode_frame, first_id_of

logger = logging.getLogger("heddle.threads")

T = TypeVar("T")

FLUSH_EVERY_S = 0.05
TAIL_BYTES = 64 * 1024
"""What is kept in memory although it is logged, for the subscribers that keep up."""
MOST_UNLOGGED_BYTES = 4 * 1024 * 1024
"""With more than this to be logged, a turn's model is not read on."""


class LiveTurn:
    """Numbers, keeps and logs what is published. Everything published between two flushes is one row."""

    def __init__(self, turn_id: str, attempt: int, db: Database) -> None:
        self.turn_id = turn_id
        self.attempt = attempt
        self.first_id = first_id_of(attempt)
        """The id of the oldest frame in memory."""
        self.changed = asyncio.Event()
        self.closed = asyncio.Event()
        self.over = False
        """Whether the turn has ended here: all its events are logged, and no others will come."""
        self._db = db
        self._frames: list[bytes] = []
        self._bytes = 0
        self._logged = 0
        """How many of the frames in memory are logged."""
        self._unlogged_bytes = 0
        self._unlogged = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._flushing = asyncio.Lock()
        self._flusher = asyncio.create_task(self._flush_for_ever())

    @property
    def next_id(self) -> int:
        return self.first_id + len(self._frames)

    def publish(self, event: dict[str, Any]) -> None:
        self._keep(encode_frame(self.next_id, event))
        self._unlogged.set()
        self.changed.set()

    async def interject(self, event: dict[str, Any]) -> None:
        """Publish an event while others may be running transactions: between them."""
        async with self._flushing:
            self.publish(event)

    async def room(self) -> None:
        """Wait while the log is too far behind."""
        await self._room.wait()

    def after(self, event_id: int) -> tuple[bytes, int] | None:
        """Frames after this one, joined, with the id of the last of them; no bytes if there are none yet,
        None if they are not all in memory."""
        start = event_id + 1 - self.first_id
        if start < 0:
            return None
        size, end = 0, start
        while end < len(self._frames) and (end == start or size + len(self._frames[end]) <= PIECE_BYTES):
            size += len(self._frames[end])
            end += 1
        return b"".join(self._frames[start:end]), event_id + max(0, end - start)

    async def flush(self) -> None:
        """Log everything published so far."""
        async with self._flushing:
            frames, first_id = self._frames[self._logged :], self.first_id + self._logged
            if not frames:
                return

            def write(session: Session) -> bool:
                added = add_to_log(session, self.turn_id, self.attempt, first_id, frames)
                reach("turn.events.applied")
                return added

            if not await self._db.write(write):
                logger.info("turn %s goes on elsewhere: its last events here are dropped", self.turn_id)
            reach("turn.events.committed")
            self._forget(len(frames))

    async def conclude(self, transaction: Callable[["LastEvents"], Awaitable[T]]) -> T:
        """Run a transaction, to its end, that logs events of its own with everything published so far. They
        are published once it has been committed: whoever finds its rows finds its events too, and nobody
        hears of what did not happen. Nothing else may be published meanwhile, but by other transactions,
        which wait. Raises what the transaction raises; nothing is published then."""
        return await to_its_end(self._conclude(transaction))

    async def _conclude(self, transaction: Callable[["LastEvents"], Awaitable[T]]) -> T:
        async with self._flushing:
            pending, first_id = self._frames[self._logged :], self.first_id + self._logged
            last = LastEvents(self, first_id, pending)
            result = await transaction(last)
            if last.frames:
                assert self.next_id == first_id + len(pending)
                for frame in last.frames:
                    self._keep(frame)
                self._forget(len(pending) + len(last.frames))
                self.changed.set()
            return result

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
            self.closed.set()
            self.changed.set()

    def _keep(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._bytes += len(frame)
        self._unlogged_bytes += len(frame)
        if self._unlogged_bytes > MOST_UNLOGGED_BYTES:
            self._room.clear()

    def _forget(self, logged: int) -> None:
        """So many more frames are logged: keep only the tail of all that are."""
        end = self._logged + logged
        self._unlogged_bytes -= sum(map(len, self._frames[self._logged : end]))
        self._logged, dropped = end, 0
        while dropped < end and self._bytes > TAIL_BYTES:
            self._bytes -= len(self._frames[dropped])
            dropped += 1
        del self._frames[:dropped]
        self.first_id += dropped
        self._logged -= dropped
        if self._unlogged_bytes <= MOST_UNLOGGED_BYTES:
            self._room.set()

    async def _flush_for_ever(self) -> None:
        while True:
            await self._unlogged.wait()
            await asyncio.sleep(FLUSH_EVERY_S)
            self._unlogged.clear()
            try:
                await self.flush()
            except Exception:
                logger.exception("logging the events of %s failed; it is tried again", self.turn_id)
                self._unlogged.set()


class LastEvents:
    """The events that tell of a transaction, to be logged by it."""

    def __init__(self, live: LiveTurn, first_id: int, pending: Sequence[bytes]) -> None:
        self._live = live
        self._first_id = first_id
        self._pending = pending
        self.frames: list[bytes] = []

    def log(self, session: Session, *events: dict[str, Any]) -> None:
        """Once in a transaction, which may be repeated."""
        next_id = self._first_id + len(self._pending)
        self.frames = [encode_frame(next_id + number, event) for number, event in enumerate(events)]
        add_to_log(
            session,
            self._live.turn_id,
            self._live.attempt,
            self._first_id,
            [*self._pending, *self.frames],
        )
