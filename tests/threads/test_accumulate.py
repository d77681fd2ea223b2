"""A message put together from its stream is the message that was sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threads.accumulate import MessageAccumulator, StreamOutOfOrder

START: dict[str, Any] = {"type": "message_start", "message": {"id": "m", "model": "sim"}}
END: list[dict[str, Any]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]


def block_events(index: int, block: dict[str, Any], deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def accumulate(events: list[dict[str, Any]], used: set[str] | None = None) -> MessageAccumulator:
    accumulator = MessageAccumulator(used or set())
    for event in [START, *events, *END]:
        accumulator.feed(event)
    return accumulator


def test_text_thinking_and_signatures() -> None:
    events = block_events(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        [
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "thinking_delta", "thinking": "m"},
            {"type": "signature_delta", "signature": "s1"},
        ],
    ) + block_events(1, {"type": "text", "text": ""}, [{"type": "text_delta", "text": t} for t in "abc"])
    accumulated = accumulate(events)
    assert accumulated.content() == [
        {"type": "thinking", "thinking": "hmm", "signature": "s1"},
        {"type": "text", "text": "abc"},
    ]
    assert (accumulated.complete, accumulated.stop_reason, accumulated.model) == (True, "end_turn", "sim")


@given(st.dictionaries(st.text(), st.integers() | st.text()), st.integers(min_value=1, max_value=9))
def test_tool_arguments_survive_any_cutting(arguments: dict[str, Any], width: int) -> None:
    wire = json.dumps(arguments, ensure_ascii=False)
    pieces = [wire[at : at + width] for at in range(0, len(wire), width)]
    events = block_events(
        0,
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
        [{"type": "input_json_delta", "partial_json": piece} for piece in pieces],
    )
    assert accumulate(events).content()[0]["input"] == arguments


def test_an_empty_argument_stream_is_an_empty_object() -> None:
    events = block_events(0, {"type": "tool_use", "id": "1", "name": "f", "input": {}}, [])
    assert accumulate(events).content()[0]["input"] == {}


def test_a_repeated_tool_use_id_is_renamed_for_the_client_and_the_store() -> None:
    accumulator = MessageAccumulator({"call_1"})
    shown = [
        accumulator.feed(
            {
                "type": "content_block_start",
                "index": index,
                "content_block": {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
            }
        )
        for index in range(2)
    ]
    ids = [event["content_block"]["id"] for event in shown if event is not None]
    assert ids == ["call_1_2", "call_1_3"]
    assert [block["id"] for block in accumulator.content()] == ids


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_start", "content_block": {"type": "text"}},
        {"type": "content_block_start", "index": 0},
    ],
)
def test_events_out_of_order_are_noticed(event: dict[str, Any]) -> None:
    with pytest.raises(StreamOutOfOrder):
        MessageAccumulator(set()).feed(event)


def test_arguments_that_are_not_json_are_noticed() -> None:
    events = block_events(
        0,
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
        [{"type": "input_json_delta", "partial_json": "{oops"}],
    )
    with pytest.raises(StreamOutOfOrder):
        accumulate(events).content()
