"""Streams of this dialect's providers: in any pieces, however odd, they give the same events."""

import tracemalloc
from copy import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Event,
    Failed,
    Finished,
    SignatureDelta,
    Started,
    TextDelta,
)
from gateway.inference.dialects.frames import MAX_PENDING_BYTES
from gateway.inference.dialects.neutral import Block, Text, Thinking
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    answer,
    cut,
    decoded,
    encoded,
    frames,
    message,
    stream,
    text,
)
from tests.gateway.inference.dialects.openai_responses.sdk import check

LOGPROB = {"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []}
URL = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
SAID = message(text("Ær ✓", annotations=[URL], logprobs=[LOGPROB]), {"type": "refusal", "refusal": "No."})
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "f",
    "arguments": '{"å":1}',
    "status": "completed",
}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "sh", "input": "ls"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}],
    "encrypted_content": "gAAA",
}
RAW_REASONING = {
    "type": "reasoning",
    "id": "rs_2",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "raw"}],
}
HIDDEN = {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "gBBB"}


def provider(*output: dict[str, Any], end: str = "response.completed", **fields: Any) -> bytes:
    """A provider's stream that leaves nothing out: texts come in single characters."""
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": answer(status="in_progress", usage=None)},
        {"type": "response.in_progress", "response": answer(status="in_progress", usage=None)},
    ]
    for place, item in enumerate(output):
        begun = {
            **item,
            "status": "in_progress",
            **({"content": []} if item["type"] == "message" else {}),
            **({"summary": [], "encrypted_content": "early"} if item["type"] == "reasoning" else {}),
            **({"arguments": ""} if "arguments" in item else {}),
        }
        where = {"output_index": place, "item_id": item["id"]}
        events.append({"type": "response.output_item.added", "output_index": place, "item": begun})
        events += [{**event, **where} for event in _pieces(item)]
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    events.append({"type": end, "response": answer(*output, **fields)})
    return stream(*events)


