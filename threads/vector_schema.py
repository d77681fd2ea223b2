"""Switching search by meaning on and off: the vectors' tables, and the trigger that lists what lacks one.

The tables are not made by the migrations, because ``vector`` is an extension of PostgreSQL that not every
installation has or may create. They refer to the search entries, so vectors go with their messages, whether
the feature is on or not.
"""

# ruff: noqa: S608 - every part of the statements is ours

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from kit.db import Database, one_at_a_time
from kit.writer import is_passing

_COLUMNS = (
    "entry_id {entry_id} PRIMARY KEY REFERENCES search_entry (id) ON DELETE CASCADE, "
    "account_id {text} NOT NULL, thread_id {text} NOT NULL, end_user_id {text}, "
    "space {text} NOT NULL, dimensions INTEGER NOT NULL, embedding {vector} NOT NULL"
)
_SQLITE_TYPES = {"entry_id": "INTEGER", "text": "VARCHAR", "vector": "BLOB"}
_POSTGRESQL_TYPES = {"entry_id": "BIGINT", "text": "VARCHAR", "vector": "vector"}
_INDICES = {
    "message_vector_by_account": "account_id, space, dimensions, entry_id",
    "message_vector_by_end_user": "account_id, end_user_id, entry_id",
    "message_vector_by_thread": "thread_id, entry_id",
}
_COLUMNS_LISTED = "h.account_id, h.key_id, coalesce(h.end_user_id, ''), 0"
_ADDED = f"SELECT new.id, {_COLUMNS_LISTED} FROM thread h WHERE h.id = new.thread_id"
_MISSING = (
    f"SELECT e.id, {_COLUMNS_LISTED} FROM search_entry e JOIN thread h ON h.id = e.thread_id "
    "WHERE h.deleted_at IS NULL"
)
_LIST = "INSERT INTO embedding_backlog (entry_id, account_id, key_id, end_user_id, claimed_until) "
_TRIGGER = "search_entry_to_embed"


class VectorsUnavailable(Exception):
    """The database cannot hold vectors; the message says what to do."""


async def switch_on(db: Database, space: str) -> None:
    """Make the tables, and list every entry that has no vector of ``space`` yet: at the first start with a
    model, and at the first with another one. Raises VectorsUnavailable."""
    try:
        await db.write(_prepare)
    except DBAPIError as error:
        if is_passing(error) or "vector" not in str(error.orig):
            raise
        raise VectorsUnavailable(
            "PostgreSQL's extension `vector` (pgvector) cannot be used "
            f"({str(error.orig).splitlines()[0]}): install it, and have a superuser run "
            "CREATE EXTENSION vector in this database"
        ) from None
    await db.write(lambda session: _list_missing(session, space))


async def switch_off(db: Database) -> None:
    """List nothing any more. The vectors stay, for the day it is switched on again."""
    async with db.session() as session:
        if not await (await session.connection()).run_sync(_is_on):
            return
    await db.write(_stop)


def _prepare(session: Session) -> None:
    """In a transaction of its own: once it is committed, every entry is seen by the trigger, or by who looks
    for those that were there before."""
    connection = session.connection()
    one_at_a_time(connection, "vectors")
    if _is_on(connection):
        return
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite and _missing_extension(connection):
        connection.execute(text("CREATE EXTENSION vector"))
    types = _SQLITE_TYPES if sqlite else _POSTGRESQL_TYPES
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS message_vector ({_COLUMNS.format(**types)})"))
    for name, columns in _INDICES.items():
        connection.execute(text(f"CREATE INDEX IF NOT EXISTS {name} ON message_vector ({columns})"))
    if sqlite:
        _sketches(connection)
    listing = _LIST + _ADDED
    if sqlite:
        connection.execute(
            text(f"CREATE TRIGGER {_TRIGGER} AFTER INSERT ON search_entry BEGIN {listing}; END")
        )
    else:
        connection.execute(
            text(
                f"CREATE OR REPLACE FUNCTION {_TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN {listing}; RETURN NULL; END $$"
            )
        )
        connection.execute(
            text(
                f"CREATE TRIGGER {_TRIGGER} AFTER INSERT ON search_entry "
                f"FOR EACH ROW EXECUTE FUNCTION {_TRIGGER}()"
            )
        )


