"""OAuth clients of accounts, our signing key, whose account a connection is, who vouches for end users,
device flows

Revision: 0022, after 0020
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("connection", sa.Column("account_name", sa.String(), nullable=True))
    op.add_column("connect_session", sa.Column("verify_url", sa.String(), nullable=True))
    op.add_column("connect_session", sa.Column("verified_browser_sha256", sa.String(), nullable=True))
    op.add_column("connect_session", sa.Column("poll_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_connect_session_poll_at"), "connect_session", ["poll_at"])
    op.create_table(
        "connect_verification",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("verify_url", sa.String(), nullable=False),
        sa.Column("secret_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_table(
        "account_oauth_client",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("client_secret_id", sa.String(), nullable=True),
        sa.Column("auth_method", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "connector"),
    )
    op.create_table(
        "oauth_signing_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("secret_id", sa.String(), nullable=False),
        sa.Column("public_jwk", json, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
