"""Whole answers, both ways (docs: Messages API reference, the Message object)."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.anthropic.answer_blocks import encode_answer
from gateway.inference.dialects.anthropic.decode_blocks import decode_block, with_signatures
from gateway.inference.dialects.anthropic.reading import DIALECT, own
from gateway.inference.dialects.anthropic.stops import decode_stop, encode_stop, refused
from gateway.inference.dialects.anthropic.usage import decode_usage, encode_usage, unread
from gateway.inference.dialects.neutral import (
    Block,
    Choice,
    Extra,
    Refusal,
    Response,
    ServerBlock,
    ToolUse,
)
from kit.errors import InvalidRequest

_OF_CHOICE = {"content", "stop_reason", "stop_sequence", "stop_details"}
_OF_MESSAGE = {"id", "type", "role", "model", "usage"}


def decode_response(body: Mapping[str, Any], origin: str) -> Response:
    """Raises ValueError if this is no Message."""
    content = body.get("content")
    if body.get("type", "message") != "message" or not isinstance(content, list):
        raise ValueError("expected a Message with a list of content blocks")
    blocks = [answered(entry, origin) for entry in content]
    usage = decode_usage(body.get("usage"), container=body.get("container"))
    left = {name: value for name, value in body.items() if name not in _OF_CHOICE | _OF_MESSAGE}
    unread_usage = unread(body.get("usage"), usage)
    if unread_usage:
        left["usage"] = unread_usage
    return Response(
        id=text_or_empty(body.get("id")),
        model=text_or_empty(body.get("model")),
        choices=[_choice(body, with_signatures([block for block in blocks if block is not None]))],
        usage=usage,
        extra=kept(left),
    )


def _choice(body: Mapping[str, Any], content: list[Block]) -> Choice:
    raw = body.get("stop_reason")
    stop, unknown = (None, None) if raw is None else decode_stop(raw)
    left = {"stop_details": body["stop_details"]} if "stop_details" in body else {}
    if unknown is not None:
        left["stop_reason"] = unknown
    sequence = body.get("stop_sequence")
    return Choice(
        content=content,
        stop=stop,
        stop_sequence=sequence if isinstance(sequence, str) else None,
        extra=kept(left),
    )


def answered(raw: Any, origin: str) -> Block | None:
    """A block of an answer: one that is malformed is kept as it is, unless it is no object at all."""
    try:
        return decode_block(raw, "content", origin)
    except InvalidRequest:
        return ServerBlock(dialect=DIALECT, data=raw) if isinstance(raw, dict) else None


def text_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""


def kept(fields: dict[str, Any]) -> Extra | None:
    return Extra(dialect=DIALECT, fields=fields) if fields else None


def encode_response(response: Response) -> dict[str, Any]:
    """The first choice: this dialect's clients cannot ask for more."""
    choice = response.choices[0] if response.choices else Choice(content=[], stop="error")
    left, left_of_choice = dict(own(response.extra)), dict(own(choice.extra))
    unread_usage = left.pop("usage", {})
    calls = any(isinstance(block, ToolUse) for block in choice.content)
    refusal = "".join(block.text for block in choice.content if isinstance(block, Refusal))
    if refusal:
        left_of_choice.setdefault("stop_details", refused(refusal))
    return {
        "id": response.id,
        "type": "message",
        "role": "assistant",
        "model": response.model,
        "content": encode_answer(choice.content),
        "stop_reason": "refusal" if refusal else encode_stop(choice.stop, calls_tools=calls),
        "stop_sequence": choice.stop_sequence,
        **left_of_choice,
        "usage": {**encode_usage(response.usage), **unread_usage},
        **left,
    }
