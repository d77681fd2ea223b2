"""Turns: what their tool calls are made with

Revision: 0025, after 0024
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("turn", sa.Column("tool_scope", json, nullable=True))


def downgrade() -> None:
    op.drop_column("turn", "tool_scope")
