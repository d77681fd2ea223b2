"""What the tests of this dialect say again and again."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from gateway.inference.dialects.codec import Codec, Target
from gateway.inference.dialects.events import (
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Event,
    Finished,
    Started,
)
from gateway.inference.dialects.neutral import (
    Block,
    Message,
    Request,
    StopReason,
    Text,
)
from gateway.inference.dialects.openai_responses.codec import OpenAIResponsesCodec

NAME = "openai-responses"
CODEC: Codec = OpenAIResponsesCodec()
TARGET = Target("openai", "gpt-x", NAME)


def request(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-x", "input": list(items), **fields}


def user(content: Any = "Hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def round_trip(body: dict[str, Any]) -> dict[str, Any]:
    return CODEC.encode_request(CODEC.decode_request(body), TARGET).body


def neutral(*messages: Message, **fields: Any) -> Request:
    """A request as another dialect's client makes it."""
    return Request(
        model="m", messages=list(messages) or [Message(role="user", content=[Text(text="Hi")])], **fields
    )


def answer(*output: Any, **fields: Any) -> dict[str, Any]:
    """A provider's whole answer."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "status": "completed",
        "model": "gpt-x-2026",
        "output": list(output),
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 120,
        },
        **fields,
    }


def message(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": list(parts),
        **fields,
    }


def text(said: str, **fields: Any) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": said, **fields}


def frames(raw: bytes) -> list[dict[str, Any]]:
    """The JSON of each frame, which has exactly an event line and a data line."""
    found = []
    for frame in raw.decode().split("\n\n")[:-1]:
        event, data = frame.split("\n")
        parsed = json.loads(data.removeprefix("data: "))
        assert event == f"event: {parsed['type']}"
        assert data == "data: " + msgspec.json.encode(parsed).decode()
        found.append(parsed)
    assert [frame["sequence_number"] for frame in found] == list(range(len(found)))
    return found


def stream(*events: dict[str, Any]) -> bytes:
    """A provider's stream of these events."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
        for event in events
    )


def decoded(raw: bytes, pieces: Iterable[bytes] | None = None) -> list[Event]:
    decoder = CODEC.stream_decoder(NAME)
    events: list[Event] = []
    for piece in [raw] if pieces is None else pieces:
        events += decoder.feed(piece)
    return events + decoder.end()


def encoded(events: Iterable[Event], asked: Request | None = None) -> bytes:
    encoder = CODEC.stream_encoder(asked or CODEC.decode_request(request(user())))
    return b"".join(encoder.feed(event) for event in events)


def cut(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(raw), *(place % len(raw) for place in cuts)})
    return [raw[start:end] for start, end in pairwise(places)]


def whole(*blocks: Block, stop: StopReason = "end_turn") -> list[Event]:
    """A stream whose blocks each come in one piece."""
    events: list[Event] = [Started(id="msg_a", model="claude", created_s=5)]
    for index, block in enumerate(blocks):
        events += [BlockStarted(index=index, block=block), BlockStopped(index=index)]
    return [*events, ChoiceFinished(stop=stop), Finished()]


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [str(event["type"]).removeprefix("response.") for event in events]
