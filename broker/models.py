"""Tools that a developer registered, MCP servers, and the tools discovered on them."""

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column, reference


class Tool(SQLModel, table=True):
    """A tool that an account registered: a webhook (``webhook_url``, its signing secret in the vault, and
    after a rotation the old one as well, which is good until ``old_secret_until``), or a built-in
    (``provider``, ``auth_mode``, and its configuration, of which the secrets are in the vault). What a
    ``trusted`` tool says is not marked as data for the model."""

    __tablename__ = "tool"
    __table_args__ = (UniqueConstraint("account_id", "name"),)

    id: str = Field(primary_key=True)
    account_id: str
    name: str
    kind: str
    description: str
    input_schema: dict[str, Any] = Field(sa_column=json_column())
    webhook_url: str | None = None
    timeout_ms: int
    idempotent: bool = False
    approval: str = "never"
    trusted: bool = False
    secret_id: str | None = None
    old_secret_id: str | None = None
    old_secret_until: int | None = Field(default=None, sa_column=big_int(nullable=True))
    provider: str | None = None
    auth_mode: str | None = None
    config: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    secret_config: list[str] | None = Field(default=None, sa_column=json_column(nullable=True))
    """The names of the configured values that are in the vault."""
    config_secret_id: str | None = None
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())


class McpServer(SQLModel, table=True):
    """An MCP server. ``tenant``: the developer's own credentials for everybody; ``per_user``: each end
    user's own connection. ``shared_tools``: the developer says that its tools are the same for all of them;
    ``tools_public``: the server says so, or lists them without credentials; ``tools_ttl_ms``: how long it
    says that its list holds."""

    __tablename__ = "mcp_server"
    __table_args__ = (UniqueConstraint("account_id", "name"),)

    id: str = Field(primary_key=True)
    account_id: str
    name: str
    server_url: str
    catalog_slug: str | None = None
    auth_mode: str
    headers_secret_id: str | None = None
    """The developer's own credentials, sealed: see ``broker/tenant_secret.py``."""
    approval: str = "never"
    tool_rules: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    """Which of its tools may be used, and how: see ``broker/policy.py``."""
    timeout_ms: int | None = None
    pin: bool = False
    """Its tools are used only with the definitions that were approved."""
    allow_sampling: bool = False
    shared_tools: bool = False
    tools_public: bool = False
    tools_ttl_ms: int | None = Field(default=None, sa_column=big_int(nullable=True))
    discovered_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())

    @property
    def has_shared_tools(self) -> bool:
        """Whether the tools that are stored may be shown to every end user of the account."""
        return self.auth_mode != "per_user" or self.shared_tools or self.tools_public


class McpTool(SQLModel, table=True):
    """A tool as its server last described it. ``approved_sha256`` is the definition that the developer has
    accepted: the first one that was seen, until they approve of another; None for a tool that a pinned server
    added later. Where the two differ, the tool has drifted (``changed_at``)."""

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
    approved_sha256: str | None = None
    changed_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    details: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    """What clients are shown and models are not: title, annotations, output schema, ``_meta``."""
    created_at: int = Field(sa_column=big_int())
