"""Turns that wait: for the caller's tools, approvals, money, their place in the queue

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON_VALUE = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("turn") as turn:
        turn.add_column(sa.Column("client_tools", JSON_VALUE, nullable=False, server_default="[]"))
        turn.add_column(sa.Column("client_tool_wait_ms", sa.Integer(), nullable=False, server_default="0"))
        turn.add_column(sa.Column("tool_approval", JSON_VALUE, nullable=True))
        turn.add_column(sa.Column("parks_for_funds", sa.Boolean(), nullable=False, server_default=sa.false()))
        turn.add_column(
            sa.Column("action_timeout_ms", sa.BigInteger(), nullable=False, server_default="86400000")
        )
        turn.add_column(
            sa.Column("max_duration_ms", sa.BigInteger(), nullable=False, server_default="3600000")
        )
        turn.add_column(sa.Column("deadline_at", sa.BigInteger(), nullable=True))
        turn.add_column(sa.Column("settled_attempts", sa.Integer(), nullable=False, server_default="0"))
        turn.add_column(sa.Column("parked_at", sa.BigInteger(), nullable=True))
        turn.add_column(sa.Column("queued_content", JSON_VALUE, nullable=True))
        turn.add_column(sa.Column("interrupts", sa.String(), nullable=True))
        turn.add_column(
            sa.Column("cancel_requested", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    with op.batch_alter_table("tool_call") as tool_call:
        tool_call.add_column(sa.Column("approved", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("pending_action") as pending_action:
        pending_action.add_column(sa.Column("key_id", sa.String(), nullable=True))
        pending_action.add_column(sa.Column("needed_nanos", sa.BigInteger(), nullable=True))
        pending_action.create_index("pending_action_by_kind", ["status", "kind", "account_id"])


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
