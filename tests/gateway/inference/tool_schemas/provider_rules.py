"""The documented rules of each provider for the schemas of functions, as checks: written from the rules, not
from the code that keeps them.

- OpenAI strict: guide "Structured outputs" (Supported schemas, Limitations); the errors "… is not permitted",
  "'additionalProperties' is required to be supplied and to be false".
- OpenAI otherwise: "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the
  top level", "array schema missing items", "object schema missing properties".
- Anthropic: "input_schema does not support oneOf, allOf, or anyOf at the top level", "Property keys should
  match pattern", "input_schema.type: Field required".
- Google: API reference, responseJsonSchema and FunctionDeclaration; Schema for ``parameters``.
"""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

STRICT = {
    "object": {"properties", "required", "additionalProperties", "$defs"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"pattern", "format", "enum"},
    "number": {"multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "enum"},
    "integer": {"multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "enum"},
    "boolean": {"enum"},
    "null": {"enum"},
}
STRICT_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
JSON_OF_GOOGLE = {
    "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems",
    "minimum", "maximum", "anyOf", "properties", "additionalProperties", "required", "propertyOrdering",
}  # fmt: skip
SCHEMA_OF_GOOGLE = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties",
    "required", "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf",
    "propertyOrdering", "default", "items", "minimum", "maximum",
}  # fmt: skip
NOTES = {"title", "description"}


def violations(schema: dict[str, Any], rules: str) -> list[str]:
    """What a provider would refuse; the schema must be a valid one besides."""
    if rules != "google-openapi":
        jsonschema_rs.meta.validate(schema)
    if schema.get("type") != ("OBJECT" if rules == "google-openapi" else "object"):
        return ["the root is no object"]
    return list(
        {
            "openai-strict": _strict,
            "openai": _openai,
            "anthropic": _anthropic,
            "google": _google,
            "google-openapi": _google_openapi,
        }[rules](schema)
    )


def _anthropic(schema: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name} at the root" for name in ("anyOf", "oneOf", "allOf", "$ref") if name in schema)
    for name in schema.get("properties", {}):
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name):
            yield f"the name {name}"


def _openai(schema: dict[str, Any]) -> Iterator[str]:
    yield from (
        f"{name} at the root" for name in ("anyOf", "oneOf", "allOf", "enum", "not") if name in schema
    )
    for node in _nodes(schema):
        kinds = node.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "object" in kinds and "properties" not in node:
            yield "an object without properties"
        if "array" in kinds and "items" not in node:
            yield "an array without items"


def _strict(schema: dict[str, Any]) -> Iterator[str]:
    if "anyOf" in schema:
        yield "anyOf at the root"
    properties, values, chars = 0, 0, sum(map(len, schema.get("$defs", {})))
    for node in _nodes(schema):
        yield from _strict_node(node, schema)
        names = node.get("properties", {})
        texts = [value for value in node.get("enum", ()) if isinstance(value, str)]
        properties += len(names)
        values += len(node.get("enum", ()))
        chars += sum(map(len, names)) + sum(map(len, texts))
        if len(texts) > 250 and sum(map(len, texts)) > 15_000:
            yield "a large enum with long values"
    if properties > 5_000 or values > 1_000 or chars > 120_000 or _levels(schema) > 10:
        yield "too large"


def _strict_node(node: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        if set(node) != {"$ref"} or name not in root.get("$defs", {}):
            yield f"a reference: {node}"
        return
    if "anyOf" in node:
        if not set(node) <= {"anyOf", "$defs"} | NOTES or not node["anyOf"]:
            yield f"beside anyOf: {sorted(node)}"
        return
    kinds = node.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    allowed = NOTES | {"type"}
    for kind in kinds:
        if kind not in STRICT:
            yield f"type {kind}"
            return
        allowed |= STRICT[kind]
    if extra := set(node) - allowed:
        yield f"not permitted: {sorted(extra)}"
    if "object" in kinds and (
        node.get("additionalProperties") is not False
        or set(node.get("required", ())) != set(node["properties"])
    ):
        yield "an object that is not closed, or has optional properties"
    if "array" in kinds and "items" not in node:
        yield "an array without items"
    if "format" in node and node["format"] not in STRICT_FORMATS:
        yield f"format {node['format']}"
    if re.search(r"\(\?[=!<]|\\[1-9]", node.get("pattern", "")):
        yield f"pattern {node['pattern']}"
    if "enum" in node and not node["enum"]:
        yield "an empty enum"


def _google(schema: dict[str, Any]) -> Iterator[str]:
    if "anyOf" in schema:
        yield "the root does not describe an object"
    for name in schema.get("properties", {}):
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}", name):
            yield f"the name {name}"
    for node in _nodes(schema):
        if extra := set(node) - JSON_OF_GOOGLE:
            yield f"not supported: {sorted(extra)}"
        if not all(type(value) in (str, int, float) for value in node.get("enum", ())):
            yield f"enum {node['enum']}"
        if isinstance(node.get("type"), list) and (len(node["type"]) > 2 or "null" not in node["type"]):
            yield f"type {node['type']}"
        if not set(node.get("required", ())) <= set(node.get("properties", {})):
            yield "a required property that is not defined"


def _google_openapi(schema: dict[str, Any]) -> Iterator[str]:
    kinds = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}
    for node in _nodes(schema):
        if extra := set(node) - SCHEMA_OF_GOOGLE:
            yield f"cannot find field: {sorted(extra)}"
        if "type" in node and node["type"] not in kinds:
            yield f"type {node['type']}"
        if "enum" in node and (node.get("type") != "STRING" or not all(node["enum"])):
            yield f"enum: only allowed for STRING, and not empty: {node}"
        if node.get("type") == "STRING" and node.get("format", "enum") not in ("enum", "date-time"):
            yield f"format {node['format']}"
        if node.get("type") == "ARRAY" and "items" not in node:
            yield "items: missing field"
        if "items" in node and node.get("type") not in ("ARRAY", None):
            yield "items of something that is no array"
        if not set(node.get("required", ())) <= set(node.get("properties", {})):
            yield "required: property is not defined"


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema in a schema."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name in ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"):
        for inner in schema.get(name, {}).values():
            yield from _nodes(inner)
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in schema.get(name, ()):
            yield from _nodes(inner)
    for name in ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"):
        yield from _nodes(schema.get(name))


def _levels(schema: Any) -> int:
    """How deep objects and lists stand within each other; what is referred to counts by itself."""
    if not isinstance(schema, dict):
        return 0
    here = int(schema.get("type") in ("object", "array"))
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), schema.get("items")]
    below = max((_levels(one) for one in inner), default=0)
    return max([here + below, *(_levels(one) for one in schema.get("$defs", {}).values())])
