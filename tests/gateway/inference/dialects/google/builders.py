"""Short ways to write requests, answers and streams of this dialect."""

import json
from typing import Any

from gateway.inference.dialects.codec import Encoded, Quirks, Target
from gateway.inference.dialects.events import Event
from gateway.inference.dialects.google.codec import GoogleCodec
from gateway.inference.dialects.neutral import (
    Block,
    Message,
    Request,
    Response,
    Text,
    ToolResult,
    ToolUse,
)

CODEC = GoogleCodec()
THIRD = "gemini-3-flash-preview"
SECOND = "gemini-2.5-flash"
USER = Message(role="user", content=[Text(text="hi")])


def target(model: str = THIRD, **quirks: Any) -> Target:
    return Target(provider="google", model=model, origin="google", quirks=Quirks(**quirks))


def ask(*messages: Message, **fields: Any) -> Request:
    return Request(model="m", messages=list(messages) or [USER], **fields)


def said(*blocks: Block) -> Message:
    return Message(role="assistant", content=list(blocks))


def told(*blocks: Block) -> Message:
    return Message(role="user", content=list(blocks))


def call(tool_id: str, name: str = "f", arguments: str = "{}", signature: str | None = None) -> ToolUse:
    return ToolUse(id=tool_id, name=name, arguments=arguments, signature=signature)


def result(tool_id: str, *blocks: Block, is_error: bool | None = None) -> ToolResult:
    return ToolResult(tool_use_id=tool_id, content=list(blocks or [Text(text="ok")]), is_error=is_error)


def encoded(request: Request, model: str = THIRD, **quirks: Any) -> Encoded:
    return CODEC.encode_request(request, target(model, **quirks))


def body(request: Request, model: str = THIRD, **quirks: Any) -> dict[str, Any]:
    return encoded(request, model, **quirks).body


def again(request: dict[str, Any], model: str = THIRD) -> dict[str, Any]:
    """A request after decoding and encoding."""
    return CODEC.encode_request(CODEC.decode_request(request), target(model)).body


def answer(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    content = {"parts": list(parts), "role": "model"}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0, **candidate}],
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10},
        "modelVersion": THIRD,
        "responseId": "r1",
    }


def decoded(response: dict[str, Any]) -> Response:
    return CODEC.decode_response(response, "google")


def chunk(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    content = {"parts": list(parts), "role": "model"}
    return {
        "candidates": [{"content": content, "index": 0, **candidate}],
        "modelVersion": THIRD,
        "responseId": "r1",
    }


def frames(*chunks: dict[str, Any]) -> bytes:
    lines = [f"data: {json.dumps(found, ensure_ascii=False)}\r\n\r\n" for found in chunks]
    return "".join(lines).encode()


def events(data: bytes, size: int = 0) -> list[Event]:
    """What a decoder makes of the bytes, in pieces of ``size`` or in one."""
    decoder = CODEC.stream_decoder("google")
    step = size or max(1, len(data))
    found = [event for at in range(0, len(data), step) for event in decoder.feed(data[at : at + step])]
    return found + decoder.end()


def kinds(found: list[Event]) -> list[str]:
    return [type(event).__name__ for event in found]
