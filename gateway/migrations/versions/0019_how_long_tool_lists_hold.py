"""Tool lists of MCP servers: how long one holds, and whether it is the same for everybody

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    no = sa.false()
    op.add_column("mcp_server", sa.Column("shared_tools", sa.Boolean(), nullable=False, server_default=no))
    op.add_column("mcp_server", sa.Column("tools_public", sa.Boolean(), nullable=False, server_default=no))
    op.add_column("mcp_server", sa.Column("tools_ttl_ms", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")
