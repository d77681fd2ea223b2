"""What a client sees of a stream, and what it sends back."""

from typing import Any

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.events import (
    ChoiceFinished,
    Event,
    Finished,
    Started,
)
from gateway.inference.dialects.neutral import Image, Inline
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.made import CODEC, body, data_of, streamed

STARTED = Started(id="r1", model="m")
ENDED: list[Event] = [
    ChoiceFinished(stop="end_turn"),
    Finished(usage=TokenUsage(input_tokens=5, output_tokens=7, cache_read_tokens=3)),
]
PNG = Image(source=Inline(media_type="image/png", data="AA=="))


def shown(*events: Event) -> list[dict[str, Any]]:
    """The frames between the message's start and its end, each checked against the SDK's types."""
    frames = data_of(streamed([STARTED, *events, *ENDED]))
    for data in frames:
        sdk.validate_event(data)
    assert [data["type"] for data in (frames[0], *frames[-2:])] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    open_ = None
    for number, data in enumerate(frames[1:-2]):
        if data["type"] == "content_block_start":
            assert open_ is None, number
            open_ = data["index"]
        assert data["index"] == open_
        if data["type"] == "content_block_stop":
            open_ = None
    assert open_ is None
    return frames[1:-2]


def message(*events: Event) -> list[dict[str, Any]]:
    """The blocks that the SDK's accumulator ends up with, as the client would send them back."""
    accumulated = sdk.accumulated_stable(streamed([STARTED, *events, *ENDED]))
    return [block.to_dict() for block in accumulated.content]


def back(content: list[dict[str, Any]]) -> Any:
    return (
        CODEC.decode_request(body(messages=[{"role": "assistant", "content": content}])).messages[0].content
    )
