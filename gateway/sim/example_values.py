"""Values that satisfy a JSON Schema, the same ones every time: the simulated model's idea of arguments."""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 12
MAX_VALUES = 1_000
"""How much is made up at most, so that a schema that refers to itself costs little."""


def example_object(schema: Any) -> dict[str, Any]:
    """An object with the schema's required properties; empty if the schema does not describe an object."""
    value = example_value(schema)
    return value if isinstance(value, dict) else {}


def example_value(schema: Any) -> Any:
    """A value for the common part of JSON Schema (2020-12): types, enum, const, bounds, local references."""
    return _Example(schema).value(schema, 0)


class _Example:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = MAX_VALUES

    def value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH or self._left < 0:
            return "example"
        if "$ref" in schema:
            return self.value(self._referenced(schema["$ref"]), depth + 1)
        for fixed in ("const", "default"):
            if fixed in schema:
                return schema[fixed]
        for listed in ("enum", "examples"):
            if isinstance(schema.get(listed), list) and schema[listed]:
                return schema[listed][0]
        for choice in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(choice), list) and schema[choice] and "properties" not in schema:
                return self.value(schema[choice][0], depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        if kind == "array":
            length = min(_bound(schema, "minItems", 0), 100)
            return [self.value(schema.get("items"), depth + 1) for _ in range(length)]
        return _scalar(kind, schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        described, required = schema.get("properties"), schema.get("required")
        properties = described if isinstance(described, Mapping) else {}
        names = required if isinstance(required, list) else []
        return {name: self.value(properties.get(name), depth + 1) for name in names if isinstance(name, str)}

    def _referenced(self, reference: Any) -> Any:
        """What a local reference (``#/$defs/City``) points at."""
        found = self._root
        for part in str(reference).removeprefix("#").strip("/").split("/"):
            found = found.get(part) if isinstance(found, Mapping) and part else found
        return found


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
