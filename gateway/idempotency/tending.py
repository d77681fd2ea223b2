"""The background work: what is being carried out stays leased, what has expired goes."""

import asyncio
import logging
from contextlib import suppress

from gateway.idempotency.store import PURGED_AT_ONCE, Asked, IdempotencyStore

logger = logging.getLogger("heddle.idempotency")

RENEW_EVERY_S = 5.0
PURGE_EVERY_S = 60.0


class Tender:
    """Any number of processes may tend the same records."""

    def __init__(self, store: IdempotencyStore) -> None:
        self.running: set[Asked] = set()
        """The requests that this process is carrying out."""
        self._store = store
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._renew_for_ever()),
            asyncio.create_task(self._purge_for_ever()),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def purge(self) -> None:
        """Delete all that has expired, a part at a time: between two the writer serves whoever waits."""
        while await self._store.purge() == PURGED_AT_ONCE:
            pass

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                if self.running:
                    await self._store.renew(list(self.running))
            except Exception:
                logger.exception("renewing leases failed; it is tried again in %s s", RENEW_EVERY_S)

    async def _purge_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PURGE_EVERY_S)
            try:
                await self.purge()
            except Exception:
                logger.exception("purging answers failed; it is tried again in %s s", PURGE_EVERY_S)
