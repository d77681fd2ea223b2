"""The vendor catalogue: one TOML file per vendor, shipped here or in the operator's own folder."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

SHIPPED = Path(__file__).parent / "catalog"
_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class BadCatalogEntry(ValueError):
    """A catalogue file cannot be used; the message names the file and what is wrong, in one line."""


class CatalogEntry(BaseModel):
    """A vendor: where its MCP server is, how end users prove who they are, and where that was read.

    ``oauth``: the MCP authorization flow. ``api_key``: the end user pastes the values that
    ``config_schema`` asks for, and ``headers`` says how they are sent, e.g.
    ``authorization = "Bearer {api_key}"``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")
    display_name: str = Field(min_length=1, max_length=80)
    category: str = Field(min_length=1, max_length=40)
    auth: Literal["oauth", "api_key", "none"]
    server_url: str = Field(pattern=r"^https?://")
    docs_url: str = Field(pattern=r"^https?://")
    source: str = Field(min_length=1)
    config_schema: dict[str, Any] | None = None
    headers: dict[str, str] = Field(default_factory=dict)

    @field_validator("config_schema")
    @classmethod
    def _is_an_object_of_texts(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None:
            properties = schema.get("properties")
            if schema.get("type") != "object" or not isinstance(properties, dict) or not properties:
                raise ValueError("expected an object schema with properties")
        return schema

    @model_validator(mode="after")
    def _headers_use_the_fields(self) -> "CatalogEntry":
        if self.auth != "api_key":
            return self
        if not self.headers or self.config_schema is None:
            raise ValueError("auth api_key needs config_schema and headers")
        fields = set(self.config_schema["properties"])
        for name, template in self.headers.items():
            unknown = set(_PLACEHOLDER.findall(template)) - fields
            if unknown:
                raise ValueError(f"headers.{name} uses {', '.join(sorted(unknown))}, not in config_schema")
        return self

    def header_values(self, values: dict[str, str]) -> dict[str, str]:
        """The request headers for an end user's values."""
        return {
            name: _PLACEHOLDER.sub(lambda found: values.get(found.group(1), ""), template)
            for name, template in self.headers.items()
        }


class Catalog:
    """All entries by slug. An operator's entry replaces a shipped one of the same slug."""

    def __init__(self, entries: dict[str, CatalogEntry]) -> None:
        self._entries = entries

    @classmethod
    def load(cls, extra_dir: Path | None = None) -> "Catalog":
        """Read the shipped entries and the operator's. Raises BadCatalogEntry."""
        entries: dict[str, CatalogEntry] = {}
        for folder in filter(None, (SHIPPED, extra_dir)):
            if not folder.is_dir():
                raise BadCatalogEntry(f"the catalogue folder {folder} does not exist")
            for path in sorted(folder.glob("*.toml")):
                entry = _read(path)
                entries[entry.slug] = entry
        return cls(entries)

    def get(self, slug: str) -> CatalogEntry | None:
        return self._entries.get(slug)

    def __iter__(self) -> Iterator[CatalogEntry]:
        return iter(self._entries.values())


def _read(path: Path) -> CatalogEntry:
    try:
        return CatalogEntry.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadCatalogEntry(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "entry"
        raise BadCatalogEntry(f"{path}: {place}: {first['msg']}") from None
