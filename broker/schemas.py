"""JSON shapes of tools and MCP servers."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from broker.builtins.catalog import known as known_builtin
from broker.metering import PriceOf
from broker.models import McpServer, McpTool, Tool
from broker.names import MODEL_NAME, SERVER_NAME
from broker.policy import Approval, allowed, as_approval, policy_of
from broker.schema import check_schema
from broker.tool import BoundTool
from kit.errors import InvalidRequest
from kit.money import usd_text
from kit.request_body import RequestBody

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110, section 5.6.2
OWN_HEADERS = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
}
MAX_DESCRIPTION = 10_000
MAX_TIMEOUT_MS = 120_000
MAX_RULES = 200
POLICY_COLUMNS = {"approval", "pin", "allow_sampling", "shared_tools"}
RESERVED_NAME = "qlaud-mcp"
DEFAULT_OVERLAP_S = 24 * 60 * 60
MAX_OVERLAP_S = 30 * 24 * 60 * 60


class ToolFields(RequestBody):
    name: str | None = Field(default=None, min_length=1, max_length=64)
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)
    timeout_ms: int | None = Field(default=None, ge=100, le=MAX_TIMEOUT_MS)
    webhook_url: str | None = Field(default=None, max_length=2000)
    input_schema: dict[str, Any] | None = None
    idempotent: bool | None = None
    approval: Approval | None = None
    trusted: bool | None = None
    config: dict[str, Any] | None = None

    @field_validator("name")
    @classmethod
    def _is_model_safe(cls, name: str | None) -> str | None:
        """Models take a webhook tool's name as it is, so it has the form that all of them accept."""
        if name is not None and not MODEL_NAME.fullmatch(name):
            raise ValueError("expected 1 to 64 letters, digits, underscores or hyphens")
        return name

    @field_validator("input_schema")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if schema is None else check_schema(schema)


class CreateTool(ToolFields):
    """A webhook by its ``webhook_url``, or a built-in by its ``provider``."""

    name: str = Field(min_length=1, max_length=64)
    description: str = Field(default="", max_length=MAX_DESCRIPTION)
    input_schema: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    timeout_ms: int = Field(default=30_000, ge=100, le=MAX_TIMEOUT_MS)
    idempotent: bool = False
    approval: Approval = "never"
    trusted: bool = False
    provider: str | None = Field(default=None, max_length=100)
    auth_mode: Literal["tenant", "per_user"] | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> "CreateTool":
        if (self.provider is None) == (self.webhook_url is None):
            raise InvalidRequest(
                "webhook_url: expected where the tool is called, or else a provider of GET /v1/builtins",
                param="webhook_url",
            )
        if self.provider is None and (self.config is not None or self.auth_mode is not None):
            raise InvalidRequest("config and auth_mode: only built-in tools have them", param="config")
        return self

    def columns(self, *, chosen: bool) -> dict[str, Any]:
        """The columns of Tool; ``chosen``: only those that the request named."""
        names = {"name", "description", "input_schema", "timeout_ms", "idempotent", "approval", "trusted"}
        names |= {"webhook_url"}
        return self.model_dump(include=names & self.model_fields_set if chosen else names)


class EditTool(ToolFields):
    provider: Any = None
    auth_mode: Any = None

    @model_validator(mode="after")
    def _stays_what_it_is(self) -> "EditTool":
        for name in ("provider", "auth_mode"):
            if getattr(self, name) is not None:
                raise InvalidRequest(f"{name}: cannot be changed; register another tool", param=name)
        return self


class RotateSecret(RequestBody):
    overlap_s: int = Field(default=DEFAULT_OVERLAP_S, ge=0, le=MAX_OVERLAP_S)
    """How long the old secret is good beside the new one; 0: no longer."""


class TestTool(RequestBody):
    input: dict[str, Any] = Field(default_factory=dict)
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)


class CallTool(RequestBody):
    name: str = Field(min_length=1, max_length=200)
    input: dict[str, Any] = Field(default_factory=dict)
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)
    thread_id: str | None = Field(default=None, max_length=100)


class OneToolPolicy(RequestBody):
    approval: Approval | None = None
    timeout_ms: int | None = Field(default=None, ge=100, le=MAX_TIMEOUT_MS)
    idempotent: bool | None = None
    trusted: bool | None = None


Pattern = Annotated[str, Field(min_length=1, max_length=128)]


class ToolRules(RequestBody):
    """Over the server's own names of its tools; ``*`` stands for any characters."""

    allow: list[Pattern] | None = Field(default=None, max_length=MAX_RULES)
    deny: list[Pattern] | None = Field(default=None, max_length=MAX_RULES)
    policies: dict[Pattern, OneToolPolicy] | None = Field(default=None, max_length=MAX_RULES)


