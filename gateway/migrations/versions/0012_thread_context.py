"""Long threads: how their history is fitted, its summaries, who made each answer

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "compaction",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("turn_id", sa.String(), nullable=True),
        sa.Column("through_seq", sa.BigInteger(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("usage", json, nullable=True),
        sa.Column("cost_nanos", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["thread.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("thread_id", "through_seq"),
    )
    op.add_column("thread", sa.Column("context", json, nullable=False, server_default="{}"))
    op.add_column("thread", sa.Column("context_cut", json, nullable=True))
    op.add_column("turn", sa.Column("context", json, nullable=False, server_default="{}"))
    op.add_column("turn", sa.Column("context_record", json, nullable=True))
    op.add_column("message", sa.Column("provider", sa.String(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
