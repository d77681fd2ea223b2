"""``generationConfig``: sampling, limits, structured output, thinking."""

from typing import Any

from gateway.inference.dialects.google.drops import Drops
from gateway.inference.dialects.google.reading import Fields, extra, invalid, merged, own
from gateway.inference.dialects.google.schemas import from_google, to_google
from gateway.inference.dialects.google.thinking import decode_thinking, encode_thinking
from gateway.inference.dialects.neutral import OutputFormat, Request
from kit.errors import Unsupported

MAX_STOPS = 5
MAX_SEED = 2**31 - 1
_JSON = "application/json"
OPENAPI = "_openApi"
"""Marks a schema that was written as a Schema object."""


def decode_config(fields: Fields) -> dict[str, Any]:
    """Request's fields, and ``rest`` with what has no place there. Raises InvalidRequest."""
    found: dict[str, Any] = {
        "max_tokens": fields.integer("maxOutputTokens"),
        "temperature": fields.number("temperature"),
        "top_p": fields.number("topP"),
        "top_k": fields.integer("topK"),
        "seed": fields.integer("seed"),
        "presence_penalty": fields.number("presencePenalty"),
        "frequency_penalty": fields.number("frequencyPenalty"),
        "stop": fields.texts("stopSequences"),
        "logprobs": fields.boolean("responseLogprobs") or False,
        "top_logprobs": fields.integer("logprobs"),
        "choices": fields.integer("candidateCount") or 1,
    }
    if (thinking := fields.object("thinkingConfig")) is not None:
        found["reasoning"] = decode_thinking(Fields(thinking, fields.path("thinkingConfig")))
    media_type = fields.text("responseMimeType")
    if media_type == _JSON:
        found["output"] = _decode_output(fields)
    rest = fields.rest()
    if media_type is not None and media_type != _JSON:
        rest["responseMimeType"] = media_type
    if found["choices"] < 1:
        raise invalid(fields.path("candidateCount"), "a positive integer")
    return {**found, "rest": rest}


def _decode_output(fields: Fields) -> OutputFormat:
    for name in ("responseJsonSchema", "_responseJsonSchema"):
        if (schema := fields.object(name)) is not None:
            return OutputFormat(schema=schema, strict=True)
    if (schema := fields.object("responseSchema")) is not None:
        return OutputFormat(schema=from_google(schema), strict=True, extra=extra({OPENAPI: True}))
    return OutputFormat()


def encode_config(request: Request, drops: Drops) -> dict[str, Any]:
    """Raises Unsupported."""
    if len(request.stop) > MAX_STOPS:
        raise Unsupported(f"stop: Gemini takes at most {MAX_STOPS} stop sequences", param="stop")
    seed = request.seed
    if seed is not None and not -MAX_SEED - 1 <= seed <= MAX_SEED:
        drops.add("seed")
        seed = None
    config: dict[str, Any] = {
        "maxOutputTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "seed": seed,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "stopSequences": request.stop or None,
        "responseLogprobs": request.logprobs or None,
        "logprobs": request.top_logprobs,
        "candidateCount": request.choices if request.choices > 1 else None,
    }
    if request.output is not None:
        config |= _encode_output(request.output, drops)
    if request.reasoning is not None:
        config["thinkingConfig"] = encode_thinking(request.reasoning, drops) or None
    config = {name: value for name, value in config.items() if value is not None}
    return merged(config, own(request.extra).get("generationConfig", {}))


def _encode_output(output: OutputFormat, drops: Drops) -> dict[str, Any]:
    quirks = drops.target.quirks
    wanted = "json_object" if output.schema is None else "json_schema"
    if quirks.structured_output == "none" or (quirks.structured_output, wanted) == (
        "json_object",
        "json_schema",
    ):
        raise Unsupported("output: this provider has no such structured output", param="output")
    drops.foreign(output.extra, "output")
    if output.name is not None:
        drops.add("output.name")
    if output.schema is None:
        return {"responseMimeType": _JSON}
    schema = output.schema
    if output.description is not None and "description" not in schema:
        schema = {**schema, "description": output.description}
    if quirks.schema_subset != "google" and OPENAPI not in own(output.extra):
        return {"responseMimeType": _JSON, "responseJsonSchema": schema}
    adapted = to_google(schema)
    for lost in adapted.lost:
        drops.add(f"output.schema.{lost}")
    return {"responseMimeType": _JSON, "responseSchema": adapted.schema}
