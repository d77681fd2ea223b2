"""What developers allow tools: approvals, allow and deny lists, pinned definitions

Revision: 0016, after 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("tool", sa.Column("approval", sa.String(), nullable=False, server_default="never"))
    op.add_column("mcp_server", sa.Column("approval", sa.String(), nullable=False, server_default="never"))
    op.add_column("mcp_server", sa.Column("tool_rules", json, nullable=False, server_default="{}"))
    op.add_column("mcp_server", sa.Column("timeout_ms", sa.Integer(), nullable=True))
    op.add_column("mcp_server", sa.Column("pin", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column(
        "mcp_server", sa.Column("allow_sampling", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("mcp_tool", sa.Column("approved_sha256", sa.String(), nullable=True))
    op.add_column("mcp_tool", sa.Column("changed_at", sa.BigInteger(), nullable=True))
    op.add_column("mcp_tool", sa.Column("details", json, nullable=False, server_default="{}"))
    op.execute("UPDATE mcp_tool SET approved_sha256 = definition_sha256")
    op.create_table(
        "tool_grant",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("end_user_id", sa.String(), nullable=True),
        sa.Column("thread_id", sa.String(), nullable=True),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("definition_sha256", sa.String(), nullable=False),
        sa.Column("action_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["thread.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tool_grant_of", "tool_grant", ["account_id", "tool", "end_user_id", "thread_id"])
    op.create_index(op.f("ix_tool_grant_thread_id"), "tool_grant", ["thread_id"])