def _missing_extension(connection: Connection) -> bool:
    """Asked first: CREATE EXTENSION IF NOT EXISTS needs its right even where there is nothing to do."""
    found = connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")).first()
    return found is None


def _sketches(connection: Connection) -> None:
    """On SQLite: the signs of each vector's numbers, side by side by account. They are a thirty-second of its
    size, which makes looking through very many of them affordable."""
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS message_vector_sketch (account_id VARCHAR NOT NULL, "
            "space VARCHAR NOT NULL, dimensions INTEGER NOT NULL, entry_id INTEGER NOT NULL, "
            "thread_id VARCHAR NOT NULL, signs BLOB NOT NULL, "
            "PRIMARY KEY (account_id, space, dimensions, entry_id)) WITHOUT ROWID"
        )
    )
    connection.execute(
        text(
            "CREATE TRIGGER IF NOT EXISTS message_vector_gone AFTER DELETE ON message_vector BEGIN "
            "DELETE FROM message_vector_sketch WHERE account_id = old.account_id AND space = old.space "
            "AND dimensions = old.dimensions AND entry_id = old.entry_id; END"
        )
    )


def _is_on(connection: Connection) -> bool:
    query = (
        "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = :name"
        if connection.dialect.name == "sqlite"
        else "SELECT 1 FROM pg_trigger WHERE tgname = :name AND tgrelid = 'search_entry'::regclass"
    )
    return connection.execute(text(query), {"name": _TRIGGER}).first() is not None


def _list_missing(session: Session, space: str) -> None:
    connection = session.connection()
    one_at_a_time(connection, "vectors")
    known = connection.execute(text("SELECT space FROM embedding_state WHERE id = 1")).scalar()
    if known == space:
        return
    connection.execute(
        text(
            f"{_LIST}{_MISSING} AND NOT EXISTS (SELECT 1 FROM message_vector v "
            "WHERE v.entry_id = e.id AND v.space = :space) ON CONFLICT (entry_id) DO NOTHING"
        ),
        {"space": space},
    )
    connection.execute(
        text(
            "INSERT INTO embedding_state (id, space) VALUES (1, :space) "
            "ON CONFLICT (id) DO UPDATE SET space = :space"
        ),
        {"space": space},
    )


def list_other_lengths(session: Session, account_id: str, space: str, dimensions: int) -> None:
    """List the entries whose vectors, of the same model, have another length: the model was changed behind
    its name."""
    values = {"account_id": account_id, "space": space, "dimensions": dimensions}
    for differs in ("<", ">"):  # each is one step in the index
        of_other = f"account_id = :account_id AND space = :space AND dimensions {differs} :dimensions"
        found = session.connection().execute(
            text(f"SELECT 1 FROM message_vector WHERE {of_other} LIMIT 1"), values
        )
        if found.first() is not None:
            session.connection().execute(
                text(
                    f"{_LIST}{_MISSING} AND e.id IN (SELECT entry_id FROM message_vector WHERE {of_other}) "
                    "ON CONFLICT (entry_id) DO NOTHING"
                ),
                values,
            )


def _stop(session: Session) -> None:
    connection = session.connection()
    one_at_a_time(connection, "vectors")
    on = "" if connection.dialect.name == "sqlite" else " ON search_entry"
    connection.execute(text(f"DROP TRIGGER IF EXISTS {_TRIGGER}{on}"))
    connection.execute(text("DELETE FROM embedding_backlog"))
    connection.execute(text("DELETE FROM embedding_state"))
