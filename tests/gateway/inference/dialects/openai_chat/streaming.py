"""Frames of a provider's stream, and the events in them."""

from typing import Any

import msgspec

from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Finished,
)
from gateway.inference.dialects.neutral import (
    ToolUse,
)
from tests.gateway.inference.dialects.openai_chat.cutting import byte_by_byte, decoded, encoded

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
DONE = b"data: [DONE]\n\n"


def frame(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def chunk(
    delta: dict[str, Any] | None = None, reason: str | None = None, index: int = 0, **more: Any
) -> bytes:
    entry = {"index": index, "delta": delta or {}, "finish_reason": reason, **more}
    return frame({**HEAD, "choices": [entry]})


def calls(*pieces: dict[str, Any]) -> bytes:
    return chunk({"tool_calls": list(pieces)})


def piece(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {**fields, "function": {key: value for key, value in function.items() if value is not None}}


def usage_chunk(**fields: Any) -> bytes:
    return frame({**HEAD, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, **fields}})


def events_of(*frames: bytes) -> list[Event]:
    """The events of a complete stream, the same however it is cut, and the same after encoding them again."""
    data = b"".join(frames)
    whole = decoded([data])
    assert decoded(byte_by_byte(data)) == whole
    assert decoded(byte_by_byte(data.replace(b"\n", b"\r\n"))) == whole
    if isinstance(whole[-1], Finished):
        assert decoded([encoded(whole)]) == whole
    return whole


def used(events: list[Event]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of the calls."""
    found = {e.index: e.block for e in events if isinstance(e, BlockStarted) and isinstance(e.block, ToolUse)}
    texts = dict.fromkeys(found, "")
    for event in events:
        if isinstance(event, ArgumentsDelta):
            texts[event.index] += event.text
    assert {e.index for e in events if isinstance(e, BlockStopped)} >= set(found)
    return [(block.id, block.name, texts[index]) for index, block in found.items()]
