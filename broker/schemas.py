"""JSON shapes of tools."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from broker.builtins.catalog import known as known_builtin
from broker.models import Tool
from broker.names import MODEL_NAME
from broker.policy import Approval
from broker.schema import check_schema
from kit.errors import InvalidRequest
from kit.request_body import RequestBody

MAX_DESCRIPTION = 10_000
MAX_TIMEOUT_MS = 120_000
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
    connection_label: str = Field(default="", max_length=100)


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
