"""The background task that keeps the sums close behind the events."""

import asyncio
import logging
from contextlib import suppress

from sqlmodel import Session

from gateway.usage.rollup import accounts_to_roll, roll_step
from kit.clock import Clock
from kit.crash_points import reach
from kit.db import Database

logger = logging.getLogger("heddle.usage")

ROLL_EVERY_S = 2.0
LAG_MS = 1_000
"""How far behind the clock the sums stay, so that calls which are being settled keep their own time."""


class Roller:
    """Rolls every account's events up; several processes may, each event is counted once all the same."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._roll_for_ever())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def roll(self) -> None:
        """Bring the sums of all accounts up to ``LAG_MS`` before now."""
        until_ms = self._clock.now_ms() - LAG_MS
        async with self._db.session() as session:
            connection = await session.connection()
            accounts = (await connection.execute(accounts_to_roll(until_ms))).scalars().all()
        for account_id in accounts:
            more = True
            while more:  # between two steps the writer serves whoever waits
                more = await self._step(str(account_id), until_ms)
                reach("usage.roll.committed")

    async def _step(self, account_id: str, until_ms: int) -> bool:
        def write(session: Session) -> bool:
            more = roll_step(session, account_id, until_ms)
            reach("usage.roll.applied")
            return more

        return await self._db.write(write)

    async def _roll_for_ever(self) -> None:
        while True:
            await asyncio.sleep(ROLL_EVERY_S)
            try:
                await self.roll()
            except Exception:
                logger.exception("rolling usage up failed; it is tried again in %s s", ROLL_EVERY_S)
