"""Anthropic's streams as events, however their bytes arrive."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.dialects.anthropic.reading import DIALECT
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Failed,
    Finished,
    SignatureDelta,
    TextDelta,
)
from gateway.inference.dialects.frames import MAX_PENDING_BYTES
from gateway.inference.dialects.neutral import ServerBlock, ToolUse
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.made import CODEC, data_of, decoded, streamed
from tests.gateway.inference.dialects.anthropic.streams import (
    CITED,
    EVENTS,
    EVERYTHING,
    START,
    begin,
    delta,
    ended,
    stop,
    stream_of,
)


def test_everything_in_one_piece() -> None:
    assert decoded(EVERYTHING) == EVENTS


def test_byte_by_byte() -> None:
    assert decoded(EVERYTHING, range(1, len(EVERYTHING))) == EVENTS


def test_with_crlf() -> None:
    windows = EVERYTHING.replace(b"\n", b"\r\n")
    assert decoded(windows) == EVENTS
    assert decoded(windows, range(1, len(windows))) == EVENTS


@given(st.lists(st.integers(0, len(EVERYTHING)), max_size=10))
def test_cut_anywhere(cuts: list[int]) -> None:
    assert decoded(EVERYTHING, cuts) == EVENTS


def test_a_stream_loses_nothing() -> None:
    again = streamed(EVENTS)
    assert decoded(again) == EVENTS
    for data in data_of(again):
        sdk.validate_event(data)
    assert sdk.accumulated(again).to_dict() == sdk.accumulated(EVERYTHING).to_dict()


def test_a_stream_that_ends_early_is_not_finished() -> None:
    early = EVERYTHING[: EVERYTHING.index(b"event: message_delta")]
    assert not [event for event in decoded(early) if isinstance(event, Finished | ChoiceFinished)]
    assert not isinstance(decoded(EVERYTHING[: EVERYTHING.index(b"event: message_stop")])[-1], Finished)


def test_the_last_frame_may_lack_its_empty_line() -> None:
    assert decoded(EVERYTHING.rstrip(b"\n")) == EVENTS


def test_what_follows_the_end_is_passed_over() -> None:
    assert decoded(EVERYTHING + EVERYTHING) == EVENTS


def test_an_error_within_the_stream() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    events = decoded(stream_of(START, error, *ended()))
    assert events[1:] == [Failed(message="Overloaded", type="overloaded_error")]
    bare = b'data: {"error": {"message": "x", "code": "c"}}\n\n'
    assert decoded(bare) == [Failed(message="x", code="c")]
    assert decoded(stream_of({"type": "error"})) == [Failed(message="the provider reports an error")]


def test_an_event_without_end() -> None:
    decoder = CODEC.stream_decoder("anthropic")
    piece = b"data: " + b"x" * (1 << 20)
    events = [event for _ in range(9) for event in decoder.feed(piece)]
    assert [type(event) for event in events] == [Failed]
    assert decoder.end() == []


def test_an_input_without_end() -> None:
    decoder = CODEC.stream_decoder("anthropic")
    decoder.feed(stream_of(START, begin(0, {"type": "server_tool_use", "id": "s", "name": "n", "input": {}})))
    piece = stream_of(delta(0, "input_json_delta", partial_json="x" * (MAX_PENDING_BYTES // 4)))
    events = [event for _ in range(5) for event in decoder.feed(piece)]
    assert [type(event) for event in events] == [Failed]


def test_an_input_that_came_whole() -> None:
    events = decoded(
        stream_of(START, begin(0, {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}), stop(0))
    )
    assert events[1:] == [
        BlockStarted(index=0, block=ToolUse(id="t", name="n", arguments="")),
        ArgumentsDelta(index=0, text='{"a":1}'),
        BlockStopped(index=0),
    ]


def test_words_that_came_with_the_start() -> None:
    events = decoded(
        stream_of(
            START,
            begin(0, {"type": "text", "text": "hi", "citations": [CITED]}),
            stop(0),
            begin(1, {"type": "thinking", "thinking": "hm", "signature": "s"}),
            stop(1),
        )
    )
    assert [type(event) for event in events[1:]] == [
        BlockStarted,
        TextDelta,
        CitationDelta,
        BlockStopped,
        BlockStarted,
        TextDelta,
        SignatureDelta,
        BlockStopped,
    ]


def test_blocks_that_never_stop_are_stopped() -> None:
    events = decoded(
        stream_of(START, begin(0, {"type": "text", "text": ""}), begin(1, {"type": "of_tomorrow"}), *ended())
    )
    assert [type(event) for event in events[1:]] == [
        BlockStarted,
        BlockStopped,
        BlockStarted,
        BlockStopped,
        ChoiceFinished,
        Finished,
    ]


def test_a_compaction() -> None:
    stream = stream_of(
        START,
        begin(0, {"type": "compaction", "content": None}),
        delta(0, "compaction_delta", content="so far", encrypted_content="e"),
        stop(0),
        *ended("compaction"),
    )
    events = decoded(stream)
    assert events[1] == BlockStarted(
        index=0,
        block=ServerBlock(
            dialect=DIALECT, data={"type": "compaction", "content": "so far", "encrypted_content": "e"}
        ),
    )
    assert decoded(streamed(events)) == events
    assert sdk.accumulated(streamed(events)).to_dict() == sdk.accumulated(stream).to_dict()


def test_a_refusal_keeps_its_details() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": None}
    told = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    message_delta = {"type": "message_delta", "delta": told, "usage": {"output_tokens": 1}}
    events = decoded(stream_of(START, message_delta, {"type": "message_stop"}))
    assert isinstance(events[1], ChoiceFinished)
    assert events[1].stop == "refusal"
    assert data_of(streamed(events))[1]["delta"] == told


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 20, "cache_read_input_tokens": 30},
        {"input_tokens": None, "output_tokens_details": None},
    ],
)
def test_usage_is_cumulative(usage: dict[str, Any]) -> None:
    finished = decoded(stream_of(START, *ended(**usage)))[-1]
    assert isinstance(finished, Finished)
    assert finished.usage is not None
    assert finished.usage.input_tokens == (usage["input_tokens"] or 3)
    assert finished.usage.cache_read_tokens == usage.get("cache_read_input_tokens", 4)
    assert finished.usage.output_tokens == 9


def test_a_stream_without_a_reason_to_stop() -> None:
    events = decoded(stream_of(START, {"type": "message_stop"}))
    assert events[1] == ChoiceFinished(stop="error")
