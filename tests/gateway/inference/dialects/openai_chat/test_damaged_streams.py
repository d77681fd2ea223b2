"""Bytes and JSON that no provider should send."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.inference.dialects.openai_chat.cutting import cut, decoded, encoded
from tests.gateway.inference.dialects.openai_chat.streaming import (
    DONE,
    chunk,
    frame,
)

NAMES = {
    "id",
    "model",
    "created",
    "choices",
    "index",
    "delta",
    "content",
    "refusal",
    "type",
    "text",
    "thinking",
}
NAMES |= {"reasoning", "reasoning_details", "signature", "data", "tool_calls", "function", "custom", "name"}
NAMES |= {"arguments", "function_call", "audio", "images", "image_url", "url", "annotations", "finish_reason"}
NAMES |= {"stop_reason", "logprobs", "usage", "prompt_tokens", "error", "x_groq"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 200) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted(NAMES)),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400), places=st.lists(st.integers(0, 400), max_size=4))
def test_no_bytes_raise(data: bytes, places: list[int]) -> None:
    assert decoded(cut(data, places)) == decoded([data])


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON, max_size=4))
def test_no_json_raises(values: list[Any]) -> None:
    deltas = [frame({"choices": [{"index": 0, "delta": value}, value]}) for value in values]
    events = decoded([frame(value) for value in values] + deltas + [chunk(reason="stop"), DONE])
    encoded(events)
