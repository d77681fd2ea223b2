"""What OpenAI bounds in strict schemas (guide: Structured outputs, Limitations on nesting depth and size)."""

from collections.abc import Mapping
from typing import Any

MAX_PROPERTIES = 5_000
MAX_LEVELS = 10
MAX_TEXT_CHARS = 120_000
"""Of all names of properties and definitions and all values of enums."""
MAX_ENUM_VALUES = 1_000
LARGE_ENUM = 250
MAX_LARGE_ENUM_CHARS = 15_000
MAX_OPTIONAL = 20
"""Ours: in strict mode every call spells out every parameter. A tool with more that may be left out costs
less without, and its arguments are checked anyway."""


class NotStrict(ValueError):
    """The schema is offered without ``strict``; the message says why."""


class _Sizes:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        self.properties = 0
        self.optional = 0
        self.chars = sum(map(len, definitions))
        self.enum_values = 0

    def walk(self, schema: Mapping[str, Any], level: int) -> None:
        if schema.get("type") in ("object", "array"):
            level += 1
            if level > MAX_LEVELS:
                raise NotStrict(f"it has more than {MAX_LEVELS} levels")
        self._enum(schema.get("enum") or [])
        for name, inner in (schema.get("properties") or {}).items():
            self.properties += 1
            self.chars += len(name)
            self.optional += _may_be_null(inner)
            self.walk(inner, level)
        if "items" in schema:
            self.walk(schema["items"], level)
        branches = schema.get("anyOf") or []
        for branch in branches:
            self.walk(branch, level)
        self._first_names(branches)

    def _enum(self, values: list[Any]) -> None:
        self.enum_values += len(values)
        size = sum(len(value) for value in values if isinstance(value, str))
        self.chars += size
        if len(values) > LARGE_ENUM and size > MAX_LARGE_ENUM_CHARS:
            raise NotStrict(
                f"an enum of more than {LARGE_ENUM} values has over {MAX_LARGE_ENUM_CHARS} characters"
            )

    def _first_names(self, branches: list[Any]) -> None:
        """Objects among alternatives must not begin with the same name, unless its values tell them apart."""
        seen: dict[str, list[Any]] = {}
        for branch in branches:
            if "$ref" in branch:
                branch = self.definitions.get(str(branch["$ref"]).rsplit("/", 1)[-1], {})
            properties = branch.get("properties") or {}
            name = next(iter(properties), None)
            if name is None:
                continue
            values = properties[name].get("enum")
            known = seen.setdefault(name, [])
            if known and (values is None or None in known or any(value in known for value in values)):
                raise NotStrict(f"alternatives begin with the same property, {name[:64]}")
            known += [None] if values is None else values


def check_limits(schema: Mapping[str, Any]) -> None:
    """Raises NotStrict if an adapted schema is larger than OpenAI takes, or than is worth it."""
    definitions = schema.get("$defs") or {}
    sizes = _Sizes(definitions)
    for one in (schema, *definitions.values()):
        sizes.walk(one, 0)
    for what, size, most in (
        ("properties", sizes.properties, MAX_PROPERTIES),
        ("characters of names and values", sizes.chars, MAX_TEXT_CHARS),
        ("values in enums", sizes.enum_values, MAX_ENUM_VALUES),
        ("parameters that may be left out", sizes.optional, MAX_OPTIONAL),
    ):
        if size > most:
            raise NotStrict(f"it has {size} {what}, more than {most}")


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    return (isinstance(kinds, list) and "null" in kinds) or {"type": "null"} in (schema.get("anyOf") or [])
