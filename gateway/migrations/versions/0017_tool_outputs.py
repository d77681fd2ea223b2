"""Whole outputs of tool calls that are shown cut; webhook secrets that rotate with an overlap; trusted tools

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tool_output",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["tool_call.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id"),
    )
    with op.batch_alter_table("tool") as tool:
        tool.add_column(sa.Column("trusted", sa.Boolean(), nullable=False, server_default=sa.false()))
        tool.add_column(sa.Column("old_secret_id", sa.String(), nullable=True))
        tool.add_column(sa.Column("old_secret_until", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("tool") as tool:
        tool.drop_column("old_secret_until")
        tool.drop_column("old_secret_id")
        tool.drop_column("trusted")
    op.drop_table("tool_output")
