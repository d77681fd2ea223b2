"""A time limit that stands still while somebody else has to act."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Moves the limit of an ``asyncio.timeout``, once it has one, by what it stood still."""

    def __init__(self) -> None:
        self._limit: asyncio.Timeout | None = None
        self._stopped = 0
        self._left_s = 0.0

    @contextmanager
    def running(self, limit: asyncio.Timeout) -> Iterator[None]:
        """The work that has this limit."""
        self._limit = limit
        try:
            yield
        finally:
            self._limit = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """May be entered again meanwhile."""
        limit, time = self._limit, asyncio.get_running_loop().time
        if self._stopped == 0 and limit is not None and limit.when() is not None:
            self._left_s = (limit.when() or 0.0) - time()
            limit.reschedule(None)
        self._stopped += 1
        try:
            yield
        finally:
            self._stopped -= 1
            if self._stopped == 0 and limit is not None and limit is self._limit:
                limit.reschedule(time() + self._left_s)
