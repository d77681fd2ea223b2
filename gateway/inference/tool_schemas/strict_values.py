"""Texts, numbers, booleans and null in OpenAI's strict subset (guide: Structured outputs)."""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.inference.tool_schemas.conjunction import resolve
from gateway.inference.tool_schemas.strict_limits import NotStrict
from gateway.inference.tool_schemas.words import told

FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
_NUMBERS = ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum")
_TOLD = ("minLength", "maxLength", "contentEncoding", "contentMediaType", "default")
_KINDS = frozenset(("string", "number", "integer", "boolean", "null", "object", "array"))
_BEYOND_REGULAR = (
    "(?=",
    "(?!",
    "(?<",
    "(?P",
    "(?>",
    "(?i",
    "(?s",
    "(?m",
    "(?x",
    "\\b",
    "\\B",
    "\\p",
    "\\P",
    "\\k",
)
"""What a grammar made from a pattern cannot say; besides, groups that are referred to by number."""
_MAX_REFERENCES = 32


def kinds_of(schema: Mapping[str, Any]) -> frozenset[str]:
    """The types that values may have, as said or as follows from the values. Raises NotStrict if any may."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return frozenset((kinds,))
    if isinstance(kinds, list) and kinds:
        return frozenset(kinds)
    if "const" in schema or "enum" in schema:
        return frozenset(map(_kind, _values(schema)))
    if "properties" in schema:
        return frozenset(("object",))
    if "items" in schema:
        return frozenset(("array",))
    raise NotStrict("a place may have a value of any type")


def scalar(schema: Mapping[str, Any], kinds: frozenset[str]) -> dict[str, Any]:
    """A schema for one type of scalar, or that and null. Raises NotStrict."""
    unknown = kinds - _KINDS
    if unknown:
        raise NotStrict(f"type {min(unknown)} is not known")
    [kind] = kinds - {"null"} or {"null"}
    nothing = "null" in kinds and kind != "null"
    result: dict[str, Any] = {"type": kind}
    said = list(_TOLD)
    if "enum" in schema or "const" in schema:
        result["enum"] = _fitting(schema, kind)
    if kind == "string":
        _text(schema, result, said)
    elif kind in ("number", "integer"):
        result |= {name: schema[name] for name in _NUMBERS if name in schema}
    result = with_description(result, schema, said)
    return nullable(result) if nothing and _null_fits(schema) else result


def nullable(adapted: dict[str, Any]) -> dict[str, Any]:
    """An adapted schema that takes null too."""
    if isinstance(adapted.get("type"), str) and "enum" not in adapted:
        return {**adapted, "type": [adapted["type"], "null"]}
    if "anyOf" in adapted:
        return {**adapted, "anyOf": [*adapted["anyOf"], {"type": "null"}]}
    inner = {name: value for name, value in adapted.items() if name != "description"}
    notes = {"description": adapted["description"]} if "description" in adapted else {}
    return {"anyOf": [inner, {"type": "null"}], **notes}


def accepts_null(schema: Any, root: Mapping[str, Any], references: int = 0) -> bool:
    """Whether null fits a declared schema."""
    if not isinstance(schema, Mapping):
        return schema is True
    if references > _MAX_REFERENCES:
        return False

    def inner(one: Any) -> bool:
        return accepts_null(one, root, references + 1)

    kinds = schema.get("type", "null")
    return (
        "null" in ([kinds] if isinstance(kinds, str) else kinds)
        and _null_fits(schema)
        and ("$ref" not in schema or inner(resolve(root, schema["$ref"])))
        and all(map(inner, schema.get("allOf") or ()))
        and all(any(map(inner, schema[name])) for name in ("anyOf", "oneOf") if name in schema)
    )


def with_description(
    result: dict[str, Any], schema: Mapping[str, Any], said: Iterable[str]
) -> dict[str, Any]:
    """``result`` with the schema's title and description, which tells what the subset has no keyword for."""
    description = told(schema, said, schema.get("description"))
    if isinstance(schema.get("title"), str):
        result["title"] = schema["title"]
    if description is not None:
        result["description"] = description
    return result


def _null_fits(schema: Mapping[str, Any]) -> bool:
    return ("enum" not in schema or None in schema["enum"]) and (
        "const" not in schema or schema["const"] is None
    )


def _text(schema: Mapping[str, Any], result: dict[str, Any], said: list[str]) -> None:
    if "format" in schema:
        if schema["format"] in FORMATS:
            result["format"] = schema["format"]
        else:
            said.append("format")
    if "pattern" in schema:
        if is_regular(schema["pattern"]):
            result["pattern"] = schema["pattern"]
        else:
            said.append("pattern")


def is_regular(pattern: str) -> bool:
    if any(mark in pattern for mark in _BEYOND_REGULAR):
        return False
    return not any(f"\\{digit}" in pattern for digit in "123456789")


def _fitting(schema: Mapping[str, Any], kind: str) -> list[Any]:
    """The values of this type. Raises NotStrict if there are none."""
    kinds = ("integer", "number") if kind == "number" else (kind,)
    values = [value for value in _values(schema) if _kind(value) in kinds or _is_whole(value, kind)]
    if not values:
        raise NotStrict("an enum has no value of its type")
    return values


def _values(schema: Mapping[str, Any]) -> list[Any]:
    values = schema.get("enum")
    if "const" in schema:
        return [schema["const"]]
    return list(values) if isinstance(values, list) else []


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _is_whole(value: Any, kind: str) -> bool:
    return kind == "integer" and isinstance(value, float) and value.is_integer()
