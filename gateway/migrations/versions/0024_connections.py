"""Connections: why they ended, pauses of refreshing, labels, tokens still to be revoked

Revision: 0024, after 0023
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("connect_session", sa.Column("label", sa.String(), nullable=False, server_default=""))
    op.add_column("connection", sa.Column("status_reason", sa.String(), nullable=True))
    op.add_column(
        "connection", sa.Column("refresh_failures", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column(
        "connection", sa.Column("refresh_after", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("connection", sa.Column("keep_alive_at", sa.BigInteger(), nullable=True))
    op.create_index("connection_to_keep_alive", "connection", ["keep_alive_at"])
    op.execute("UPDATE connection SET keep_alive_at = updated_at + 604800000 WHERE kind = 'oauth'")
    op.create_table(
        "revocation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("secret_id", sa.String(), nullable=False),
        sa.Column("oauth", json, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_revocation_due_at"), "revocation", ["due_at"])


def downgrade() -> None:
    """Tokens that were still to be revoked at their vendors are forgotten."""
    op.execute("DELETE FROM secret WHERE id IN (SELECT secret_id FROM revocation)")
    op.drop_table("revocation")
    op.drop_index("connection_to_keep_alive", table_name="connection")
    for name in ("keep_alive_at", "refresh_after", "refresh_failures", "status_reason"):
        op.drop_column("connection", name)
    op.drop_column("connect_session", "label")
