"""Search by meaning: which entries wait for a vector; what Heddle made a call for by itself

The vectors' own tables need an extension on PostgreSQL, so they are made when an embedding model is first
configured (``threads/vector_schema.py``).

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "embedding_backlog",
        sa.Column("entry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("end_user_id", sa.String(), nullable=False),
        sa.Column("claim", sa.String(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["search_entry.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("entry_id"),
    )
    op.create_index(
        "embedding_backlog_by_payer",
        "embedding_backlog",
        ["account_id", "key_id", "end_user_id", "entry_id"],
    )
    op.create_table(
        "embedding_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("space", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column("usage_event", sa.Column("purpose", sa.String(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
