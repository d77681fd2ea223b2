"""Requests, both ways (docs: Messages API reference)."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.anthropic.encode_blocks import Encoding, unsupported
from gateway.inference.dialects.anthropic.messages import (
    decode_messages,
    decode_system,
    encode_conversation,
    encoded_system,
)
from gateway.inference.dialects.anthropic.models import traits_of
from gateway.inference.dialects.anthropic.reading import Fields, own, wrong
from gateway.inference.dialects.anthropic.schemas import closed
from gateway.inference.dialects.anthropic.terms import TERMS
from gateway.inference.dialects.anthropic.thinking import decode_reasoning, encode_reasoning
from gateway.inference.dialects.anthropic.tools import (
    decode_tool_choice,
    decode_tools,
    encode_tool_choice,
    encode_tools,
)
from gateway.inference.dialects.codec import Encoded, Target
from gateway.inference.dialects.neutral import Extra, OutputFormat, Request
from kit.errors import InvalidRequest

_SERVICE_TIERS = {"auto": "auto", "standard_only": "standard_only", "default": "standard_only"}

_LONGEST_USER = 256
_ESSENTIAL = ("thread", "container", "mcp_servers", "compaction")
"""What only this dialect's provider has or does: no other model can answer without it."""


def decode_request(body: Mapping[str, Any]) -> Request:
    """Raises InvalidRequest naming the field."""
    fields = Fields(body, "")
    model = fields.name("model")
    messages = decode_messages(fields)
    system, form = decode_system(fields)
    choice, parallel = decode_tool_choice(fields)
    metadata = fields.fields("metadata")
    user = metadata.optional_text("user_id") if metadata is not None else None
    config = fields.fields("output_config")
    reasoning = decode_reasoning(fields, config)
    output = _output_format(fields, config)
    max_tokens = fields.count("max_tokens")
    if max_tokens is None:
        wrong("max_tokens", "an integer that is not negative")
    return Request(
        model=model,
        messages=messages,
        system=system,
        tools=decode_tools(fields),
        tool_choice=choice,
        parallel_tools=parallel,
        max_tokens=max_tokens,
        stream=fields.flag("stream") or False,
        stop=_stop_sequences(fields),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.count("top_k"),
        reasoning=reasoning,
        output=output,
        user=user,
        service_tier=fields.optional_text("service_tier"),
        extra=_extra(fields, _system=form, metadata=_left(metadata), output_config=_left(config)),
    )


def _extra(fields: Fields, **more: Any) -> Extra | None:
    extra = fields.extra(**more)
    if extra is not None:
        extra.essential = [name for name in _ESSENTIAL if name in extra.fields]
    return extra


def _left(fields: Fields | None) -> dict[str, Any] | None:
    return None if fields is None else fields.rest() or None


def _stop_sequences(fields: Fields) -> list[str]:
    stop = fields.items("stop_sequences")
    for number, text in enumerate(stop):
        if not isinstance(text, str):
            wrong(f"stop_sequences[{number}]", "a string")
    return stop


def _output_format(body: Fields, config: Fields | None) -> OutputFormat | None:
    """``output_config.format``, or ``output_format`` as it was called before."""
    found = config.fields("format") if config is not None else None
    old = body.fields("output_format")
    if found is None:
        found = old
    elif old is not None:
        wrong("output_format", "either this or output_config.format")
    if found is None:
        return None
    if found.text("type") != "json_schema":
        wrong(found.place("type"), '"json_schema"')
    schema = found.object("schema")
    if schema is None:
        wrong(found.place("schema"), "a JSON Schema object")
    return OutputFormat(schema=schema, extra=found.extra(_schema="ours"))


