"""JSON shapes of MCP servers."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from broker.metering import PriceOf
from broker.models import McpServer, McpTool
from broker.names import SERVER_NAME
from broker.own_client_auth import OwnClientAuth, render_auth
from broker.policy import Approval, allowed, as_approval, policy_of
from broker.schemas import MAX_TIMEOUT_MS
from broker.tool import BoundTool
from connectors.own_client import OwnClient
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
MAX_RULES = 200
POLICY_COLUMNS = {"approval", "pin", "allow_sampling", "shared_tools"}
RESERVED_NAME = "qlaud-mcp"


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
    auth: OwnClientAuth | None = None

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

    @model_validator(mode="after")
    def _has_one_kind_of_credentials(self) -> "ServerPolicy":
        if self.auth is not None and self.auth_headers:
            raise InvalidRequest("auth: expected either auth or auth_headers", param="auth")
        return self


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
        if self.auth_mode == "per_user" and (self.auth_headers or self.config or self.auth):
            raise InvalidRequest(
                "auth_headers, auth and config are the developer's own credentials: "
                "expected auth_mode tenant or either",
                param="auth" if self.auth else "auth_headers",
            )
        if self.auth_mode == "either" and not (self.auth_headers or self.config or self.auth):
            raise InvalidRequest(
                "auth_mode either needs your own credentials for those who have not connected: expected "
                "auth_headers, auth or config",
                param="auth_headers",
            )
        return self


def render_server(server: McpServer, tools: list[McpTool], client: OwnClient | None) -> dict[str, Any]:
    """An MCP server as the wire shows it; ``client``: the developer's own, if it has one."""
    return {
        "id": server.id,
        "object": "mcp_server",
        "name": server.name,
        "server_url": server.server_url,
        "catalog_slug": server.catalog_slug,
        "auth_mode": server.auth_mode,
        "auth": render_auth(client),
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
