"""Short ways to make neutral requests and answers, and to read what comes of them."""

import json
from collections.abc import Iterable
from typing import Any

from gateway.inference.dialects.anthropic.codec import AnthropicCodec
from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.events import Event
from gateway.inference.dialects.neutral import (
    Block,
    Message,
    Request,
    Text,
    ToolResult,
    ToolUse,
)

CODEC = AnthropicCodec()
OPUS_5 = "claude-opus-5"
SONNET_4_5 = "claude-sonnet-4-5"


def body(content: Any = "hi", **fields: Any) -> dict[str, Any]:
    """A request as a client sends it."""
    return {
        "model": OPUS_5,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": content}],
        **fields,
    }


def target(model: str = OPUS_5, **quirks: Any) -> Target:
    return Target("anthropic", model, "anthropic", Quirks(**quirks))


def user(*content: Block | str) -> Message:
    return Message(role="user", content=_blocks(content))


def assistant(*content: Block | str) -> Message:
    return Message(role="assistant", content=_blocks(content))


def call(tool_id: str = "t1", arguments: str = "{}", **more: Any) -> ToolUse:
    return ToolUse(id=tool_id, name="look", arguments=arguments, **more)


def result(tool_id: str = "t1", *content: Block | str) -> ToolResult:
    return ToolResult(tool_use_id=tool_id, content=_blocks(content or ("done",)))


def asking(*messages: Message, **fields: Any) -> Request:
    fields.setdefault("max_tokens", 4096)
    return Request(model="m", messages=list(messages or (user("hi"),)), **fields)


def sent(request: Request, model: str = OPUS_5, **quirks: Any) -> dict[str, Any]:
    """The body that goes to the provider."""
    return CODEC.encode_request(request, target(model, **quirks)).body


def dropped(request: Request, model: str = OPUS_5, **quirks: Any) -> tuple[str, ...]:
    return CODEC.encode_request(request, target(model, **quirks)).dropped


def streamed(events: Iterable[Event]) -> bytes:
    encoder = CODEC.stream_encoder(asking())
    return b"".join(encoder.feed(event) for event in events)


def decoded(stream: bytes, cuts: Iterable[int] = ()) -> list[Event]:
    """The events of a stream that arrives in pieces which end at ``cuts``."""
    decoder = CODEC.stream_decoder("anthropic")
    events: list[Event] = []
    start = 0
    for end in [*sorted(cuts), len(stream)]:
        events += decoder.feed(stream[start:end])
        start = end
    return events + decoder.end()


def data_of(stream: bytes) -> list[dict[str, Any]]:
    """The frames' JSON, after checking the form of their bytes."""
    frames = stream.decode().split("\n\n")
    assert frames.pop() == ""
    found = []
    for frame in frames:
        first, second = frame.split("\n")
        data = json.loads(second.removeprefix("data: "))
        assert first == f"event: {data['type']}"
        assert second == "data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        found.append(data)
    return found


def _blocks(content: Iterable[Block | str]) -> list[Block]:
    return [Text(text=part) if isinstance(part, str) else part for part in content]
