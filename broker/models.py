"""Tools that a developer registered, MCP servers, and the tools discovered on them."""

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column, reference


class Tool(SQLModel, table=True):
    """A webhook tool. Its signing secret is in the vault."""

    __tablename__ = "tool"
    __table_args__ = (UniqueConstraint("account_id", "name"),)

    id: str = Field(primary_key=True)
    account_id: str
    name: str
    kind: str
    description: str
    input_schema: dict[str, Any] = Field(sa_column=json_column())
    webhook_url: str
    timeout_ms: int
    idempotent: bool = False
    secret_id: str
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())


class McpServer(SQLModel, table=True):
    """An MCP server. ``tenant``: the developer's own credentials for everybody; ``per_user``: each end
    user's own connection."""

    __tablename__ = "mcp_server"
    __table_args__ = (UniqueConstraint("account_id", "name"),)

    id: str = Field(primary_key=True)
    account_id: str
    name: str
    server_url: str
    catalog_slug: str | None = None
    auth_mode: str
    headers_secret_id: str | None = None
    discovered_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())


class McpTool(SQLModel, table=True):
    """A tool as its server last described it; ``definition_sha256`` shows when that changes."""

    __tablename__ = "mcp_tool"
    __table_args__ = (UniqueConstraint("server_id", "name"),)

    id: str = Field(primary_key=True)
    account_id: str
    server_id: str = Field(sa_column=reference("mcp_server.id", cascade=True))
    name: str
    description: str
    input_schema: dict[str, Any] = Field(sa_column=json_column())
    retry_safe: bool = False
    definition_sha256: str
    created_at: int = Field(sa_column=big_int())
