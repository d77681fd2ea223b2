"""What a tool call cost

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tool_call") as tool_call:
        tool_call.add_column(sa.Column("cost_nanos", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
