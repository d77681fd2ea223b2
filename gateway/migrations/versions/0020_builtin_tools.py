"""Built-in tools

Revision: 0020, after 0019
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    with op.batch_alter_table("tool") as tool:
        tool.alter_column("webhook_url", existing_type=sa.String(), nullable=True)
        tool.alter_column("secret_id", existing_type=sa.String(), nullable=True)
        tool.add_column(sa.Column("provider", sa.String(), nullable=True))
        tool.add_column(sa.Column("auth_mode", sa.String(), nullable=True))
        tool.add_column(sa.Column("config", json, nullable=True))
        tool.add_column(sa.Column("secret_config", json, nullable=True))
        tool.add_column(sa.Column("config_secret_id", sa.String(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