def _pieces(item: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    if item["type"] == "web_search_call":
        return [{"type": "response.web_search_call.searching"}]
    for name, event in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
        if name in item:
            events += [{"type": f"response.{event}.delta", "delta": char} for char in item[name]]
            events.append({"type": f"response.{event}.done", name: item[name]})
    for number, part in enumerate(item.get("summary", ())):
        where = {"summary_index": number}
        stem = "response.reasoning_summary"
        events.append({"type": f"{stem}_part.added", "part": {**part, "text": ""}, **where})
        events += [{"type": f"{stem}_text.delta", "delta": char, **where} for char in part["text"]]
        events.append({"type": f"{stem}_text.done", "text": part["text"], **where})
        events.append({"type": f"{stem}_part.done", "part": part, **where})
    for number, part in enumerate(item.get("content", ())):
        where = {"content_index": number}
        field = "refusal" if part["type"] == "refusal" else "text"
        events.append({"type": "response.content_part.added", "part": {**part, field: ""}, **where})
        kind = f"response.{part['type']}"
        events += [{"type": f"{kind}.delta", "delta": char, **where} for char in part[field]]
        if part.get("logprobs"):
            events[-1]["logprobs"] = part["logprobs"]
        for annotation in part.get("annotations", ()):
            events.append({"type": f"{kind}.annotation.added", "annotation": annotation, **where})
        events.append({"type": f"{kind}.done", field: part[field], **where})
        events.append({"type": "response.content_part.done", "part": part, **where})
    return events


EVERYTHING = provider(REASONING, HIDDEN, SEARCH, SAID, RAW_REASONING, CALL, CUSTOM)


def blocks_of(events: list[Event]) -> list[Block]:
    """The whole blocks that events add up to; each starts and stops once, in order."""
    blocks: list[Block] = []
    stopped: set[int] = set()
    for event in events:
        if isinstance(event, BlockStarted):
            assert event.index == len(blocks)
            blocks.append(copy(event.block))
        elif isinstance(event, BlockStopped):
            assert event.index not in stopped
            stopped.add(event.index)
        elif isinstance(event, TextDelta | ArgumentsDelta | SignatureDelta | CitationDelta):
            assert event.index not in stopped
            _grow(blocks[event.index], event)
    assert stopped == set(range(len(blocks)))
    return blocks


def _grow(block: Any, event: TextDelta | ArgumentsDelta | SignatureDelta | CitationDelta) -> None:
    if isinstance(event, TextDelta):
        block.text += event.text
    elif isinstance(event, ArgumentsDelta):
        block.arguments += event.text
    elif isinstance(event, SignatureDelta):
        block.signature = event.signature
    else:
        block.citations = [*(block.citations or []), event.citation]


def without_notes(blocks: list[Block]) -> list[Block]:
    for block in blocks:
        if isinstance(block, Thinking):
            block.extra = None
    return blocks


def test_a_stream_adds_up_to_what_the_whole_answer_is() -> None:
    events = decoded(EVERYTHING)
    output = [REASONING, HIDDEN, SEARCH, SAID, RAW_REASONING, CALL, CUSTOM]
    given = CODEC.decode_response(answer(*output), NAME)
    assert without_notes(blocks_of(events)) == without_notes(given.choices[0].content)
    started, ended, finished = events[0], events[-2], events[-1]
    assert isinstance(started, Started)
    assert (started.id, started.model, started.created_s) == ("resp_1", "gpt-x-2026", 1700000000)
    assert isinstance(ended, ChoiceFinished)
    assert ended.stop == given.choices[0].stop == "tool_use"
    assert isinstance(finished, Finished)
    assert finished.usage == given.usage
    logprobs = [event.logprobs for event in events if isinstance(event, TextDelta) and event.logprobs]
    assert logprobs == [[LOGPROB]]


def test_a_stream_gives_the_same_events_again() -> None:
    events = decoded(EVERYTHING)
    written = encoded(events)
    again = decoded(written)
    assert again[1:-1] == events[1:-1]
    assert decoded(encoded(again)) == again
    custom = CUSTOM | {"status": "completed"}
    assert check(frames(written)) == [REASONING, HIDDEN, SEARCH, SAID, RAW_REASONING, CALL, custom]


@pytest.mark.parametrize("raw", [EVERYTHING, EVERYTHING.replace(b"\n", b"\r\n")], ids=["lf", "crlf"])
def test_single_bytes_give_the_same(raw: bytes) -> None:
    assert decoded(raw, (raw[at : at + 1] for at in range(len(raw)))) == decoded(EVERYTHING)


@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.integers(0, 100_000), max_size=20))
def test_any_cut_gives_the_same(cuts: list[int]) -> None:
    assert decoded(EVERYTHING, cut(EVERYTHING, cuts)) == decoded(EVERYTHING)


@settings(max_examples=60, deadline=None)
@given(end=st.integers(0, 100_000))
def test_a_stream_that_ends_early_is_not_finished(end: int) -> None:
    last = EVERYTHING.rindex(b"event: response.completed")
    events = decoded(EVERYTHING[: end % last])
    assert not any(isinstance(event, Finished | ChoiceFinished | Failed) for event in events)


def test_a_provider_that_only_says_what_is_done_is_understood() -> None:
    output = [REASONING, HIDDEN, SAID, CALL]
    expected = without_notes(CODEC.decode_response(answer(*output), NAME).choices[0].content)
    created = {"type": "response.created", "response": answer(status="in_progress")}
    done = [
        {"type": "response.output_item.done", "output_index": place, "item": item}
        for place, item in enumerate(output)
    ]
    completed = {"type": "response.completed", "response": answer(*output)}
    for events in (
        [created, *done, completed],
        [created, completed],
        [completed],
        [created, *done[:2], completed],
    ):
        assert without_notes(blocks_of(decoded(stream(*events)))) == expected


