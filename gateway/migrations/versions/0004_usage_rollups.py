"""Sums of usage events, and the tool of an event

Revision: 0004, after 0003
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SUMS = (
    "cost_nanos",
    "request_count",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
EVENT_SUMS = (
    "SUM(e.cost_nanos), COUNT(*), SUM(e.input_tokens), SUM(e.output_tokens), "
    "SUM(e.cache_read_tokens), SUM(e.cache_write_tokens)"
)
VALUES = {
    "key": "e.key_id",
    "end_user": "COALESCE(e.end_user_id, '')",
    "model": "e.model",
    "provider": "e.provider",
    "all": "''",
}
COMPLETE = "FROM usage_event e JOIN wallet w ON w.account_id = e.account_id WHERE e.created_at < w.usage_rolled_until"


def upgrade() -> None:
    _make_tables()
    with op.batch_alter_table("usage_event") as usage_event:
        usage_event.add_column(sa.Column("tool", sa.String(), nullable=True))
    with op.batch_alter_table("wallet") as wallet:
        wallet.add_column(
            sa.Column("usage_rolled_until", sa.BigInteger(), nullable=False, server_default="0")
        )
    _sum_up_complete_hours()


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")


def _make_tables() -> None:
    op.create_table(
        "usage_total",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("grain", sa.String(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        *_sum_columns(),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("account_id", "dimension", "grain", "start_ms", "value"),
        sqlite_with_rowid=False,
    )
    dimensions = ("end_user_id", "model", "provider", "tool")
    op.create_table(
        "usage_slice",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("day_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        *[sa.Column(name, sa.String(), nullable=False) for name in dimensions],
        *_sum_columns(),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("account_id", "key_id", "day_ms", *dimensions),
        sqlite_with_rowid=False,
    )
    for name in ("end_user", "model", "provider"):
        column = "end_user_id" if name == "end_user" else name
        op.create_index(f"usage_slice_by_{name}", "usage_slice", ["account_id", column, "day_ms"])


def _sum_columns() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS]


def _sum_up_complete_hours() -> None:
    """Sum up what there is, account by account, but for the hour of its last event: that is left to the
    running process, so that nothing new has to be dated later than it happened."""
    op.execute(
        "UPDATE wallet SET usage_rolled_until = COALESCE((SELECT MAX(created_at) - MAX(created_at) "
        f"% {HOUR_MS} FROM usage_event WHERE usage_event.account_id = wallet.account_id), 0)"
    )
    columns = ", ".join(SUMS)
    for dimension, value in VALUES.items():
        op.execute(
            f"INSERT INTO usage_total (account_id, grain, start_ms, dimension, value, {columns}) "
            f"SELECT e.account_id, 'hour', e.created_at - e.created_at % {HOUR_MS}, '{dimension}', {value}, "
            f"{EVENT_SUMS} {COMPLETE} GROUP BY 1, 2, 3, 4, 5"
        )
    op.execute(
        f"INSERT INTO usage_slice (account_id, day_ms, key_id, end_user_id, model, provider, tool, {columns}) "
        f"SELECT e.account_id, e.created_at - e.created_at % {DAY_MS}, e.key_id, {VALUES['end_user']}, "
        f"e.model, e.provider, '', {EVENT_SUMS} {COMPLETE} GROUP BY 1, 2, 3, 4, 5, 6, 7"
    )
    added = ", ".join(f"SUM({name})" for name in SUMS)
    op.execute(
        f"INSERT INTO usage_total (account_id, grain, start_ms, dimension, value, {columns}) "
        f"SELECT account_id, 'day', start_ms - start_ms % {DAY_MS}, dimension, value, {added} "
        "FROM usage_total WHERE grain = 'hour' GROUP BY 1, 2, 3, 4, 5"
    )
    for month, following in _months():
        op.execute(
            f"INSERT INTO usage_total (account_id, grain, start_ms, dimension, value, {columns}) "
            f"SELECT account_id, 'month', {month}, dimension, value, {added} FROM usage_total "
            f"WHERE grain = 'day' AND start_ms >= {month} AND start_ms < {following} "
            "GROUP BY account_id, dimension, value"
        )


def _months() -> list[tuple[int, int]]:
    """The months (UTC) from the first event to the last: when each began, and the next."""
    first, last = (
        op.get_bind().execute(sa.text("SELECT MIN(created_at), MAX(created_at) FROM usage_event")).one()
    )
    if first is None:
        return []
    start = datetime.fromtimestamp(first // 1000, UTC)
    year, month = start.year, start.month
    months = []
    while True:
        begins = _month_ms(year, month)
        if begins > last:
            return months
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        months.append((begins, _month_ms(year, month)))


def _month_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000
