"""What OpenAI wants written out in every function's schema, strict or not: an object's ``properties`` and an
array's ``items`` ("object schema missing properties", "array schema missing items")."""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 100
_SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_BY_NAME = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")


def without_gaps(schema: Any, depth: int = 0) -> Any:
    """The schema with both; the very same one if nothing was missing. Below 100 levels it stays as it is."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return schema
    changes: dict[str, Any] = {}
    for name, value in schema.items():
        filled = _filled(name, value, depth)
        if filled is not value:
            changes[name] = filled
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds and "properties" not in schema:
        changes["properties"] = {}
    if "array" in kinds and "items" not in schema:
        changes["items"] = {}
    return {**schema, **changes} if changes else schema


def _filled(name: str, value: Any, depth: int) -> Any:
    if name in _SCHEMAS:
        return without_gaps(value, depth + 1)
    if name in _LISTS and isinstance(value, list):
        filled = [without_gaps(one, depth + 1) for one in value]
        return value if all(new is old for new, old in zip(filled, value, strict=True)) else filled
    if name in _BY_NAME and isinstance(value, Mapping):
        entries = {key: without_gaps(one, depth + 1) for key, one in value.items()}
        return value if all(entries[key] is value[key] for key in entries) else entries
    return value