class ServerPolicy(RequestBody):
    """What is allowed of a server: what can be changed of it."""

    approval: Approval | None = None
    tools: ToolRules | None = None
    timeout_ms: int | None = Field(default=None, ge=100, le=MAX_TIMEOUT_MS)
    pin: bool | None = None
    allow_sampling: bool | None = None
    shared_tools: bool | None = None
    auth_headers: dict[str, str] | None = Field(default=None, max_length=20)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of McpServer that were sent; ``tools`` is replaced as a whole, null takes it away."""
        sent: dict[str, Any] = self.model_dump(include=POLICY_COLUMNS, exclude_none=True)
        if "tools" in self.model_fields_set:
            sent["tool_rules"] = self.tools.model_dump(exclude_none=True) if self.tools else {}
        if "timeout_ms" in self.model_fields_set:
            sent["timeout_ms"] = self.timeout_ms
        return sent

    @field_validator("auth_headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str] | None) -> dict[str, str] | None:
        for name, value in (headers or {}).items():
            if not HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
                raise ValueError(f"{name[:40]} is not a valid HTTP header")
            if name.lower() in OWN_HEADERS or name.lower().startswith("mcp-"):
                raise ValueError(f"{name[:40]} is set by the protocol, not by auth_headers")
        return headers


class ApproveTools(RequestBody):
    """``tools``: names, or SHA-256 of what is approved of by name; all tools without it."""

    tools: list[str] | dict[str, str] | None = Field(default=None, max_length=500)

    @property
    def definitions(self) -> dict[str, str | None] | None:
        if isinstance(self.tools, list):
            return dict.fromkeys(self.tools)
        return None if self.tools is None else dict(self.tools)


class CreateServer(ServerPolicy):
    name: str | None = None
    server_url: str | None = Field(default=None, max_length=2000)
    catalog_slug: str | None = Field(default=None, max_length=64)
    auth_mode: Literal["tenant", "per_user", "either"] = "tenant"
    config: dict[str, str] | None = None

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not SERVER_NAME.fullmatch(name):
            raise ValueError(f"expected a name like my-server ({SERVER_NAME.pattern})")
        if name == RESERVED_NAME:
            raise ValueError(f"{RESERVED_NAME} is what dynamic mode calls the catalogue")
        return name

    @model_validator(mode="after")
    def _names_one_server(self) -> "CreateServer":
        if (self.server_url is None) == (self.catalog_slug is None):
            raise InvalidRequest("expected either server_url or catalog_slug", param="server_url")
        if self.name is None and self.catalog_slug is None:
            raise InvalidRequest("name: expected a name for the server", param="name")
        if self.auth_mode == "per_user" and (self.auth_headers or self.config):
            raise InvalidRequest(
                "auth_headers and config are the developer's own credentials: "
                "expected auth_mode tenant or either",
                param="auth_headers",
            )
        if self.auth_mode == "either" and not (self.auth_headers or self.config):
            raise InvalidRequest(
                "auth_mode either needs your own credentials for those who have not connected: expected "
                "auth_headers or config",
                param="auth_headers",
            )
        return self


def render_tool(tool: Tool) -> dict[str, Any]:
    """A tool as the wire shows it; never its secrets."""
    return {
        "id": tool.id,
        "object": "tool",
        "name": tool.name,
        "kind": tool.kind,
        "description": tool.description,
        "input_schema": tool.input_schema,
        **(
            {"webhook_url": tool.webhook_url} if tool.provider is None else _builtin_part(tool.provider, tool)
        ),
        "timeout_ms": tool.timeout_ms,
        "idempotent": tool.idempotent,
        "approval": tool.approval,
        "trusted": tool.trusted,
        "rotation_overlap_until": tool.old_secret_until,
        "created_at": tool.created_at,
        "updated_at": tool.updated_at,
    }


def _builtin_part(provider: str, tool: Tool) -> dict[str, Any]:
    """``secret_config`` names the configured values that nobody can read back."""
    builtin = known_builtin(provider)
    own_schema = builtin.input_schema if builtin is not None else {"type": "object"}
    return {
        "input_schema": tool.input_schema or own_schema,
        "provider": provider,
        "auth_mode": tool.auth_mode,
        "config": tool.config or {},
        "secret_config": tool.secret_config or [],
    }


def render_server(server: McpServer, tools: list[McpTool]) -> dict[str, Any]:
    return {
        "id": server.id,
        "object": "mcp_server",
        "name": server.name,
        "server_url": server.server_url,
        "catalog_slug": server.catalog_slug,
        "auth_mode": server.auth_mode,
        "approval": server.approval,
        "timeout_ms": server.timeout_ms,
        "pin": server.pin,
        "allow_sampling": server.allow_sampling,
        "tool_rules": server.tool_rules,
        "shared_tools": server.has_shared_tools,
        "discovered_at": server.discovered_at,
        "tools": [_render_server_tool(server, tool) for tool in tools],
        "created_at": server.created_at,
    }


def _render_server_tool(server: McpServer, tool: McpTool) -> dict[str, Any]:
    """``changed``: its definition is not the one that was approved of; ``usable``: a turn may have it."""
    policy = policy_of(server.tool_rules, tool.name, approval=as_approval(server.approval))
    changed = tool.approved_sha256 != tool.definition_sha256
    return {
        "name": f"{server.name}/{tool.name}",
        "description": tool.description,
        "input_schema": tool.input_schema,
        **tool.details,
        "approval": policy.approval,
        "definition_sha256": tool.definition_sha256,
        "approved_sha256": tool.approved_sha256,
        "changed": changed,
        "changed_at": tool.changed_at,
        "usable": allowed(server.tool_rules, tool.name) and not (changed and server.pin),
    }


def render_operator_server(name: str, tools: list[BoundTool], price_of: PriceOf) -> dict[str, Any]:
    """A server that the operator runs for every account: it can be used by name, and not be changed."""
    return {
        "object": "operator_mcp_server",
        "name": name,
        "tools": [
            {
                "name": tool.display_name,
                "description": tool.description,
                "input_schema": tool.input_schema,
                "price_usd": None if nanos is None else usd_text(nanos),
            }
            for tool in tools
            for nanos in (price_of(tool.display_name),)
        ],
    }
