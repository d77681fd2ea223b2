"""Whole answers: ``chat.completion``."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.neutral import Request, Response
from gateway.inference.dialects.openai_chat.choice_decoding import decode_choice, without
from gateway.inference.dialects.openai_chat.choice_encoding import encode_choice
from gateway.inference.dialects.openai_chat.client import Client
from gateway.inference.dialects.openai_chat.extras import extra, own_fields
from gateway.inference.dialects.openai_chat.usage import (
    decode_usage,
    encode_usage,
    merged,
    unexplained,
    usage_in,
)


def decode_response(body: Mapping[str, Any], origin: str) -> Response:
    """Raises ValueError if this is no answer of the dialect (an error, say)."""
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(item, dict) for item in choices):
        raise ValueError("choices: expected a list with at least one answer")
    usage = decode_usage(usage_in(body), tier=body.get("service_tier"))
    rest = without(body, "id", "object", "created", "model", "choices", "usage")
    if left := unexplained(body.get("usage"), usage):
        rest["usage"] = left
    answer_id = _text(body.get("id"))
    return Response(
        id=answer_id,
        model=_text(body.get("model")),
        choices=[decode_choice(item, origin, f"{answer_id}{number}") for number, item in enumerate(choices)],
        usage=usage,
        created_s=seconds(body.get("created")),
        extra=extra(rest),
    )


def seconds(value: Any) -> int | None:
    """A time in Unix seconds; some providers give fractions."""
    return int(value) if isinstance(value, int | float) and abs(value) < 1e15 else None


def encode_response(response: Response, request: Request) -> dict[str, Any]:
    """A ``chat.completion``. ``created`` is 0 where the provider did not say when."""
    client = Client.of(request)
    rest = own_fields(response.extra)
    left = rest.pop("usage", {})
    body: dict[str, Any] = {
        "id": response.id,
        "object": "chat.completion",
        "created": response.created_s or 0,
        "model": response.model,
        "choices": [encode_choice(choice, index, client) for index, choice in enumerate(response.choices)],
    }
    if response.usage is not None or left:
        body["usage"] = merged(encode_usage(response.usage) if response.usage else {}, left)
    return body | rest


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
