"""JSON Schemas in tools and structured output: which of them OpenAI guarantees with ``strict``."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.inference.dialects.neutral import OutputFormat, Request
from gateway.inference.dialects.openai_chat.encoding import Encoding
from gateway.inference.dialects.openai_chat.extras import extra, form
from gateway.inference.dialects.openai_chat.reading import Fields, wrong

_DEFAULT_NAME = "answer"
_MAX_DEPTH = 64


def strictness(
    strict: bool | None, schema: Mapping[str, Any] | None, place: str, encoding: Encoding
) -> bool | None:
    """``strict`` as the provider takes it: where it knows only the strict subset, not for other schemas."""
    if strict and encoding.quirks.schema_subset == "openai-strict" and not fits_strict(schema):
        encoding.drop(place)
        return None
    return strict


def fits_strict(schema: Any, depth: int = 0) -> bool:
    """Whether every object in the schema names all its properties as required and allows no others, as
    OpenAI demands (Structured Outputs guide: supported schemas)."""
    if depth > _MAX_DEPTH:
        return False
    if isinstance(schema, list):
        return all(fits_strict(item, depth + 1) for item in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict) or schema.get("type") == "object":
        names = set(properties) if isinstance(properties, dict) else set()
        required = schema.get("required")
        if schema.get("additionalProperties") is not False:
            return False
        if not isinstance(required, list) or not names <= {str(name) for name in required}:
            return not names and required is None
    return all(fits_strict(value, depth + 1) for value in schema.values())


def decode_output(body: Fields) -> OutputFormat | None:
    """``response_format``; None for plain text."""
    wanted = body.object("response_format")
    if wanted is None:
        return None
    kind = wanted.required_text("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat(extra=extra(wanted.rest()))
    if kind != "json_schema":
        raise wrong(wanted.at("type"), "text, json_object or json_schema")
    inner = wanted.required_object("json_schema")
    schema = inner.raw_object("schema")
    return OutputFormat(
        schema=schema or {},
        name=inner.required_text("name"),
        description=inner.text("description"),
        strict=inner.flag("strict"),
        extra=extra(wanted.rest(), inner=inner.rest() or None, no_schema=schema is None),
    )


def encode_output(request: Request, encoding: Encoding) -> tuple[dict[str, Any], str | None]:
    """``response_format``, and an instruction where the provider takes no schema. Raises Unsupported."""
    output = request.output
    if output is None:
        return {}, None
    support = encoding.quirks.structured_output
    if support == "none":
        raise encoding.refuse("output", "has no structured output")
    if output.schema is None or support == "json_object":
        value: dict[str, Any] = {"type": "json_object", **encoding.keep(output.extra, "output")}
        instruction = None
        if output.schema is not None:
            encoding.drop("output.schema")
            instruction = _instruction(output.schema)
        return {"response_format": value}, instruction
    inner: dict[str, Any] = {"name": output.name or _DEFAULT_NAME}
    if output.description is not None:
        inner["description"] = output.description
    if not form(output.extra, "no_schema"):
        inner["schema"] = output.schema
    strict = strictness(output.strict, output.schema, "output.strict", encoding)
    if output.strict is None and output.name is None and fits_strict(output.schema):
        strict = True  # other dialects guarantee the schema without being asked
    if strict is not None:
        inner["strict"] = strict
    inner |= form(output.extra, "inner") or {}
    kept = encoding.keep(output.extra, "output")
    return {"response_format": {"type": "json_schema", "json_schema": inner, **kept}}, None


def _instruction(schema: dict[str, Any]) -> str:
    """What a provider that knows only ``json_object`` is told; nobody guarantees then that it fits."""
    return f"Answer with a JSON object that fits this JSON Schema: {msgspec.json.encode(schema).decode()}"
