"""A turn's stream of events, shown to any number of subscribers.

Invariants: ids grow within a turn; what a subscriber gets after id N is exactly the frames with a greater
id, each once, whether they come from memory (a live turn of this process) or from the log. A subscriber
holds about ``PIECE_BYTES``, however slowly it reads.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from sqlmodel import col, func, select

from kit.db import Database
from threads.event_log import IDS_PER_ATTEMPT, LogReader, ping_frame
from threads.live_turn import LiveTurn
from threads.lookout import Lookout
from threads.models import Turn, TurnEventChunk

PING_EVERY_S = 15.0
POLL_EVERY_S = 0.25
UNDER_WAY = frozenset({"running", "queued"})

_State = tuple[str, int | None]
"""A turn's status, and where its newest row of the log begins."""


class EventHub:
    """Finds a turn's events wherever they are."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._live: dict[str, LiveTurn] = {}
        self._lookout = Lookout(self._states, POLL_EVERY_S)
        self._watching = self._showing = True

    def open(self, turn_id: str, attempt: int) -> LiveTurn:
        live = self._live[turn_id] = LiveTurn(turn_id, attempt, self._db)
        self._lookout.wake(turn_id)
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

    def stop_watching(self) -> None:
        """The process is about to stop: streams of turns that it does not run itself end."""
        self._watching = False
        self._lookout.wake_all()

    def stop(self) -> None:
        """All streams end, after a whole frame: their readers go on elsewhere."""
        self._showing = False
        self.stop_watching()
        for live in self._live.values():
            live.changed.set()

    async def subscribe(self, turn_id: str, after: int = 0) -> AsyncIterator[bytes]:
        """The frames with ids above ``after``, one or more at once, until the turn is finished or waits for
        somebody; pings while nothing happens, also while it is queued."""
        log = LogReader(self._db, turn_id, after)
        time = asyncio.get_running_loop().time
        ping_at = time() + PING_EVERY_S
        live: LiveTurn | None = None
        while self._showing:
            if live is None or not live.over:
                live = self._live.get(turn_id)
            oldest = live.first_id if live is not None else 0
            if live is not None and (found := live.after(log.after)) is not None:
                data, log.after = found
                if data:
                    yield data
                    ping_at = time() + PING_EVERY_S
                    continue
                if not live.closed.is_set():
                    if not await _changed(live, ping_at - time()):
                        yield ping_frame(log.after)
                        ping_at = time() + PING_EVERY_S
                    continue
                if live.over:
                    return
            logged = await log.read()
            for piece in logged:
                yield piece
            if logged:
                ping_at = time() + PING_EVERY_S
            elif live is not None and not live.closed.is_set():
                log.after = max(log.after, oldest - 1)  # what was dropped from memory is logged
            elif not await self._more_to_come(turn_id, log.after, ping_at - time()):
                while logged := await log.read():
                    for piece in logged:
                        yield piece
                return
            elif time() >= ping_at:
                yield ping_frame(log.after)
                ping_at = time() + PING_EVERY_S

    async def until_idle(self, turn_id: str) -> None:
        """Until the turn has ended or waits for somebody, whichever process runs it."""
        while True:
            live = self._live.get(turn_id)
            if live is not None and not live.closed.is_set():
                await live.closed.wait()
                if live.over:
                    return
                continue
            state = await self._state(turn_id)
            if state is None or state[0] not in UNDER_WAY:
                return
            await self._lookout.changed(turn_id, state, PING_EVERY_S)

    async def _more_to_come(self, turn_id: str, after: int, timeout_s: float) -> bool:
        """Wait for news of a turn that another process runs, or nobody yet; False if none will come, here."""
        state = await self._state(turn_id)
        if state is None or state[0] not in UNDER_WAY or not self._watching:
            return False
        if (state[1] or 0) <= after and turn_id not in self._live:
            await self._lookout.changed(turn_id, state, timeout_s)
        return True

    async def _state(self, turn_id: str) -> _State | None:
        return (await self._states([turn_id])).get(turn_id)

    async def _states(self, turn_ids: Sequence[str]) -> Mapping[str, _State]:
        newest = (
            select(func.max(TurnEventChunk.first_id))
            .where(TurnEventChunk.turn_id == Turn.id)
            .correlate(Turn)
            .scalar_subquery()
        )
        query = select(Turn.id, Turn.status, newest).where(col(Turn.id).in_(turn_ids))
        async with self._db.session() as session:
            return {row[0]: (row[1], row[2]) for row in (await session.exec(query)).all()}


async def _changed(live: LiveTurn, timeout_s: float) -> bool:
    """Whether there is something new within the time."""
    live.changed.clear()
    with suppress(TimeoutError):
        await asyncio.wait_for(live.changed.wait(), timeout_s)
        return True
    return False
