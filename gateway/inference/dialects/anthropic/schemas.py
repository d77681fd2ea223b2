"""JSON Schemas of other dialects, as structured output takes them here (docs: Structured outputs).

Objects must be closed, and numbers, texts and lists have no bounds; a bound is told to the model in words.
"""

from typing import Any

from kit.errors import Unsupported

_DEEPEST = 100

_BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_OF_SCHEMAS = ("properties", "$defs", "definitions")
"""Keywords whose values are schemas by name."""
_LISTS = ("anyOf", "allOf")


def closed(schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """A copy in which no object takes other properties, unless the schema says which. Raises Unsupported."""
    if depth > _DEEPEST:
        raise Unsupported(f"output.schema: expected at most {_DEEPEST} levels", param="output.schema")
    body: dict[str, Any] = {}
    bounds = []
    for name, value in schema.items():
        if name in _BOUNDS or (name == "minItems" and value not in (0, 1)):
            bounds.append(f"{name}: {value}")
        elif name in _OF_SCHEMAS and isinstance(value, dict):
            body[name] = {key: _closed_entry(entry, depth) for key, entry in value.items()}
        elif name in _LISTS and isinstance(value, list):
            body[name] = [_closed_entry(entry, depth) for entry in value]
        else:
            body[name] = _closed_entry(value, depth) if name == "items" else value
    if body.get("type") == "object" or "properties" in body:
        body.setdefault("additionalProperties", False)
    if bounds:
        words = f"({', '.join(bounds)})"
        body["description"] = f"{body['description']} {words}" if "description" in body else words
    return body


def _closed_entry(entry: Any, depth: int) -> Any:
    return closed(entry, depth + 1) if isinstance(entry, dict) else entry
