"""Accounts in test mode

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In SQL, because SQLite takes a reference only with its column, and a copy of the table would break those to it.
    op.execute(sa.text("ALTER TABLE account ADD COLUMN test_of VARCHAR REFERENCES account (id)"))
    op.create_index("ix_account_test_of", "account", ["test_of"], unique=True)


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
