"""The migrations make exactly the tables that the code declares, on both engines; the ledger is locked."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.migrations import migrate
from gateway.migrations.tables import METADATA
from kit.db import parse_database_url, sync_engine


def test_migrations_and_models_agree(database_url: str) -> None:
    url = parse_database_url(database_url)
    migrate(url)
    migrate(url)  # a second run changes nothing
    engine = sync_engine(url, writing=False)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, METADATA)
    engine.dispose()
    assert differences == []


@pytest.mark.parametrize("change", ["UPDATE ledger_entry SET amount_nanos = 1", "DELETE FROM ledger_entry"])
def test_the_database_refuses_to_change_the_ledger(database_url: str, change: str) -> None:
    url = parse_database_url(database_url)
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
