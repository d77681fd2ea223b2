"""Requests for the tests of what is made of them."""

from typing import Any

from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.neutral import (
    Message,
    Request,
    Text,
)
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec

CODEC = OpenAIChatCodec()
USER = {"role": "user", "content": "Hi"}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
PNG = "data:image/png;base64,iVBORw0KGgo="


def target(**quirks: Any) -> Target:
    return Target("acme", "model-1", "openai-chat/acme", Quirks(**quirks))


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "model-1", "messages": [USER], **fields}


def user(*blocks: Any, **fields: Any) -> Request:
    return Request(
        model="m", messages=[Message(role="user", content=list(blocks) or [Text(text="Hi")])], **fields
    )


def function(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **fields}}
