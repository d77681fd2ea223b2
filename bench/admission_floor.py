"""The least that a billed call can cost at a database: a hold, a debit, a ledger entry and a usage event, as
bare statements given to the driver, ``per_transaction`` calls in each of two transactions.

``python -m bench.admission_floor`` reads a ``FloorLoad`` as JSON from its first argument and writes a
``FloorMeasured`` as JSON. Nothing is decided here: no cap, no rate, no idempotency, no hash chain.
"""

import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import psycopg

TABLES = """
CREATE TABLE floor_wallet (id TEXT PRIMARY KEY, balance BIGINT NOT NULL, held BIGINT NOT NULL);
CREATE TABLE floor_hold (id TEXT PRIMARY KEY, amount BIGINT NOT NULL);
CREATE TABLE floor_ledger (id TEXT PRIMARY KEY, amount BIGINT NOT NULL, reference TEXT NOT NULL);
CREATE TABLE floor_usage (id TEXT PRIMARY KEY, cost BIGINT NOT NULL, input BIGINT, output BIGINT, why TEXT);
INSERT INTO floor_wallet VALUES ('w', 1000000000000000, 0);
"""
WHY = '[{"unit":"input","count":100,"unit_price_usd":"0.000001"},{"unit":"markup","rate":"0.07"}]'
HELD, COST = 11_000, 12_345

Many = Callable[[str, Sequence[tuple[Any, ...]]], object]


class FloorLoad(msgspec.Struct, frozen=True):
    """``database``: a folder for SQLite, or a PostgreSQL URL."""

    database: str
    per_transaction: int
    seconds: float


class FloorMeasured(msgspec.Struct, frozen=True):
    calls: int
    seconds: float
    cpu_s: float


def measure(load: FloorLoad) -> FloorMeasured:
    postgres = load.database.startswith("postgresql:")
    return (_postgres if postgres else _sqlite)(load)


def _sqlite(load: FloorLoad) -> FloorMeasured:
    connection = sqlite3.connect(Path(load.database) / f"floor-{uuid4()}.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(TABLES)

    def transaction(work: Callable[[Many], None]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        work(lambda text, rows: connection.executemany(text, rows))
        connection.execute("COMMIT")

    try:
        return _repeat(load, transaction)
    finally:
        connection.close()


def _postgres(load: FloorLoad) -> FloorMeasured:
    with psycopg.connect(load.database) as connection:
        connection.execute("DROP TABLE IF EXISTS floor_wallet, floor_hold, floor_ledger, floor_usage")
        connection.execute(TABLES)
        connection.commit()

        def transaction(work: Callable[[Many], None]) -> None:
            with connection.cursor() as cursor:
                work(lambda text, rows: cursor.executemany(text.replace("?", "%s").encode(), rows))
            connection.commit()

        return _repeat(load, transaction)


def _repeat(load: FloorLoad, transaction: Callable[[Callable[[Many], None]], None]) -> FloorMeasured:
    calls, n = 0, load.per_transaction
    started, cpu_before = time.perf_counter(), time.process_time()
    while time.perf_counter() < started + load.seconds:
        ids = [str(uuid4()) for _ in range(n)]
        transaction(lambda many, ids=ids: _admit(many, ids))  # type: ignore[misc]
        transaction(lambda many, ids=ids: _settle(many, ids))  # type: ignore[misc]
        calls += n
    return FloorMeasured(calls, time.perf_counter() - started, time.process_time() - cpu_before)


def _admit(many: Many, ids: Sequence[str]) -> None:
    many("UPDATE floor_wallet SET held = held + ? WHERE id = ?", [(HELD * len(ids), "w")])
    many("INSERT INTO floor_hold VALUES (?, ?)", [(one, HELD) for one in ids])


def _settle(many: Many, ids: Sequence[str]) -> None:
    change = (HELD * len(ids), COST * len(ids), "w")
    many("UPDATE floor_wallet SET held = held - ?, balance = balance - ? WHERE id = ?", [change])
    many("DELETE FROM floor_hold WHERE id = ?", [(one,) for one in ids])
    many("INSERT INTO floor_ledger VALUES (?, ?, ?)", [(one, -COST, "model") for one in ids])
    many("INSERT INTO floor_usage VALUES (?, ?, ?, ?, ?)", [(one, COST, 100, 100, WHY) for one in ids])


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(measure(msgspec.json.decode(sys.argv[1].encode(), type=FloorLoad)))
    )
