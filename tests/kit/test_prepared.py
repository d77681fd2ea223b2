"""Prepared statements: the same rows, values and errors as SQLAlchemy's own way, on both databases."""

import json
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session

from kit.columns import json_column
from kit.db import Database
from kit.prepared import BulkInsert, Driver, OneOf, Prepared

WORDS = Table(
    "words", MetaData(), Column("word", String, primary_key=True), Column("n", BigInteger, nullable=False)
)
INSERT = Prepared(insert(WORDS))
CHOSEN = Prepared(select(WORDS.c.word, WORDS.c.n).where(OneOf(WORDS.c.word, "ids")).order_by(WORDS.c.n))
RENUMBER = Prepared(update(WORDS).where(WORDS.c.word == bindparam("which")).values(n=bindparam("number")))
ODD_WORDS = ["it's", 'a "quote"', "100%", "%s", ":name", "?", "[1]", "\\", "🧵", "", "null", "line\nline"]


@pytest.fixture
async def words(db: Database) -> Database:
    create = text("CREATE TABLE words (word VARCHAR PRIMARY KEY, n BIGINT NOT NULL)")
    await db.write(lambda session: session.connection().execute(create))
    rows = [{"word": word, "n": number} for number, word in enumerate(ODD_WORDS)]
    await db.write(lambda session: INSERT.run(Driver.of(session.connection()), rows))
    return db


async def chosen(db: Database, ids: list[str]) -> list[tuple[str, int]]:
    def read(session: Session) -> list[tuple[str, int]]:
        driver = Driver.of(session.connection())
        return [(row[0], row[1]) for row in CHOSEN.rows(driver, {"ids": driver.values_of(ids)})]

    return await db.write(read)


async def test_all_of_any_number_of_values_are_found(words: Database) -> None:
    everything = [(word, number) for number, word in enumerate(ODD_WORDS)]
    assert await chosen(words, ODD_WORDS) == everything
    assert await chosen(words, [*ODD_WORDS, "absent"]) == everything
    assert await chosen(words, []) == []
    for number, word in enumerate(ODD_WORDS):
        assert await chosen(words, [word]) == [(word, number)]


async def test_one_and_many_rows_are_changed(words: Database) -> None:
    one = [{"which": "?", "number": 2**62}]
    many = [{"which": "%s", "number": 100}, {"which": "🧵", "number": 101}]
    await words.write(lambda session: RENUMBER.run(Driver.of(session.connection()), one))
    await words.write(lambda session: RENUMBER.run(Driver.of(session.connection()), many))
    assert await chosen(words, ["?", "%s", "🧵"]) == [("%s", 100), ("🧵", 101), ("?", 2**62)]


async def test_the_drivers_errors_are_sqlalchemys_and_undo_the_write(words: Database) -> None:
    def twice(session: Session) -> None:
        INSERT.run(Driver.of(session.connection()), [{"word": "new", "n": 1}])
        INSERT.run(Driver.of(session.connection()), [{"word": "new", "n": 2}])

    with pytest.raises(IntegrityError) as caught:
        await words.write(twice)
    assert caught.value.connection_invalidated is False
    assert "new" not in str(caught.value.params)
    assert await chosen(words, ["new"]) == []
    await words.write(lambda session: INSERT.run(Driver.of(session.connection()), [{"word": "new", "n": 3}]))


async def test_a_statement_that_the_database_refuses_is_a_database_error(words: Database) -> None:
    nowhere = Prepared(select(Table("nowhere", MetaData(), Column("id", String)).c.id))
    with pytest.raises(DBAPIError):
        await words.write(lambda session: nowhere.rows(Driver.of(session.connection()), {}))


THINGS = Table(
    "things",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("big", BigInteger, nullable=False),
    Column("flag", Boolean, nullable=False),
    Column("note", String),
    Column("data", json_column(nullable=True).type),
    Column("select", String),  # a name that must be quoted
)


@pytest.mark.parametrize("count", [1, 2, 500])
async def test_rows_arrive_as_they_were_given(db: Database, count: int) -> None:
    rows = [
        {
            "id": f"{number} {ODD_WORDS[number % len(ODD_WORDS)]}",
            "big": 2**63 - 1 - number,
            "flag": number % 2 == 0,
            "note": ODD_WORDS[-1 - number % len(ODD_WORDS)] if number % 3 else None,
            "data": json.dumps({"text": ODD_WORDS, "n": 2**60, "nested": [None, 1.5]})
            if number % 5
            else None,
            "select": "word",
        }
        for number in range(count)
    ]

    def write(session: Session) -> list[dict[str, Any]]:
        connection = session.connection()
        THINGS.create(connection)
        BulkInsert(THINGS).run(Driver.of(connection), rows)
        return [dict(row) for row in connection.execute(select(THINGS)).mappings()]

    stored = {row["id"]: row for row in await db.write(write)}
    assert len(stored) == count
    for row in rows:
        data = row["data"]
        assert stored[row["id"]] == {**row, "data": json.loads(data) if isinstance(data, str) else None}


async def test_a_row_that_cannot_be_stored_undoes_the_write(db: Database) -> None:
    row = {"id": "a", "big": 1, "flag": True, "note": None, "data": None, "select": None}
    await db.write(lambda session: THINGS.create(session.connection()))
    with pytest.raises(IntegrityError):
        await db.write(lambda session: BulkInsert(THINGS).run(Driver.of(session.connection()), [row, row]))
    count = select(func.count()).select_from(THINGS)
    assert await db.write(lambda session: session.connection().execute(count).scalar_one()) == 0


async def test_a_connection_keeps_its_driver_and_that_its_cursor(words: Database) -> None:
    """A cursor that is garbage is reset by whichever thread collects it, while the connection is in use."""
    first, second = [await words.write(lambda session: Driver.of(session.connection())) for _ in range(2)]
    if words.dialect == "sqlite":  # PostgreSQL has several writers, each with a connection of its own
        assert first is second
    assert await words.write(
        lambda session: Driver.of(session.connection()) is Driver.of(session.connection())
    )
