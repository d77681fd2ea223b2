"""Reading SQLite from the event loop: quick queries at once, long ones without stopping the loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from kit import sqlite_reads
from kit.db import Database
from kit.sqlite_reads import ReadConnection

COUNTING = (
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {}) SELECT count(*) FROM c"
)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/reads.db")
    await database.write(lambda session: session.connection().execute(text("CREATE TABLE word (id INTEGER)")))
    yield database
    await database.close()


async def count(db: Database, most: int) -> int:
    async with db.session() as session:
        connection = await session.connection()
        return int((await connection.execute(text(COUNTING.format(most)))).scalar_one())


async def test_a_quick_query_runs_where_it_is_asked(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()
    real = sqlite_reads._rows

    def noted(*arguments: object) -> object:
        threads.add(threading.current_thread())
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite_reads, "_rows", noted)
    assert await count(db, 10) == 10
    assert threads == {threading.main_thread()}
    assert await count(db, 100_000) == 100_000
    assert len(threads) == 2, "the long one went on in another"


async def test_the_loop_goes_on_while_a_long_query_runs(db: Database) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    assert await count(db, 300_000) == 300_000
    ticking.cancel()
    assert ticks > 100


async def test_a_query_that_nobody_waits_for_is_stopped_and_its_connection_works_on(db: Database) -> None:
    asked = asyncio.create_task(count(db, 10**12))
    while not any(thread.name.startswith("heddle-reader") for thread in threading.enumerate()):
        await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asked, 10)
    assert await asyncio.gather(*(count(db, 20) for _ in range(20))) == [20] * 20


async def test_a_reader_sees_one_moment_and_errors_are_the_databases(db: Database) -> None:
    async with db.session() as session:
        connection = await session.connection()
        words = text("SELECT count(*) FROM word")
        assert (await connection.execute(words)).scalar_one() == 0
        await db.write(lambda writing: writing.connection().execute(text("INSERT INTO word VALUES (1)")))
        assert (await connection.execute(words)).scalar_one() == 0
        with pytest.raises(OperationalError, match="no such table"):
            await connection.execute(text("SELECT * FROM nowhere"))
    async with db.session() as session:
        assert (await (await session.connection()).execute(words)).scalar_one() == 1


async def test_full_text_queries_never_stop_the_loop(tmp_path: Path) -> None:
    """They work without instructions that could be counted."""

    connection = ReadConnection(str(tmp_path / "x.db"), (), ThreadPoolExecutor(1))
    cursor = connection.cursor()
    await cursor.execute("CREATE VIRTUAL TABLE f USING fts5(t)")
    with pytest.raises(sqlite_reads.SlowQuery):
        connection.quickly(cursor._cursor, "SELECT * FROM f WHERE f MATCH ?", ("a",))
    await cursor.execute("SELECT * FROM f WHERE f MATCH ?", ("a",))
    assert await cursor.fetchall() == []
    await connection.close()
