"""The migrations make exactly the tables that the code declares, on both engines; the ledger is locked."""

import asyncio
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

import gateway.migrations
from gateway.accounts.bootstrap import bootstrap
from gateway.accounts.keys import ApiKeys
from gateway.accounts.models import ApiKey
from gateway.billing.billing import Billing
from gateway.billing.models import LedgerEntry
from gateway.migrations import migrate
from gateway.migrations.tables import METADATA, declared_here
from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database, parse_database_url, sync_engine
from threads.models import SearchBacklog, SearchEntry
from threads.search import Search
from threads.search_index import SearchFiller


def test_migrations_and_models_agree(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url)
    migrate(url)  # a second run changes nothing
    engine = sync_engine(url, writing=False)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": declared_here}
        )
        differences = compare_metadata(context, METADATA)
    engine.dispose()
    assert differences == []


def test_the_newest_changes_can_be_taken_back_and_made_again(empty_database_url: str) -> None:
    """Only what came with them is gone."""
    url = parse_database_url(empty_database_url)
    migrate(url, to="0023")
    engine = sync_engine(url)
    before = _columns(engine)
    migrate(url)
    after = _columns(engine)
    assert {
        ("turn", "tool_scope"),
        ("connection", "keep_alive_at"),
        ("revocation", "due_at"),
    } <= after - before
    with engine.begin() as connection:
        kept = "INSERT INTO secret VALUES ('sec_{0}', 'a', 'o', 'p', 'v1', :b, :b, 1, 1)"
        for name in ("kept", "owed"):
            connection.execute(text(kept.format(name)), {"b": b"x"})
        connection.execute(
            text("INSERT INTO revocation VALUES ('rev_1', 'a', 'c', 'sec_owed', '{}', 0, 1, 1)")
        )
    config = Config()
    config.set_main_option("script_location", str(Path(gateway.migrations.__file__).parent))
    config.attributes["engine"] = engine
    command.downgrade(config, "0023")
    assert _columns(engine) == before
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM secret")).scalars().all() == ["sec_kept"]
    migrate(url)
    assert _columns(engine) == after
    engine.dispose()


def _columns(engine: Engine) -> set[tuple[str, str]]:
    found = inspect(engine)
    return {
        (table, column["name"]) for table in found.get_table_names() for column in found.get_columns(table)
    }


def test_processes_that_start_together_migrate_once(empty_database_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli", "migrate"]
    environment = {**os.environ, "HEDDLE_DATABASE_URL": empty_database_url, "HEDDLE_DATA_DIR": str(tmp_path)}
    together = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in together:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    engine = sync_engine(parse_database_url(empty_database_url), writing=False)
    with engine.connect() as connection:
        versions = connection.execute(text("SELECT version_num FROM alembic_version")).all()
    engine.dispose()
    assert len(versions) == 1


async def test_processes_that_start_together_make_one_account(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url)
    several = [Database(empty_database_url) for _ in range(4)]
    clock = ManualClock()

    async def start(db: Database) -> str:
        keys = ApiKeys(db, clock, key_prefix="ak_live_")
        billing = Billing(db, clock)
        first = await bootstrap(
            db, clock, keys, billing, admin_key="one-and-the-same-key", starter_credit_usd=Decimal(5)
        )
        await billing.close()
        return first.account_id

    accounts = await asyncio.gather(*(start(db) for db in several))
    async with several[0].session() as session:
        entries = (await session.exec(select(LedgerEntry))).all()
        keys = (await session.exec(select(ApiKey))).all()
    for db in several:
        await db.close()
    assert len(set(accounts)) == len(entries) == len(keys) == 1


@pytest.mark.parametrize("change", ["UPDATE ledger_entry SET amount_nanos = 1", "DELETE FROM ledger_entry"])
def test_the_database_refuses_to_change_the_ledger(empty_database_url: str, change: str) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url)
    engine = sync_engine(url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO account (id, name, created_at) VALUES ('a', 'a', 0)"))
        connection.execute(
            text(
                "INSERT INTO ledger_entry (id, account_id, seq, entry_id, kind, amount_nanos, "
                "balance_after_nanos, reference, previous_hash, hash, created_at) "
                "VALUES ('l', 'a', 1, 'e', 'topup', 5, 5, '', '', '', 0)"
            )
        )
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change))
    engine.dispose()


async def test_threads_from_before_there_was_a_search_are_kept_and_become_searchable(
    empty_database_url: str,
) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url, to="0008")
    engine = sync_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO thread (id, account_id, key_id, meta, last_seq, created_at, last_active_at) "
                "VALUES ('t', 'acct_1', 'k', '{}', 120, 0, 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO message (id, account_id, thread_id, seq, role, content, cost_nanos, created_at) "
                "VALUES (:id, 'acct_1', 't', :seq, 'user', :content, 0, 0)"
            ),
            [{"id": f"m{seq}", "seq": seq, "content": f'"word {seq}"'} for seq in range(1, 121)],
        )
    engine.dispose()
    migrate(url)
    db = Database(empty_database_url)
    await asyncio.gather(*(SearchFiller(db).fill() for _ in range(3)))
    caller = Caller("acct_1", "k", "standard")
    for seq in (1, 60, 120):
        found = await Search(db).find(caller, f"word {seq} ", end_user_id=None, thread_id="t", limit=100)
        assert seq in {hit.message.seq for hit in found.hits}
    async with db.session() as session:
        assert len((await session.exec(select(SearchEntry.id))).all()) == 120
        assert (await session.exec(select(SearchBacklog))).all() == []
    await db.close()
