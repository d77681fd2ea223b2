"""Values that satisfy a JSON Schema, the same ones every time: the simulated model's idea of arguments."""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 12


def example_object(schema: Any) -> dict[str, Any]:
    """An object with the schema's required properties; empty if the schema does not describe an object."""
    value = example_value(schema)
    return value if isinstance(value, dict) else {}


def example_value(schema: Any) -> Any:
    """A value for the common part of JSON Schema (2020-12): types, enum, const, bounds, local references."""
    root = schema if isinstance(schema, Mapping) else {}
    return _value(root, root, 0)


def _value(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return "example"
    if "$ref" in schema:
        return _value(_referenced(schema["$ref"], root), root, depth + 1)
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    for listed in ("enum", "examples"):
        if isinstance(schema.get(listed), list) and schema[listed]:
            return schema[listed][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(choice), list) and schema[choice] and "properties" not in schema:
            return _value(schema[choice][0], root, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind == "object" or (kind is None and "properties" in schema):
        return _object(schema, root, depth)
    if kind == "array":
        length = _bound(schema, "minItems", 0)
        return [_value(schema.get("items"), root, depth + 1) for _ in range(min(length, 100))]
    return _scalar(kind, schema)


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    described = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    return {name: _value(described.get(name), root, depth + 1) for name in names}


def _scalar(kind: Any, schema: Mapping[str, Any]) -> Any:
    if kind in {"integer", "number"}:
        lowest = _bound(schema, "minimum", _bound(schema, "exclusiveMinimum", 0) + 1)
        return min(lowest, _bound(schema, "maximum", lowest))
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    shortest, longest = _bound(schema, "minLength", 0), _bound(schema, "maxLength", 1_000)
    return "example".ljust(min(shortest, 1_000), "e")[: max(longest, 0)]


def _bound(schema: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = schema.get(name)
    return int(value) if isinstance(value, int | float) and abs(value) < 1e15 else otherwise


def _referenced(reference: Any, root: Mapping[str, Any]) -> Any:
    """What a local reference (``#/$defs/City``) points at."""
    found: Any = root
    for part in str(reference).removeprefix("#").strip("/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) and part else found
    return found
