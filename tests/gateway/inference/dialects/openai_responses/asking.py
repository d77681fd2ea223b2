"""Requests of other dialects, as a provider of this one gets them."""

from typing import Any

from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.neutral import (
    Block,
    Inline,
    Message,
    Request,
)
from tests.gateway.inference.dialects.openai_responses.exchange import CODEC, NAME, TARGET, neutral

PIXELS = Inline(media_type="image/png", data="iVBO")
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def body(asked: Request, **quirks: Any) -> dict[str, Any]:
    return CODEC.encode_request(asked, replace_quirks(**quirks)).body


def replace_quirks(**quirks: Any) -> Target:
    return Target("p", "gpt-x", NAME, Quirks(**quirks))


def dropped(asked: Request) -> tuple[str, ...]:
    return CODEC.encode_request(asked, TARGET).dropped


def asks(*content: Block) -> Request:
    return neutral(Message(role="user", content=list(content)))


def says(*content: Block) -> Request:
    return neutral(Message(role="assistant", content=list(content)))
