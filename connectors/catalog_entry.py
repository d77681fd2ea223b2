"""A vendor of the catalogue: where its MCP server or API is, and how end users prove who they are."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from connectors.catalog_grants import (
    AccountLookup,
    Basic,
    ClientCredentials,
    Headers,
    McpOAuth,
    OAuth2,
    asked_of,
)
from connectors.url_template import fill_url, filled_text

AuthKind = Literal["oauth", "oauth2", "api_key", "client_credentials", "none"]
Category = Literal[
    "ai",
    "analytics",
    "automation",
    "commerce",
    "communication",
    "crm",
    "data",
    "design",
    "development",
    "documents",
    "finance",
    "hr",
    "identity",
    "marketing",
    "media",
    "meetings",
    "monitoring",
    "project management",
    "search",
    "social",
    "sport",
    "support",
    "websites",
    "other",
]


class ConfigField(BaseModel):
    """One value that somebody is asked for. ``format`` ``password``: it is a secret."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["string"]
    title: str | None = Field(default=None, min_length=1, max_length=80)
    description: str | None = Field(default=None, min_length=1, max_length=300)
    format: Literal["password"] | None = None
    pattern: str | None = None
    enum: list[str] | None = Field(default=None, min_length=1)


class CatalogEntry(BaseModel):
    """One file of the catalogue.

    ``kind``: ``mcp``, a server that the vendor hosts, at ``server_url``; or ``api``, a vendor whose API
    built-in tools use, at ``api_url``. ``auth`` is what is offered first, ``other_auth`` what else there is:
    ``oauth``, the MCP authorization flow (``oauth``, with discovery); ``oauth2``, plain OAuth 2 (``oauth2``);
    ``api_key``: the end user pastes the values that ``config_schema`` asks for, and ``headers`` or ``basic``
    say how they are sent, e.g. ``authorization = "Bearer {api_key}"``; ``client_credentials``: the
    developer's own credentials for everybody (``client_credentials``). ``source``: where these facts were
    read. What holds between the fields is in ``connectors.catalog_rules``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")
    display_name: str = Field(min_length=1, max_length=80)
    aliases: tuple[str, ...] = ()
    category: Category
    kind: Literal["mcp", "api"] = "mcp"
    auth: AuthKind
    other_auth: tuple[AuthKind, ...] = ()
    server_url: str | None = None
    api_url: str | None = None
    docs_url: str = Field(pattern=r"^https?://[^\s]+$")
    source: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    config_schema: dict[str, Any] | None = None
    headers: Headers = Field(default_factory=dict)
    basic: Basic | None = None
    oauth: McpOAuth | None = None
    oauth2: OAuth2 | None = None
    client_credentials: ClientCredentials | None = None
    account: AccountLookup | None = None

    @field_validator("source", mode="before")
    @classmethod
    def _one_or_several(cls, source: Any) -> Any:
        return (source,) if isinstance(source, str) else source

    @field_validator("config_schema")
    @classmethod
    def _is_an_object_of_texts(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None:
            properties = schema.get("properties")
            if schema.get("type") != "object" or not isinstance(properties, dict) or not properties:
                raise ValueError("expected an object schema with properties")
            if not all(isinstance(field, dict) for field in properties.values()):
                raise ValueError("expected each of properties to be a table")
            required = schema.get("required", [])
            if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
                raise ValueError("expected required to be a list of names")
        return schema

    @property
    def auth_kinds(self) -> tuple[AuthKind, ...]:
        """All ways to prove who one is, the one offered first at the front."""
        return (self.auth, *self.other_auth)

    @property
    def choices(self) -> dict[str, list[str]]:
        """The fields of ``config_schema`` with a closed list of values."""
        return {name: list(field["enum"]) for name, field in self._properties().items() if field.get("enum")}

    def fields_for(self, auth: AuthKind) -> dict[str, Any]:
        """The part of ``config_schema`` that one kind of authentication needs."""
        needed = asked_of(*self._texts_of(auth))
        schema = self.config_schema or {}
        return {
            "type": "object",
            "required": [name for name in schema.get("required", ()) if name in needed],
            "properties": {name: field for name, field in self._properties().items() if name in needed},
        }

    def header_values(self, values: Mapping[str, str]) -> dict[str, str]:
        """The request headers for an end user's pasted values."""
        headers = {name: filled_text(template, values) for name, template in self.headers.items()}
        if self.basic is not None:
            pair = f"{filled_text(self.basic.username, values)}:{filled_text(self.basic.password, values)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def api_address(self, values: Mapping[str, str]) -> str | None:
        """Where the vendor's API is with somebody's values. Raises BadUrlValue naming the field."""
        return self.filled(self.api_url, values) if self.api_url is not None else None

    def filled(self, url: str, values: Mapping[str, str]) -> str:
        """One of this entry's URLs with somebody's values. Raises BadUrlValue naming the field."""
        return fill_url(url, values, self.choices)

    def _texts_of(self, auth: AuthKind) -> list[str]:
        texts = [url for url in (self.server_url, self.api_url) if url is not None]
        if self.account is not None:
            texts.append(self.account.url)
        if auth == "api_key":
            texts += self.headers.values()
            texts += [self.basic.username, self.basic.password] if self.basic is not None else []
        if auth == "oauth2" and self.oauth2 is not None:
            texts += [
                *self.oauth2.urls().values(),
                *self.oauth2.texts().values(),
                *self.oauth2.headers.values(),
            ]
        if auth == "client_credentials" and self.client_credentials is not None:
            grant = self.client_credentials
            texts += [grant.token_url, *grant.token_params.values()]
        return texts

    def _properties(self) -> dict[str, dict[str, Any]]:
        properties: dict[str, dict[str, Any]] = (self.config_schema or {}).get("properties", {})
        return properties
