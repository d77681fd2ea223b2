"""What is done for connections in the background, in every process.

When they were last used is written down; vendors that could not be told of a deletion are told again; tokens
that nobody uses are refreshed before their vendor lets them die; old connect sessions are deleted. Each of
these is safe to do in several processes at once: who refreshes or revokes is decided in the row.
"""

import asyncio
import logging
from contextlib import suppress

from sqlmodel import col, select

from connectors.connections import Connections
from connectors.credentials import Credentials
from connectors.models import Connection
from connectors.pauses import spread_ms
from connectors.session_purge import SessionPurge
from connectors.status import ENDED
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError

logger = logging.getLogger("heddle.connectors")

EVERY_MS = 60_000
IDLE_IN_A_ROUND = 100
IDLE_AT_ONCE = 4


class ConnectionUpkeep:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        connections: Connections,
        credentials: Credentials,
        sessions: SessionPurge,
    ) -> None:
        self._db = db
        self._clock = clock
        self._connections = connections
        self._credentials = credentials
        self._sessions = sessions
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._for_ever())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def keep_alive(self) -> None:
        """Refresh the tokens whose time without use has come: a few at once, a bounded number in a round."""
        now = self._clock.now_ms()
        query = (
            select(Connection)
            .where(
                col(Connection.keep_alive_at) <= now,
                col(Connection.status).not_in(ENDED),
                col(Connection.refresh_after) <= now,
                col(Connection.refresh_until) < now,
            )
            .order_by(col(Connection.keep_alive_at))
            .limit(IDLE_IN_A_ROUND)
        )
        async with self._db.session() as session:
            due = list((await session.exec(query)).all())
        places = asyncio.Semaphore(IDLE_AT_ONCE)

        async def renew(row: Connection) -> None:
            async with places:
                try:
                    await self._credentials.renewal.renew(row, "idle")
                except HeddleError as failure:
                    logger.warning("keeping connection %s alive failed: %s", row.id, failure.code)

        async with asyncio.TaskGroup() as group:
            for row in due:
                group.create_task(renew(row))

    async def _for_ever(self) -> None:
        works = (
            self._credentials.last_used.write,
            self._connections.revocations.attempt_due,
            self.keep_alive,
            self._sessions.step,
        )
        while True:
            await asyncio.sleep(spread_ms(EVERY_MS) / 1000)
            for work in works:
                try:
                    await work()
                except Exception:
                    logger.exception("the upkeep of connections failed; it is done again in a minute")