def test_a_text_without_its_item_is_understood() -> None:
    events = decoded(
        stream(
            {"type": "response.created", "response": answer()},
            {"type": "response.output_text.delta", "delta": "Hi"},
            {"type": "response.output_text.delta", "delta": "!"},
            {"type": "response.completed", "response": answer(output=None)},
        )
    )
    (said,) = blocks_of(events)
    assert isinstance(said, Text)
    assert said.text == "Hi!"
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("reason", "stop"), [("max_output_tokens", "max_tokens"), ("content_filter", "refusal")]
)
def test_an_incomplete_stream_says_why(reason: str, stop: str) -> None:
    raw = provider(
        SAID, end="response.incomplete", status="incomplete", incomplete_details={"reason": reason}
    )
    events = decoded(raw)
    assert isinstance(events[-2], ChoiceFinished)
    assert events[-2].stop == stop
    assert frames(encoded(events))[-1]["type"] == "response.incomplete"


@pytest.mark.parametrize(
    ("event", "failed"),
    [
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "Slow"},
            Failed(message="Slow", type="rate_limit_error", code="rate_limit_exceeded"),
        ),
        ({"type": "error", "error": {"message": "Oh", "code": None}}, Failed(message="Oh")),
        ({"error": {"message": "Oh", "code": "x"}}, Failed(message="Oh", code="x")),
        (
            {
                "type": "response.failed",
                "response": answer(status="failed", error={"code": "server_error", "message": "Oh"}),
            },
            Failed(message="Oh", code="server_error"),
        ),
        ({"type": "response.failed"}, Failed(message="the provider's stream failed")),
    ],
)
def test_an_error_ends_the_stream(event: dict[str, Any], failed: Failed) -> None:
    start = provider(SAID)[: EVERYTHING.index(b"event: response.output_item.added")]
    events = decoded(start + b"data: " + msgspec.json.encode(event) + b"\n\n" + EVERYTHING)
    assert events[-1] == failed
    assert sum(isinstance(event, Failed) for event in events) == 1


def test_an_event_that_never_ends_fails_the_stream() -> None:
    decoder = CODEC.stream_decoder(NAME)
    events = [event for _ in range(9) for event in decoder.feed(b"x" * (MAX_PENDING_BYTES // 8))]
    assert [type(event) for event in events] == [Failed]
    assert decoder.feed(EVERYTHING) == decoder.end() == []


def test_an_answer_that_never_ends_fails_and_is_not_kept() -> None:
    decoder = CODEC.stream_decoder(NAME)
    frame = stream({"type": "response.output_text.delta", "delta": "x" * 2000, "output_index": 0})
    decoder.feed(frame)
    tracemalloc.start()
    for _ in range(2000):
        decoder.feed(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
    events: list[Event] = []
    for place in range(1, 40_000):
        events += decoder.feed(
            stream({"type": "response.output_item.added", "output_index": place, "item": {"type": "odd"}})
        )
    assert [type(event) for event in events] == [Failed]


KINDS = [
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.output_text.annotation.added",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.completed",
    "response.failed",
    "error",
]
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "message", "function_call", "reasoning", "output_text", "refusal"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "id",
                    "content",
                    "summary",
                    "text",
                    "call_id",
                    "name",
                    "arguments",
                    "output",
                    "usage",
                    "status",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
ODD_EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)},
    optional={
        "output_index": st.integers(0, 2) | ODD,
        "content_index": st.integers(0, 2) | ODD,
        "summary_index": st.integers(0, 2) | ODD,
        "item": st.sampled_from([SAID, CALL, REASONING, HIDDEN, SEARCH]) | ODD,
        "part": st.sampled_from([text("A"), {"type": "refusal", "refusal": "N"}]) | ODD,
        "delta": ODD,
        "text": ODD,
        "response": ODD,
        "annotation": ODD,
        "logprobs": ODD,
    },
)


@settings(max_examples=100, deadline=None)
@given(events=st.lists(ODD_EVENTS, max_size=12))
def test_no_events_break_the_decoder_or_the_encoder_after_it(events: list[dict[str, Any]]) -> None:
    raw = b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)
    frames(encoded(decoded(raw)))


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(
        st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n\n", b"\r\n", b"[" * 9000]), max_size=20
    )
)
def test_no_bytes_break_the_decoder(pieces: list[bytes]) -> None:
    decoded(b"", pieces)
