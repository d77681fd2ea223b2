"""Rate limits, end users, events for subscribers

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON_VALUE = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.add_column(sa.Column("markup", sa.String(), nullable=True))
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.add_column(sa.Column("rpm", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("tpm", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("max_concurrent", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("on_disconnect", sa.String(), nullable=False, server_default="cancel"))
    with op.batch_alter_table("wallet", schema=None) as batch_op:
        batch_op.add_column(sa.Column("told", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.add_column(sa.Column("end_user_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("tokens", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "end_user",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("end_user_id", sa.String(), nullable=False),
        sa.Column("budget_nanos", sa.BigInteger(), nullable=True),
        sa.Column("budget_period", sa.String(), nullable=False),
        sa.Column("markup", sa.String(), nullable=True),
        sa.Column("meta", JSON_VALUE, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "end_user_id"),
    )
    with op.batch_alter_table("end_user", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_end_user_account_id"), ["account_id"], unique=False)
    op.create_table(
        "key_rate",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("requests_level", sa.BigInteger(), nullable=False),
        sa.Column("tokens_level", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("key_id"),
    )
    with op.batch_alter_table("key_rate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_rate_account_id"), ["account_id"], unique=False)
    op.create_table(
        "outbox_event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("data", JSON_VALUE, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("outbox_event", schema=None) as batch_op:
        batch_op.create_index("outbox_event_by_account", ["account_id", "created_at"], unique=False)
    op.create_table(
        "spend",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("spent_nanos", sa.BigInteger(), nullable=False),
        sa.Column("held_nanos", sa.BigInteger(), nullable=False),
        sa.Column("warned_percent", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("subject"),
    )
    with op.batch_alter_table("spend", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_spend_account_id"), ["account_id"], unique=False)
    op.execute(
        "INSERT INTO spend (subject, account_id, period, spent_nanos, held_nanos, warned_percent) "
        "SELECT key_id, account_id, period, spent_nanos, held_nanos, 0 FROM key_spend"
    )
    op.drop_table("key_spend")
    with op.batch_alter_table("usage_event", schema=None) as batch_op:
        batch_op.create_index(
            "usage_event_by_end_user", ["account_id", "end_user_id", "created_at"], unique=False
        )


def downgrade() -> None:
    raise NotImplementedError("there is no way back: restore a backup")