def encode_request(request: Request, target: Target) -> Encoded:
    """Raises Unsupported naming what cannot be carried."""
    to = Encoding(target)
    _refuse(request)
    kept = dict(own(request.extra))
    to.drop_foreign(request.extra)
    form, metadata = kept.pop("_system", None), kept.pop("metadata", None)
    config = dict(kept.pop("output_config", None) or {})
    system, turns = encode_conversation(request, to)
    choice = encode_tool_choice(request, to)
    thinking, effort = encode_reasoning(request, turns, choice, to)
    if effort is not None:
        config["effort"] = effort
    if request.output is not None:
        config["format"] = _encoded_output(request.output, to)
    said = {
        "model": target.model,
        "max_tokens": request.max_tokens,
        "system": encoded_system(system, form),
        "messages": [turn.body() for turn in turns],
        "tools": encode_tools(request, to) or None,
        "tool_choice": choice,
        "thinking": thinking,
        "output_config": config or None,
        "stop_sequences": request.stop or None,
        "stream": request.stream or None,
        "metadata": _metadata(request, metadata, to),
        "service_tier": _service_tier(request, to),
        **_sampling(request, thinking, to),
    }
    body = {**kept, **{name: value for name, value in said.items() if value is not None}}
    return Encoded(_without_quirks(body, to), tuple(dict.fromkeys(to.dropped)))


def _refuse(request: Request) -> None:
    if request.max_tokens is None:
        raise InvalidRequest("max_tokens: expected an integer, this model needs it", param="max_tokens")
    if request.choices != 1:
        raise unsupported("choices", "the Messages API gives one answer for a request")
    for name in ("logprobs", "top_logprobs"):
        if getattr(request, name) not in (False, None):
            raise unsupported(name, "the Messages API has none")
    for number, text in enumerate(request.stop):
        if not text.strip():
            raise unsupported(f"stop[{number}]", "the Messages API takes no stop sequence of space only")


def _encoded_output(output: OutputFormat, to: Encoding) -> dict[str, Any]:
    """A schema is always strict here. Any JSON object cannot be promised without one."""
    if output.schema is None:
        raise unsupported("output", "the Messages API promises JSON only for a schema, send a json_schema")
    if to.target.quirks.structured_output != "json_schema":
        raise unsupported("output", "this provider promises no JSON of a schema")
    to.drop_foreign(output.extra, "output")
    if output.name is not None:
        to.drop("output.name")
    kept = dict(own(output.extra))
    schema = output.schema if kept.pop("_schema", None) else closed(output.schema)
    if output.description is not None and "description" not in schema:
        schema = {**schema, "description": output.description}
    return {**kept, "type": "json_schema", "schema": schema}


def _metadata(request: Request, rest: dict[str, Any] | None, to: Encoding) -> dict[str, Any] | None:
    if request.user is None:
        return rest
    if len(request.user) > _LONGEST_USER:
        to.drop("user")
        return rest
    return {**(rest or {}), "user_id": request.user}


def _service_tier(request: Request, to: Encoding) -> str | None:
    if request.service_tier is None:
        return None
    tier = _SERVICE_TIERS.get(request.service_tier)
    if tier is None:
        to.drop("service_tier")
    return tier


def _sampling(request: Request, thinking: dict[str, Any] | None, to: Encoding) -> dict[str, Any]:
    """What the model takes of temperature (0 to 1 here), top_p and top_k; thinking forbids most of it."""
    for name in ("seed", "presence_penalty", "frequency_penalty"):
        if getattr(request, name) is not None:
            to.drop(name)
    traits = traits_of(to.target.model)
    thinks = thinking is not None and thinking["type"] in ("enabled", "adaptive")
    temperature, top_p, top_k = request.temperature, request.top_p, request.top_k
    keeps = {
        "temperature": traits.sampling and (not thinks or temperature == 1),
        "top_p": traits.sampling
        and (not thinks or (top_p or 0) >= 0.95)
        and (traits.temperature_with_top_p or temperature is None),
        "top_k": traits.sampling and not thinks,
    }
    if temperature is not None and temperature > 1 and keeps["temperature"]:
        to.drop("temperature")
        temperature = 1
    values = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    to.dropped += [name for name, value in values.items() if value is not None and not keeps[name]]
    return {name: value for name, value in values.items() if keeps[name]}


def _without_quirks(body: dict[str, Any], to: Encoding) -> dict[str, Any]:
    quirks = to.target.quirks
    for name in sorted(quirks.refused & body.keys()):
        raise unsupported(TERMS.neutral(name), f"the provider {to.target.provider} cannot honour it")
    to.dropped += [TERMS.neutral(name) for name in sorted(quirks.unsupported & body.keys())]
    return {name: value for name, value in body.items() if name not in quirks.unsupported}
