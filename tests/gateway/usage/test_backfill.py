"""The migration that brought the sums fills them from the events that were there before."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import text

import gateway.migrations
from gateway.billing.models import UsageEvent
from gateway.usage.dimensions import GROUPS
from gateway.usage.filter import UsageFilter
from gateway.usage.periods import DAY_MS, HOUR_MS
from gateway.usage.reports import UsageReports
from gateway.usage.roller import LAG_MS, Roller
from kit.clock import ManualClock
from kit.db import Database, parse_database_url, sync_engine
from tests.gateway.usage.conftest import summed, summed_by, wanted_events

START = 1_795_000_000_000


def upgrade(url: str, revision: str, then: list[dict[str, Any]] | None = None) -> None:
    engine = sync_engine(parse_database_url(url))
    config = Config()
    config.set_main_option("script_location", str(Path(gateway.migrations.__file__).parent))
    config.attributes["engine"] = engine
    command.upgrade(config, revision)
    if then:
        columns = list(then[0])
        with engine.begin() as connection:
            for account in ("a", "b", "idle"):
                connection.execute(text("INSERT INTO account VALUES (:id, :id, 0)"), {"id": account})
                wallet = "INSERT INTO wallet (account_id, balance_nanos, held_nanos, ledger_seq, ledger_hash)"
                connection.execute(text(f"{wallet} VALUES (:id, 0, 0, 0, '')"), {"id": account})
            names = ", ".join(columns)
            values = ", ".join(f":{name}" for name in columns)
            connection.execute(text(f"INSERT INTO usage_event ({names}) VALUES ({values})"), then)
    engine.dispose()


def old_events() -> list[dict[str, Any]]:
    """A call every five hours for two months, across the end of a year, of two accounts."""
    return [
        {
            "id": f"e{number}", "account_id": "ab"[number % 2], "key_id": f"k{number % 3}",
            "end_user_id": [None, "user_1"][number % 2], "provider": "sim", "model": f"m{number % 2}",
            "status": "ok", "http_status": 200, "estimated": False,
            "input_tokens": number, "output_tokens": 1,
            "cache_read_tokens": 2, "cache_write_tokens": 3, "cost_nanos": number * 10, "shortfall_nanos": 0,
            "breakdown": "[]", "latency_ms": 1, "created_at": START + number * 5 * HOUR_MS + number,
        }
        for number in range(300)
    ]  # fmt: skip


async def test_old_events_are_summed_up(empty_database_url: str) -> None:
    rows = old_events()
    upgrade(empty_database_url, "0001", rows)
    upgrade(empty_database_url, "head")
    events = [UsageEvent(**row) for row in rows]
    db = Database(empty_database_url)
    last = rows[-1]["created_at"]
    try:
        for _ in range(2):
            for account in ("a", "b", "idle"):
                mine = [event for event in events if event.account_id == account]
                for start, end in ((0, 2**50), (START, last), (START + 3 * DAY_MS, START + 55 * DAY_MS + 1)):
                    wanted = UsageFilter(account, start, end)
                    report = await UsageReports(db).report(wanted, GROUPS)
                    chosen = wanted_events(mine, wanted)
                    assert report.total == summed(chosen)
                    for by in GROUPS:
                        assert {row.value: row.sums for row in report.by[by].rows} == summed_by(chosen, by)
            await Roller(db, ManualClock(last + LAG_MS + 1)).roll()
    finally:
        await db.close()
