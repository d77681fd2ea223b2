"""Tool calls and their ids."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.inference.dialects.carried import fitting_id, split_signature, with_signature
from gateway.inference.dialects.neutral import ToolUse
from gateway.inference.dialects.openai_chat.client import wrapped
from gateway.inference.dialects.openai_chat.encoding import Encoding
from gateway.inference.dialects.openai_chat.extras import extra, form, own_fields
from gateway.inference.dialects.openai_chat.reading import Fields, wrong


def decode_call(call: Fields, index: int) -> ToolUse:
    """A call in a conversation that a client sends back."""
    kind = call.text("type") or ("custom" if call.peek("custom") is not None else "function")
    if kind not in {"function", "custom"}:
        raise wrong(call.at("type"), "function or custom")
    inner = call.required_object(kind)
    tool_id, signature = split_signature(call.text("id") or f"call_{index}")
    signature = signature or google_signature(call.peek("extra_content"))
    name = inner.required_text("name")
    arguments = inner.required_text("input") if kind == "custom" else _arguments(inner)
    return ToolUse(
        id=tool_id,
        name=name,
        arguments=arguments,
        signature=signature,
        custom=kind == "custom",
        extra=extra(call.rest(), inner=inner.rest() or None),
    )


def _arguments(function: Fields) -> str:
    """JSON text; some clients send the object itself."""
    value = function.take("arguments")
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    if value is not None and not isinstance(value, str):
        raise wrong(function.at("arguments"), "JSON text")
    return value or ""


def decode_answered_call(call: Mapping[str, Any], fallback_id: str) -> ToolUse:
    """A call in a provider's answer; nothing in it is refused."""
    kind = "custom" if isinstance(call.get("custom"), dict) else "function"
    found = call.get(kind)
    inner: dict[str, Any] = found if isinstance(found, dict) else {}
    given_id, name = call.get("id"), inner.get("name")
    known = {"id", "type", kind}
    return ToolUse(
        id=given_id if isinstance(given_id, str) and given_id else fallback_id,
        name=name if isinstance(name, str) else "",
        arguments=arguments_text(inner.get("input" if kind == "custom" else "arguments")),
        signature=google_signature(call.get("extra_content")),
        custom=kind == "custom",
        extra=extra(
            {name: value for name, value in call.items() if name not in known and value is not None},
            inner={n: v for n, v in inner.items() if n not in {"name", "arguments", "input"}} or None,
        ),
    )


def arguments_text(value: Any) -> str:
    """The arguments as text, where a provider sends the object itself too."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def google_signature(content: Any) -> str | None:
    """The thought signature in Google's own variant of this dialect (``extra_content``)."""
    google = content.get("google") if isinstance(content, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) and signature else None


def encode_call(call: ToolUse, place: str, encoding: Encoding) -> dict[str, Any]:
    """A call in a conversation, for a provider."""
    if call.custom and not encoding.takes_custom_tools:
        call = msgspec.structs.replace(call, custom=False, arguments=wrapped(call.arguments))
    written = _written(call, provider_id(call.id, encoding))
    encoding.keep(call.extra, place)
    if call.signature is not None and google_signature(written.get("extra_content")) is None:
        encoding.drop(f"{place}.signature")
    if call.cache is not None:
        encoding.drop(f"{place}.cache_control")
    return written


def encode_answered_call(call: ToolUse) -> dict[str, Any]:
    """A call in an answer, for a client, with a Google signature in its id."""
    signed_already = google_signature(own_fields(call.extra).get("extra_content")) is not None
    return _written(call, call.id if signed_already else with_signature(call.id, call.signature))


def _written(call: ToolUse, tool_id: str) -> dict[str, Any]:
    inner: dict[str, Any] = {"name": call.name}
    if call.custom:
        inner["input"] = call.arguments
    else:
        inner["arguments"] = call.arguments or "{}"
    inner |= form(call.extra, "inner") or {}
    kind = "custom" if call.custom else "function"
    return {"id": tool_id, "type": kind, kind: inner, **own_fields(call.extra)}


def provider_id(tool_id: str, encoding: Encoding) -> str:
    """The id as the provider takes it, the same for a call and its result."""
    length = encoding.quirks.tool_id_length
    if length is not None:
        return fitting_id(tool_id, pattern=f"[a-zA-Z0-9]{{{length}}}", max_length=length)
    return fitting_id(tool_id, pattern="[!-~]+", max_length=encoding.quirks.tool_id_max_length)
