"""A tool's schema as a provider takes it, with the way back for the arguments; kept by its digest."""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from gateway.inference.dialects.codec import Quirks
from gateway.inference.tool_schemas.conjunction import Conjunction, Unmergeable
from gateway.inference.tool_schemas.flattening import flattened
from gateway.inference.tool_schemas.gaps import without_gaps
from gateway.inference.tool_schemas.google_subset import google_schema
from gateway.inference.tool_schemas.property_names import ANTHROPIC_NAME, GOOGLE_NAME, with_names
from gateway.inference.tool_schemas.restoration import Restoration
from gateway.inference.tool_schemas.strict import strict_schema
from gateway.inference.tool_schemas.strict_limits import NotStrict
from gateway.inference.tool_schemas.words import brief, joined

logger = logging.getLogger("heddle.inference")

Rules = Literal["anthropic", "openai", "openai-strict", "google"]

MAX_CACHED = 5_000
MAX_CACHED_BYTES = 16 * 1024 * 1024
"""Of schemas as JSON, declared and adapted."""
_COMBINED = frozenset(("anyOf", "oneOf", "allOf", "$ref"))
_REFUSED_AT_ROOT: Mapping[str, frozenset[str]] = {
    "anthropic": _COMBINED,
    "openai": _COMBINED | {"not", "enum", "const"},
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """``because``: why a schema is not strict where strict ones are taken."""

    schema: dict[str, Any]
    strict: bool = False
    restoration: Restoration = field(default_factory=Restoration)
    because: str | None = None


def rules_of(dialect: str, quirks: Quirks) -> Rules:
    """Whose rules the schemas of tools must keep at a provider."""
    if dialect == "anthropic":
        return "anthropic"
    if dialect == "google":
        return "google"
    return "openai-strict" if quirks.strict_tools else "openai"


def fit(schema: Mapping[str, Any], rules: Rules) -> Fitted:
    """Adapt a checked schema (``broker.schema.object_schema``). Never raises; the work is bounded."""
    declared = {"type": "object", **schema}
    if rules == "openai-strict":
        try:
            strict, restoration = strict_schema(declared)
            return Fitted(strict, strict=True, restoration=restoration)
        except NotStrict as reason:
            return Fitted(_rooted(declared, "openai"), because=str(reason))
    if rules == "google":
        named, names = with_names(google_schema(declared), GOOGLE_NAME)
    elif rules == "anthropic":
        named, names = with_names(_rooted(declared, "anthropic"), ANTHROPIC_NAME)
    else:
        named, names = _rooted(declared, "openai"), {}
    return Fitted(named, restoration=Restoration(names=names))


def _rooted(schema: dict[str, Any], rules: Literal["anthropic", "openai"]) -> dict[str, Any]:
    """The schema as a plain object at its root."""
    refused = _REFUSED_AT_ROOT[rules]
    if not refused.isdisjoint(schema):
        with suppress(
            Unmergeable, RecursionError
        ):  # what is left then is open; the tool's own schema decides
            schema = flattened(schema, Conjunction(schema, lenient=True))
        said = [
            f"{name}: {text}" for name in ("not", "enum", "const") if (text := _text(schema, name, refused))
        ]
        description = joined(schema.get("description"), f"({', '.join(said)})" if said else None)
        schema = {name: value for name, value in schema.items() if name not in refused}
        schema["type"] = "object"
        if description is not None:
            schema["description"] = description
    if rules == "openai":
        schema = without_gaps(schema)
    return schema


def _text(schema: Mapping[str, Any], name: str, refused: frozenset[str]) -> str | None:
    return brief(schema[name]) if name in refused and name in schema else None


class SchemaFitter:
    """Fits schemas, and keeps the most recently used ones."""

    def __init__(self, *, max_cached: int = MAX_CACHED, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._kept: OrderedDict[tuple[Rules, bytes], tuple[Fitted, int]] = OrderedDict()
        self._max_cached = max_cached
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def cached(self) -> tuple[int, int]:
        """How many schemas are kept, and their bytes as JSON."""
        return len(self._kept), self._bytes

    def fit(self, schema: Mapping[str, Any], rules: Rules) -> Fitted:
        encoded = msgspec.json.encode(schema)
        key = (rules, hashlib.blake2b(encoded, digest_size=16).digest())
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return known[0]
        fitted = fit(schema, rules)
        if fitted.because is not None:
            logger.debug("a tool's schema is offered without strict: %s", fitted.because)
        size = len(encoded) + len(msgspec.json.encode(fitted.schema))
        self._kept[key] = (fitted, size)
        self._bytes += size
        while len(self._kept) > self._max_cached or (self._bytes > self._max_bytes and len(self._kept) > 1):
            _, (_, dropped) = self._kept.popitem(last=False)
            self._bytes -= dropped
        return fitted
