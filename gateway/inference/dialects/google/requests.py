"""Requests: the body of generateContent. Model and streaming are in the URL, see ``wire``."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.codec import Encoded, Target
from gateway.inference.dialects.google.config import decode_config, encode_config
from gateway.inference.dialects.google.contents import decode_contents, encode_contents
from gateway.inference.dialects.google.drops import Drops
from gateway.inference.dialects.google.reading import Fields, extra, invalid, merged, own
from gateway.inference.dialects.google.terms import TERMS
from gateway.inference.dialects.google.tools import (
    decode_choice,
    decode_tools,
    encode_tool_config,
    encode_tools,
)
from gateway.inference.dialects.neutral import Request, Text
from kit.errors import Unsupported

_TIERS = {"default": "standard", "standard": "standard", "standard_only": "standard", "flex": "flex",
          "priority": "priority"}  # fmt: skip
_NESTED = ("generationConfig", "toolConfig")


def decode_request(body: Mapping[str, Any]) -> Request:
    """Raises InvalidRequest naming the field."""
    fields = Fields(body, "")
    contents = fields.items("contents")
    if not contents:
        raise invalid("contents", "a list with at least one content")
    messages = decode_contents(contents, "contents")
    tools = decode_tools(fields.items("tools"), "tools")
    kept: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if (config := fields.object("generationConfig")) is not None:
        found = decode_config(Fields(config, "generationConfig"))
        if (rest := found.pop("rest")) or not config:
            kept["generationConfig"] = rest
    if (tool_config := fields.object("toolConfig")) is not None:
        settings = Fields(tool_config, "toolConfig")
        if (calling := settings.object("functionCallingConfig")) is not None:
            found["tool_choice"] = decode_choice(Fields(calling, settings.path("functionCallingConfig")))
        if settings.rest() or not tool_config:
            kept["toolConfig"] = settings.rest()
    if (instruction := fields.object("systemInstruction")) is not None:
        found["system"], kept["systemInstruction"] = _instructions(instruction)
    model = (fields.text("model") or "").removeprefix("models/")
    tier = fields.text("serviceTier")
    return Request(
        model=model,
        messages=messages,
        tools=tools,
        service_tier=tier,
        extra=extra(kept | fields.rest()),
        **found,
    )


def _instructions(instruction: dict[str, Any]) -> tuple[list[Text], dict[str, Any]]:
    fields = Fields(instruction, "systemInstruction")
    texts: list[Text] = []
    for number, value in enumerate(fields.items("parts")):
        part = Fields(value, f"{fields.path('parts')}[{number}]")
        text = part.text("text")
        if text is None:
            raise invalid(part.path("text"), "a text")
        texts.append(Text(text=text, extra=extra(part.rest())))
    return texts, fields.rest()


def encode_request(request: Request, target: Target) -> Encoded:
    """Raises Unsupported naming the field that cannot be carried."""
    drops = Drops(target)
    body: dict[str, Any] = {"contents": encode_contents(request, drops)}
    system = [_system_part(text, f"system[{number}]", drops) for number, text in enumerate(request.system)]
    if not body["contents"] and system:
        body["contents"] = [{"role": "user", "parts": system}]  # there must be something to answer
    elif system:
        body["systemInstruction"] = {"parts": system}
    if tools := encode_tools(request, drops):
        body["tools"] = tools
    if tool_config := encode_tool_config(request, drops):
        body["toolConfig"] = tool_config
    if config := encode_config(request, drops):
        body["generationConfig"] = config
    if request.user is not None:
        drops.add("user")
    _tier(request, body, drops)
    drops.foreign(request.extra)
    kept = own(request.extra)
    body = merged(body, {name: value for name, value in kept.items() if value or name not in _NESTED})
    for name in _NESTED:
        if name in kept:
            body.setdefault(name, kept[name])
    _honour(body, drops)
    return Encoded(body, tuple(drops.names))


def _system_part(text: Text, place: str, drops: Drops) -> dict[str, Any]:
    drops.cache(text.cache, place)
    drops.foreign(text.extra, place)
    return merged({"text": text.text}, own(text.extra))


def _tier(request: Request, body: dict[str, Any], drops: Drops) -> None:
    if request.service_tier in (None, "auto"):
        return
    tier = _TIERS.get(str(request.service_tier).lower())
    if tier is None:
        drops.add("service_tier")
    else:
        body["serviceTier"] = tier


def _honour(body: dict[str, Any], drops: Drops) -> None:
    """The provider's quirks, for fields of the body and of its generationConfig."""
    quirks = drops.target.quirks
    for fields in (body, body.get("generationConfig", {})):
        for name in sorted(fields.keys() & quirks.refused):
            field = TERMS.neutral(name)
            raise Unsupported(f"{field}: this provider has no such option", param=field)
        for name in sorted(fields.keys() & quirks.unsupported):
            del fields[name]
            drops.add(TERMS.neutral(name))
