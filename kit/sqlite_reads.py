"""SQLite for SQLAlchemy's asyncio, for reading: what takes long runs in a thread, the rest where it is asked.

A look-up by key takes SQLite some 20 µs, and handing it to a thread and back many times that: the driver
that SQLAlchemy brings for this does so five times for each query. Here a query begins in the event loop's own
thread; one that has not ended after ``QUICK_STEPS`` instructions is stopped and begun again in a thread.
Queries change nothing, and are in one transaction, so the second run sees what the first one saw.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any

QUICK_STEPS = 10_000
"""Instructions of SQLite's virtual machine, well below a millisecond."""
NOT_COUNTED = (" MATCH ", "vec_distance_")
"""Virtual tables (full-text search) work without instructions, and a vector function does much in one: they
are never quick."""


class SlowQuery(Exception):
    """Not for the event loop."""


class ReadConnection:
    """As much of ``aiosqlite.Connection`` as SQLAlchemy's dialect of that name uses. One query at a time."""

    def __init__(self, path: str, pragmas: Sequence[str], threads: ThreadPoolExecutor) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in pragmas:
            self._connection.execute(f"PRAGMA {pragma}")
        self._threads = threads
        self._running: Future[list[Any]] | None = None

    @property
    def driver(self) -> sqlite3.Connection:
        return self._connection

    @property
    def isolation_level(self) -> str | None:
        return self._connection.isolation_level

    def cursor(self) -> "ReadCursor":
        return ReadCursor(self, self._connection.cursor())

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        self._connection.create_function(*arguments, **options)

    async def commit(self) -> None:
        await self._idle()
        self._connection.commit()

    async def rollback(self) -> None:
        await self._idle()
        self._connection.rollback()

    async def close(self) -> None:
        await self._idle()
        self._connection.close()

    def stop(self) -> None:
        """Close without waiting."""
        self._connection.interrupt()
        if self._running is not None:
            self._running.cancel()
        self._connection.close()

    def quickly(self, cursor: sqlite3.Cursor, operation: str, parameters: Any) -> list[Any]:
        """The rows. Raises SlowQuery, or sqlite3.Error."""
        if any(one in operation for one in NOT_COUNTED):
            raise SlowQuery
        self._connection.set_progress_handler(_stop, QUICK_STEPS)
        try:
            return _rows(cursor, operation, parameters)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise SlowQuery from None
            raise
        finally:
            self._connection.set_progress_handler(None, 0)

    async def in_thread(self, cursor: sqlite3.Cursor, operation: str, parameters: Any) -> list[Any]:
        """The rows. A query that nobody waits for any more is stopped before the connection's next use."""
        self._running = running = self._threads.submit(_rows, cursor, operation, parameters)
        rows = await asyncio.wrap_future(running)
        self._running = None
        return rows

    async def _idle(self) -> None:
        running, self._running = self._running, None
        if running is None or running.done():
            return
        while not running.done():
            self._connection.interrupt()
            with suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(running)), 0.05)


class ReadCursor:
    """As much of ``aiosqlite.Cursor``. All rows are there when ``execute`` is done."""

    def __init__(self, connection: ReadConnection, cursor: sqlite3.Cursor) -> None:
        self._connection = connection
        self._cursor = cursor
        self._fetched: list[Any] = []

    async def __aenter__(self) -> "ReadCursor":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def execute(self, operation: str, parameters: Any = ()) -> "ReadCursor":
        try:
            self._fetched = self._connection.quickly(self._cursor, operation, parameters)
        except SlowQuery:
            self._fetched = await self._connection.in_thread(self._cursor, operation, parameters)
        return self

    async def fetchall(self) -> list[Any]:
        rows, self._fetched = self._fetched, []
        return rows

    async def close(self) -> None:
        self._cursor.close()

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid


def _rows(cursor: sqlite3.Cursor, operation: str, parameters: Any) -> list[Any]:
    cursor.execute(operation, parameters)
    return cursor.fetchall()


def _stop() -> int:
    return 1
