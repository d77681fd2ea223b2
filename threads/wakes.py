"""Waking whoever runs something, in whatever process: a turn, because its rows have changed.

A wake is only a hint, which may be lost: the rows are the truth, and those who wait read them now and then.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import psycopg
from sqlalchemy import func, select
from sqlmodel import Session

from kit.db import Database

logger = logging.getLogger("heddle.threads")

CHANNEL = "heddle_turn"
AGAIN_AFTER_S = 2.0


class Wakes:
    """Calls ``on_wake`` with ids, of turns if no other ``channel`` is named: of this process at once, of
    others through PostgreSQL."""

    def __init__(self, db: Database, on_wake: Callable[[str], None], channel: str = CHANNEL) -> None:
        self._db = db
        self._channel = channel
        self._on_wake = on_wake
        self._shared = db.dialect == "postgresql"
        self._listener: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._shared:
            self._listener = asyncio.create_task(self._listen_for_ever())

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener

    async def wake(self, name: str) -> None:
        self._on_wake(name)
        if not self._shared:
            return

        def notify(session: Session) -> None:
            session.execute(select(func.pg_notify(self._channel, name)))

        await self._db.write(notify)

    async def _listen_for_ever(self) -> None:
        url = self._db.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {self._channel}")
                    async for notification in connection.notifies():
                        self._on_wake(notification.payload)
            except (psycopg.Error, OSError) as error:
                logger.warning("no wakes from other processes for now: %s", type(error).__name__)
            await asyncio.sleep(AGAIN_AFTER_S)
