"""A database with a month of usage events, made in bulk, and their sums."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from sqlalchemy import Connection, Engine, text
from sqlmodel import Session

from gateway.usage.rollup import roll_step

err = Console(stderr=True, highlight=False)
ACCOUNT = "acct_019aa1b2c3d47e5f8a9b0c1d2e3f4a5b"
MONTH_MS = 4_107_542_400_000
"""2100-03-01T00:00Z: a month that no server sums up by itself. Not quite 21 days of it are filled."""
NOW_MS = MONTH_MS + 21 * 86_400_000 - 7 * 3_600_000 - 1_234_567
MODELS, PROVIDERS = 8, 3
TAIL_EVENTS, TAIL_MS = 1_000, 3_000
"""What the sums have not reached yet: a busy server is up to three seconds behind, here at 333 calls/s."""
INSERT_AT_ONCE = 1_000_000
ROLL_AT_ONCE = 100_000

_EVENT = """
INSERT INTO usage_event (id, account_id, key_id, end_user_id, provider, model, tool, status, http_status,
    estimated, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_nanos,
    shortfall_nanos, breakdown, latency_ms, created_at)
SELECT 'e' || i, :account, 'key_' || (i * 7919 % :people), 'user_' || (i * 7919 % :people),
    'provider_' || (i * 104729 % :providers), 'model_' || (i * 1299709 % :models),
    CASE WHEN i % 50 = 0 THEN 'search' END, 'ok', 200, false, i % 4000, i % 900, i % 300, 0, i % 100000 + 1,
    0, '[]', 900, :from_ms + (i - :first) * (:to_ms - :from_ms) / (:past - :first)
FROM numbers
"""
_NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM numbers "
    "WHERE i < :past - 1) ",
    "postgresql": "WITH numbers AS (SELECT generate_series(CAST(:first AS bigint), :past - 1) AS i) ",
}
_INDEXES = {
    "usage_event_by_account": "account_id, created_at",
    "usage_event_by_key": "key_id, created_at",
    "usage_event_by_end_user": "account_id, end_user_id, created_at",
}


@dataclass(frozen=True)
class Filling:
    """How many events there shall be, and of how many end users, each with a key of its own."""

    events: int
    people: int


def fill(engine: Engine, filling: Filling) -> None:
    """An account, its keys, the month's events, and the sums of all but the last few seconds of them."""
    with engine.begin() as connection:
        _account(connection, filling.people)
        for name in _INDEXES:
            connection.execute(text(f"DROP INDEX {name}"))
    evenly = filling.events - TAIL_EVENTS
    for first in range(0, evenly, INSERT_AT_ONCE):
        past = min(first + INSERT_AT_ONCE, evenly)
        span = NOW_MS - TAIL_MS - MONTH_MS
        with engine.begin() as connection:
            part = MONTH_MS + span * first // evenly, MONTH_MS + span * past // evenly
            _insert(connection, filling, first, past, *part)
        err.print(f"{past:,} events")
    with engine.begin() as connection:
        _insert(connection, filling, evenly, filling.events, NOW_MS - TAIL_MS, NOW_MS)
        for name, columns in _INDEXES.items():
            connection.execute(text(f"CREATE INDEX {name} ON usage_event ({columns})"))
    _roll(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def _account(connection: Connection, people: int) -> None:
    connection.execute(text("INSERT INTO account VALUES (:id, 'bench', 0)"), {"id": ACCOUNT})
    connection.execute(
        text(
            "INSERT INTO wallet (account_id, balance_nanos, held_nanos, ledger_seq, ledger_hash, "
            "usage_rolled_until) VALUES (:id, 0, 0, 0, '', 0)"
        ),
        {"id": ACCOUNT},
    )
    key = (
        "INSERT INTO api_key (id, account_id, secret_sha256, prefix, name, scope, cap_period, created_at) "
        "VALUES (:id, :account, :id, 'ak_live_bench', :id, 'standard', 'month', 0)"
    )
    connection.execute(text(key), [{"id": f"key_{i}", "account": ACCOUNT} for i in range(people)])


def _insert(
    connection: Connection, filling: Filling, first: int, past: int, from_ms: int, to_ms: int
) -> None:
    values: dict[str, Any] = {"account": ACCOUNT, "people": filling.people, "first": first, "past": past}
    values |= {"models": MODELS, "providers": PROVIDERS, "from_ms": from_ms, "to_ms": to_ms}
    connection.execute(text(_NUMBERS[connection.dialect.name] + _EVENT), values)


def _roll(engine: Engine) -> None:
    more = True
    while more:
        with Session(engine) as session, session.begin():
            more = roll_step(session, ACCOUNT, NOW_MS - TAIL_MS, limit=ROLL_AT_ONCE)
