"""Calls that ask the end user something, become tasks, or tell clients more than models

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON_VALUE = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tool_call") as tool_call:
        tool_call.add_column(sa.Column("suspended", JSON_VALUE, nullable=True))
        tool_call.add_column(sa.Column("for_client", JSON_VALUE, nullable=True))
    with op.batch_alter_table("pending_action") as pending_action:
        pending_action.add_column(sa.Column("input_key", sa.String(), nullable=True))
        pending_action.add_column(sa.Column("due_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "pending_action_due",
        "pending_action",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
