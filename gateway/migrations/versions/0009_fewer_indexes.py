"""Drop the indexes that every billed call paid for and no query needs

Revision: 0009, after 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_hold_account_id", "hold")
    op.drop_index("ix_hold_expires_at", "hold")
    op.drop_index("ix_hold_owner", "hold")
    op.drop_index("ix_ledger_entry_account_id", "ledger_entry")


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
