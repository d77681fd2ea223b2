"""No bytes of a provider break the decoder, nor the encoder behind it."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.inference.dialects.anthropic.made import decoded, streamed
from tests.gateway.inference.dialects.anthropic.streams import EVERYTHING, START, begin, ended, stream_of

EVENT_TYPES = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "error",
]
BLOCK_TYPES = [
    "text",
    "tool_use",
    "thinking",
    "redacted_thinking",
    "server_tool_use",
    "compaction",
    "image",
    "document",
    "search_result",
    "tool_result",
]
DELTA_TYPES = [
    "text_delta",
    "thinking_delta",
    "input_json_delta",
    "signature_delta",
    "citations_delta",
    "compaction_delta",
]
NAMES = [
    "text",
    "thinking",
    "signature",
    "data",
    "input",
    "id",
    "name",
    "partial_json",
    "citation",
    "citations",
    "content",
    "source",
    "usage",
    "model",
    "stop_reason",
    "stop_sequence",
    "output_tokens",
    "message",
    "code",
]
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
INNER = LEAF | st.lists(LEAF, max_size=2) | st.dictionaries(st.sampled_from(NAMES), LEAF, max_size=3)


def _typed(types: list[str]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.sampled_from(NAMES), INNER, max_size=4)
    return LEAF | st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(types), fields)


EVENT = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(EVENT_TYPES) | LEAF,
        "index": st.integers(0, 2) | LEAF,
        "content_block": _typed(BLOCK_TYPES),
        "delta": _typed(DELTA_TYPES),
        "message": _typed(["message"]),
        "usage": _typed(["usage"]),
        "error": _typed(["api_error"]),
    },
)


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    decoded(data)
    decoded(b"data: " + data + b"\n\n")
    decoded(EVERYTHING[:1500] + data + EVERYTHING[1500:])


@given(st.lists(EVENT, max_size=6))
def test_any_json(events: list[dict[str, Any]]) -> None:
    frames = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    started = stream_of(START, begin(0, {"type": "text", "text": ""}))
    for stream in (frames, started + frames, started + frames + stream_of(*ended())):
        streamed(decoded(stream))
