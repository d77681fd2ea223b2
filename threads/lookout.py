"""Waiting for rows to change: one query now and then for all who wait in this process, however many."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

logger = logging.getLogger("heddle.threads")

S = TypeVar("S")
KEYS_AT_ONCE = 500


class Lookout(Generic[S]):
    """``look`` reads the states of some keys; it runs every ``every_s`` while anybody waits, and at once for
    a key that there is a hint about."""

    def __init__(self, look: Callable[[Sequence[str]], Awaitable[Mapping[str, S]]], every_s: float) -> None:
        self._look = look
        self._every_s = every_s
        self._waiting: dict[str, dict[asyncio.Future[None], S | None]] = {}
        self._hinted: set[str] = set()
        self._hint = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def changed(self, key: str, known: S | None, timeout_s: float) -> bool:
        """Whether the state of ``key`` has become another than the ``known`` one, or somebody was woken,
        before the time was up."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, {})[future] = known
        if self._task is None:
            self._task = asyncio.create_task(self._look_for_ever())
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        finally:
            waiting = self._waiting[key]
            del waiting[future]
            if not waiting:
                del self._waiting[key]
        return True

    def hint(self, key: str) -> None:
        """The rows of ``key`` may have changed."""
        if key in self._waiting:
            self._hinted.add(key)
            self._hint.set()

    def wake(self, key: str) -> None:
        """Whoever waits for ``key`` is to look for himself."""
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(None)

    def wake_all(self) -> None:
        for key in self._waiting:
            self.wake(key)

    async def _look_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._every_s
        try:
            while self._waiting:
                try:
                    async with asyncio.timeout_at(due):
                        await self._hint.wait()
                except TimeoutError:
                    due = loop.time() + self._every_s
                    keys = list(self._waiting)
                else:
                    keys = [key for key in self._hinted if key in self._waiting]
                self._hint.clear()
                self._hinted.clear()
                await self._look_at(keys)
        finally:
            self._task = None

    async def _look_at(self, keys: list[str]) -> None:
        for start in range(0, len(keys), KEYS_AT_ONCE):
            part = keys[start : start + KEYS_AT_ONCE]
            try:
                states = await self._look(part)
            except Exception:
                logger.exception("looking for changes failed; it is tried again")
                return
            for key in part:
                state = states.get(key)
                for future, known in self._waiting.get(key, {}).items():
                    if state != known and not future.done():
                        future.set_result(None)
