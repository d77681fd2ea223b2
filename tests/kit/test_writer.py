"""The group-commit writer: durable results, isolated failures, no write unanswered."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from kit.db import Database


def create_table(session: Session) -> None:
    session.connection().execute(text("CREATE TABLE tally (id INTEGER PRIMARY KEY, n BIGINT NOT NULL)"))


@pytest.fixture
async def table(db: Database) -> Database:
    await db.write(create_table)
    return db


def insert(row_id: int) -> Callable[[Session], int]:
    def write(session: Session) -> int:
        session.connection().execute(text("INSERT INTO tally VALUES (:id, 0)"), {"id": row_id})
        return row_id

    return write


async def ids(db: Database) -> list[int]:
    async with db.session() as session:
        return list(
            (await (await session.connection()).execute(text("SELECT id FROM tally ORDER BY id"))).scalars()
        )


async def test_concurrent_writes_are_all_applied_and_answered(table: Database) -> None:
    answers = await asyncio.gather(*(table.write(insert(n)) for n in range(300)))
    assert answers == list(range(300))
    assert await ids(table) == list(range(300))


async def test_a_failing_write_leaves_nothing_and_disturbs_nobody(table: Database) -> None:
    def half_then_fail(session: Session) -> None:
        insert(1000)(session)
        raise ValueError("no")

    results = await asyncio.gather(
        *(table.write(insert(n)) for n in range(20)),
        table.write(half_then_fail),
        table.write(insert(5)),  # a duplicate key
        *(table.write(insert(n)) for n in range(20, 40)),
        return_exceptions=True,
    )
    assert isinstance(results[20], ValueError)
    assert isinstance(results[21], Exception)
    assert await ids(table) == list(range(40))


async def test_increments_from_many_tasks_do_not_get_lost(table: Database) -> None:
    await table.write(insert(1))

    def increment(session: Session) -> None:
        session.connection().execute(text("UPDATE tally SET n = n + 1 WHERE id = 1"))

    await asyncio.gather(*(table.write(increment) for _ in range(200)))
    async with table.session() as session:
        assert (await (await session.connection()).execute(text("SELECT n FROM tally"))).scalar_one() == 200


async def test_deadlocked_transactions_are_retried(table: Database) -> None:
    await table.write(insert(1))
    await table.write(insert(2))

    def touch(*row_ids: int) -> Callable[[Session], None]:
        def write(session: Session) -> None:
            for row_id in row_ids:
                session.connection().execute(
                    text("UPDATE tally SET n = n + 1 WHERE id = :id"), {"id": row_id}
                )

        return write

    await asyncio.gather(*(table.write(touch(1, 2) if n % 2 else touch(2, 1)) for n in range(200)))
    async with table.session() as session:
        assert list((await (await session.connection()).execute(text("SELECT n FROM tally"))).scalars()) == [
            200,
            200,
        ]


async def test_a_cancelled_waiter_does_not_break_the_batch(table: Database) -> None:
    waiter = asyncio.create_task(table.write(insert(1)))
    await asyncio.sleep(0)
    waiter.cancel()
    assert await table.write(insert(2)) == 2


async def test_a_lost_connection_costs_no_write(postgres_url: str) -> None:
    """Everything that was not committed yet is done again on a new connection, once."""
    db = Database(postgres_url)
    await db.write(create_table)
    await asyncio.gather(*(db.write(insert(n)) for n in range(40)))
    with psycopg.connect(postgres_url, autocommit=True) as other:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        other.execute(f"{others} AND pid <> pg_backend_pid()")
    assert await asyncio.gather(*(db.write(insert(n)) for n in range(40, 80))) == list(range(40, 80))

    attempts = []

    def dies_in_the_middle(session: Session) -> None:
        attempts.append(1)
        insert(100)(session)
        if len(attempts) == 1:
            own = session.connection().execute(text("SELECT pg_backend_pid()")).scalar_one()
            with psycopg.connect(postgres_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [own])
        insert(101)(session)

    await db.write(dies_in_the_middle)
    assert await ids(db) == [*range(80), 100, 101]
    assert len(attempts) == 2
    await db.close()


async def test_the_only_writer_goes_on_after_a_commit_that_failed(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/commit.db")
    await db.write(create_table)
    deferred = "CREATE TABLE child (n INTEGER REFERENCES tally (id) DEFERRABLE INITIALLY DEFERRED)"
    await db.write(lambda session: session.connection().execute(text(deferred)))
    orphan = text("INSERT INTO child VALUES (77)")
    for number in (1, 2):
        with pytest.raises(IntegrityError):
            await db.write(lambda session: session.connection().execute(orphan))
        await db.write(insert(number))
    assert await ids(db) == [1, 2]
    count = text("SELECT count(*) FROM child")
    assert await db.write(lambda session: session.connection().execute(count).scalar_one()) == 0
    await db.close()


async def test_a_commit_that_fails_is_told_and_the_next_one_works(postgres_url: str) -> None:
    db = Database(postgres_url)
    await db.write(create_table)
    deferred = text("ALTER TABLE tally ADD CONSTRAINT n_once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED")
    await db.write(lambda session: session.connection().execute(deferred))
    await db.write(insert(1))
    with pytest.raises(IntegrityError):
        await db.write(insert(2))
    await db.write(lambda session: session.connection().execute(text("DELETE FROM tally")))
    await db.write(insert(3))
    assert await ids(db) == [3]
    await db.close()
