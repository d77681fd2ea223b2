"""How accounts look on the hosted pages; the page that waits for a popup's end

Revision: 0023, after 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_branding",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("color", sa.String(), nullable=True),
        sa.Column("logo_url", sa.String(), nullable=True),
        sa.Column("logo", sa.LargeBinary(), nullable=True),
        sa.Column("logo_sha256", sa.String(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_index("ix_account_branding_logo_sha256", "account_branding", ["logo_sha256"], unique=False)
    op.add_column("connect_session", sa.Column("opener_origin", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("connect_session", "opener_origin")
    op.drop_index("ix_account_branding_logo_sha256", table_name="account_branding")
    op.drop_table("account_branding")
