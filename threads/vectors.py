"""The vectors of messages: written down, and the nearest ones to a query's found.

Every one is compared (no approximate index): of the newest ``MOST_COMPARED`` in the caller's reach. On SQLite
those of a whole account are first compared by their sketches, the signs of their numbers, and only the best
``SKETCHED`` by the numbers themselves.
"""

# ruff: noqa: S608 - every part of the statements is ours

import math
from array import array
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from threads.embedding_model import Vector
from threads.models import Thread
from threads.search_scope import Scope

NEAREST = 100
MIN_SIMILARITY = 0.1
"""Cosine: what is less like the query has nothing to do with it."""
MOST_COMPARED = 100_000
MOST_COMPARED_NARROWLY = 20_000
"""On SQLite, of one thread or one end user, where the numbers themselves are read."""
SKETCHED = 400

_NOT_DELETED = (
    "v.thread_id NOT IN (SELECT id FROM thread WHERE deleted_at IS NOT NULL "
    "AND account_id || '' = :account_id)"
)
"""The condition on the account is no plain column, so that no index leads through all of its threads: there
is one of those that are deleted."""


def usable(vector: Vector) -> bool:
    """Whether it has a direction."""
    return any(vector) and math.isfinite(math.fsum(value * value for value in vector))


def add_vectors(
    session: Session, space: str, of_threads: Collection[tuple[int, Thread]], vectors: Sequence[Vector]
) -> None:
    """Store (or replace) the vectors of entries, each given with its thread."""
    connection = session.connection()
    sqlite = connection.dialect.name == "sqlite"
    rows = [
        {
            "entry_id": entry_id,
            "account_id": thread.account_id,
            "thread_id": thread.id,
            "end_user_id": thread.end_user_id,
            "space": space,
            "dimensions": len(vector),
            "embedding": _bytes(vector) if sqlite else _literal(vector),
            **({"signs": _signs(vector)} if sqlite else {}),
        }
        for (entry_id, thread), vector in zip(of_threads, vectors, strict=True)
    ]
    if not rows:
        return
    value = ":embedding" if sqlite else "CAST(:embedding AS vector)"
    if sqlite:  # a row that is replaced takes its sketch along only if it is deleted
        connection.execute(
            text("DELETE FROM message_vector WHERE entry_id = :entry_id"),
            [{"entry_id": row["entry_id"]} for row in rows],
        )
    connection.execute(
        text(
            "INSERT INTO message_vector (entry_id, account_id, thread_id, end_user_id, space, dimensions, "
            "embedding) VALUES (:entry_id, :account_id, :thread_id, :end_user_id, :space, :dimensions, "
            f"{value}) "
            "ON CONFLICT (entry_id) DO UPDATE SET space = excluded.space, dimensions = excluded.dimensions, "
            "embedding = excluded.embedding"
        ),
        rows,
    )
    if sqlite:
        connection.execute(
            text(
                "INSERT INTO message_vector_sketch "
                "(account_id, space, dimensions, entry_id, thread_id, signs) "
                "VALUES (:account_id, :space, :dimensions, :entry_id, :thread_id, :signs)"
            ),
            rows,
        )


async def has_vectors(session: AsyncSession, scope: Scope, space: str) -> bool:
    """Whether there is anything to compare a query with."""
    found = await (await session.connection()).execute(
        text(f"SELECT 1 FROM message_vector v WHERE {_within(scope)} AND v.space || '' = :space LIMIT 1"),
        {**scope.values, "space": space},
    )
    return found.first() is not None


async def nearest(session: AsyncSession, scope: Scope, space: str, vector: Vector) -> list[int]:
    """The entries that are most like ``vector``, the nearest first."""
    connection = await session.connection()
    values: dict[str, Any] = {**scope.values, "space": space, "dimensions": len(vector)}
    if connection.dialect.name == "postgresql":
        values["vector"] = _literal(vector)
        compared = f"({_newest(scope, MOST_COMPARED)})"
        distance = "x.embedding <=> CAST(:vector AS vector)"
    else:
        values["vector"] = _bytes(vector)
        if scope.end_user_id is None and scope.thread_id is None:
            values["signs"] = _signs(vector)
            compared = f"({_BY_SKETCH})"
        else:
            compared = f"({_newest(scope, MOST_COMPARED_NARROWLY)})"
        distance = "vec_distance_cosine(x.embedding, :vector)"
    rows = await connection.execute(
        text(
            f"SELECT y.entry_id FROM (SELECT x.entry_id, {distance} AS distance FROM {compared} x "
            f"ORDER BY distance LIMIT {NEAREST}) y JOIN search_entry e ON e.id = y.entry_id "
            f"JOIN thread h ON h.id = e.thread_id WHERE {scope.condition} "
            f"AND y.distance <= {1 - MIN_SIMILARITY} ORDER BY y.distance, y.entry_id DESC"
        ),
        values,
    )
    return [int(row.entry_id) for row in rows]


def _newest(scope: Scope, count: int) -> str:
    return (
        f"SELECT v.entry_id, v.embedding FROM message_vector v WHERE {_within(scope)} "
        f"AND v.dimensions = :dimensions AND {_NOT_DELETED} ORDER BY v.entry_id DESC LIMIT {count}"
    )


_BY_SKETCH = (
    "SELECT s.entry_id, m.embedding FROM (SELECT n.entry_id FROM "
    f"(SELECT v.entry_id, v.signs FROM message_vector_sketch v WHERE v.account_id = :account_id "
    f"AND v.space = :space AND v.dimensions = :dimensions AND {_NOT_DELETED} "
    f"ORDER BY v.entry_id DESC LIMIT {MOST_COMPARED}) n "
    f"ORDER BY vec_distance_hamming(vec_bit(n.signs), vec_bit(:signs)) LIMIT {SKETCHED}) s "
    "CROSS JOIN message_vector m ON m.entry_id = s.entry_id"
)


def _within(scope: Scope) -> str:
    """On vectors ``v``. A column with something added has no index: the one of the narrowest is taken then,
    and not the account's, which has more columns to match."""
    if scope.thread_id is not None:
        parts = ["v.thread_id = :thread_id", "v.account_id || '' = :account_id", "v.space || '' = :space"]
        parts += ["v.end_user_id || '' = :end_user_id"] if scope.end_user_id is not None else []
    elif scope.end_user_id is not None:
        parts = ["v.account_id = :account_id", "v.end_user_id = :end_user_id", "v.space || '' = :space"]
    else:
        parts = ["v.account_id = :account_id", "v.space = :space"]
    return " AND ".join(parts)


def _bytes(vector: Vector) -> bytes:
    """As sqlite-vec has it: numbers of four bytes, of this machine's order."""
    return array("f", vector).tobytes()


def _literal(vector: Vector) -> str:
    """As pgvector reads it."""
    return "[" + ",".join(map(repr, vector)) + "]"


def _signs(vector: Vector) -> bytes:
    """A bit for each number, set where it is above 0."""
    bits = "".join("1" if value > 0 else "0" for value in vector)
    return int(bits, 2).to_bytes(-(-len(bits) // 8), "big")
