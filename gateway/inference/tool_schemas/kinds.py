"""A schema of several types, taken apart into schemas of one type each."""

from collections.abc import Mapping
from typing import Any

FOR_OBJECTS = frozenset((
    "properties", "required", "additionalProperties", "minProperties", "maxProperties", "patternProperties",
    "propertyNames", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
))  # fmt: skip
FOR_ARRAYS = frozenset((
    "items", "minItems", "maxItems", "uniqueItems", "prefixItems", "contains", "minContains", "maxContains",
    "unevaluatedItems",
))  # fmt: skip
_FOR_TEXTS = frozenset(
    ("pattern", "minLength", "maxLength", "format", "contentEncoding", "contentMediaType", "contentSchema")
)
_FOR_NUMBERS = frozenset(
    ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "format")
)
_ALL = FOR_OBJECTS | FOR_ARRAYS | _FOR_TEXTS | _FOR_NUMBERS
_OWN: Mapping[str, frozenset[str]] = {
    "object": FOR_OBJECTS,
    "array": FOR_ARRAYS,
    "string": _FOR_TEXTS,
    "integer": _FOR_NUMBERS,
    "number": _FOR_NUMBERS,
}


def of_kind(schema: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What the schema says about values of one type."""
    foreign = _ALL - _OWN.get(kind, frozenset())
    return {**{name: value for name, value in schema.items() if name not in foreign}, "type": kind}
