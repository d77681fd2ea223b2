"""Streams: from this dialect's providers, and for its clients whoever answered."""

import tracemalloc
from copy import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.frames import MAX_PENDING_BYTES
from gateway.inference.dialects.neutral import (
    ArgumentsDelta,
    Audio,
    AudioDelta,
    Block,
    BlockStarted,
    BlockStopped,
    Choice,
    ChoiceFinished,
    Citation,
    CitationDelta,
    Event,
    Failed,
    Finished,
    HiddenThinking,
    Image,
    Inline,
    Refusal,
    Response,
    ServerBlock,
    SignatureDelta,
    Started,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ToolUse,
)
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    answer,
    cut,
    decoded,
    encoded,
    frames,
    kinds,
    message,
    request,
    stream,
    text,
    user,
    whole,
)
from tests.gateway.inference.dialects.openai_responses.sdk import accumulated, check, events_of

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


# --- for clients --------------------------------------------------------------------------------------


def test_the_exact_events_of_a_text() -> None:
    usage = TokenUsage(input_tokens=3, output_tokens=2)
    events: list[Event] = [
        Started(id="msg_a", model="claude", created_s=5),
        BlockStarted(index=0, block=Text(text="")),
        TextDelta(index=0, text="Æ"),
        TextDelta(index=0, text="r", logprobs=[LOGPROB]),
        CitationDelta(index=0, citation=Citation(dialect="anthropic", data={}, url="u")),
        BlockStopped(index=0),
        ChoiceFinished(stop="end_turn"),
        Finished(usage=usage),
    ]
    written = frames(encoded(events))
    assert kinds(written) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    (item,) = check(written)
    assert item["content"][0]["text"] == "Ær"
    assert item["content"][0]["logprobs"] == [LOGPROB]
    assert item["content"][0]["annotations"][0]["end_index"] == 2
    final = written[-1]["response"]
    assert (final["id"], final["status"], final["usage"]["total_tokens"]) == ("resp_msg_a", "completed", 5)
    gathered = accumulated(encoded(events))
    assert gathered.output_text == "Ær"
    assert gathered.usage is not None


def test_the_exact_events_of_thoughts_and_calls() -> None:
    events: list[Event] = [
        Started(id="msg_a", model="claude"),
        BlockStarted(index=0, block=Thinking(text="", origin="anthropic")),
        TextDelta(index=0, text="Hm"),
        TextDelta(index=0, text="\n\n"),
        TextDelta(index=0, text="so."),
        SignatureDelta(index=0, signature="sig"),
        BlockStopped(index=0),
        BlockStarted(index=1, block=ToolUse(id="t1", name="f", arguments="")),
        ArgumentsDelta(index=1, text='{"a":'),
        ArgumentsDelta(index=1, text="1}"),
        BlockStopped(index=1),
        BlockStarted(index=2, block=ToolUse(id="t2", name="g", arguments="")),
        BlockStopped(index=2),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    written = frames(encoded(events))
    assert kinds(written) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    thought, call, empty = check(written)
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm\n\nso."}]
    assert (call["call_id"], call["arguments"], empty["arguments"]) == ("t1", '{"a":1}', "{}")
    tool: Any = {"type": "function", "name": "f", "parameters": {}, "strict": False}
    gathered = accumulated(encoded(events), tools=[tool])
    assert [item.type for item in gathered.output] == ["reasoning", "function_call", "function_call"]


BLOCKS: list[Block] = [
    Text(text="A"),
    Refusal(text="No."),
    Thinking(text="Hm.", origin="anthropic", signature="s"),
    Thinking(text="", origin="google", signature="s"),
    HiddenThinking(data="d", origin="anthropic"),
    ToolUse(id="t", name="f", arguments='{"a":1}', signature="g"),
    ToolUse(id="t2", name="sh", arguments='{"input":"ls"}'),
    ToolUse(id="t3", name="sh", arguments="ls", custom=True),
    Image(source=Inline(media_type="image/png", data="iVBO")),
    Audio(data="UklG", format="wav", transcript="Hello"),
    ServerBlock(dialect="anthropic", data={"type": "server_tool_use"}),
    ServerBlock(dialect=NAME, data={"id": "ws_1", **SEARCH}),
    ServerBlock(
        dialect=NAME, data={"type": "message", "role": "assistant", "content": [text("of a new kind")]}
    ),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_in_one_piece_is_the_same_as_in_the_whole_answer(block: Block) -> None:
    asked = CODEC.decode_request(request(user(), tools=[{"type": "custom", "name": "sh"}]))
    raw = encoded(whole(Text(text="So:"), block, Text(text=".")), asked)
    choice = Choice(content=[Text(text="So:"), block, Text(text=".")], stop="end_turn")
    given = CODEC.encode_response(Response(id="msg_a", model="claude", choices=[choice], created_s=5), asked)
    assert check(frames(raw)) == given["output"]
    assert frames(raw)[-1]["response"] == given
    assert accumulated(raw).id == "resp_msg_a"


def test_a_tool_that_takes_text_is_told_when_its_json_is_whole() -> None:
    asked = CODEC.decode_request(request(user(), tools=[{"type": "custom", "name": "sh"}]))
    events: list[Event] = [
        Started(id="m", model="c"),
        BlockStarted(index=0, block=ToolUse(id="t", name="sh", arguments="")),
        ArgumentsDelta(index=0, text='{"input":'),
        ArgumentsDelta(index=0, text='"ls"}'),
        BlockStopped(index=0),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    written = frames(encoded(events, asked))
    assert [item["input"] for item in check(written)] == ["ls"]
    assert kinds(written)[2:6] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]


def test_a_signature_after_the_start_of_a_call_is_in_its_id() -> None:
    events: list[Event] = [
        Started(id="m", model="g"),
        BlockStarted(index=0, block=ToolUse(id="t", name="f", arguments="")),
        SignatureDelta(index=0, signature="sig"),
        ArgumentsDelta(index=0, text="{}"),
        BlockStopped(index=0),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    (call,) = check(frames(encoded(events)))
    read = CODEC.decode_request(request(user(), call)).messages[1].content[0]
    assert isinstance(read, ToolUse)
    assert (read.id, read.signature) == ("t", "sig")


def test_blocks_that_overlap_are_put_in_order() -> None:
    events: list[Event] = [
        Started(id="m", model="c"),
        BlockStarted(index=0, block=Text(text="")),
        TextDelta(index=0, text="A"),
        BlockStarted(index=1, block=ToolUse(id="t1", name="f", arguments="")),
        BlockStarted(index=2, block=ToolUse(id="t2", name="g", arguments="")),
        ArgumentsDelta(index=2, text="{"),
        ArgumentsDelta(index=1, text='{"a"'),
        TextDelta(index=0, text="B"),
        BlockStarted(index=0, block=Text(text="of another choice"), choice=1),
        ArgumentsDelta(index=2, text="}"),
        BlockStopped(index=2),
        BlockStopped(index=0),
        ArgumentsDelta(index=1, text=":1}"),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    said, first, second = check(frames(encoded(events)))
    assert said["content"][0]["text"] == "AB"
    assert (first["arguments"], second["arguments"]) == ('{"a":1}', "{}")


def test_sound_is_its_transcript() -> None:
    events: list[Event] = [
        Started(id="m", model="c"),
        BlockStarted(index=0, block=Audio(data="", format="wav")),
        AudioDelta(index=0, data="UklG", transcript="Hel"),
        AudioDelta(index=0, transcript="lo"),
        BlockStopped(index=0),
        ChoiceFinished(stop="end_turn"),
        Finished(),
    ]
    assert accumulated(encoded(events)).output_text == "Hello"


@pytest.mark.parametrize(
    ("stop", "last"),
    [
        ("end_turn", "completed"),
        ("stop_sequence", "completed"),
        ("max_tokens", "incomplete"),
        ("refusal", "incomplete"),
        ("error", "failed"),
    ],
)
def test_each_ending(stop: StopReason, last: str) -> None:
    written = frames(encoded(whole(Text(text="A"), stop=stop)))
    assert kinds(written)[-1] == written[-1]["response"]["status"] == last
    assert [item["status"] for item in check(written)] == [last if last == "incomplete" else "completed"]


def test_no_blocks_at_all() -> None:
    usage = TokenUsage(input_tokens=1)
    events: list[Event] = [
        Started(id="m", model="c", usage=usage),
        ChoiceFinished(stop="end_turn"),
        Finished(),
    ]
    written = frames(encoded(events))
    assert kinds(written) == ["created", "in_progress", "completed"]
    assert written[-1]["response"]["usage"]["input_tokens"] == 1


def test_a_failure_is_told_as_openai_tells_it() -> None:
    failure = Failed(message="Too many", type="rate_limit_error", code="rate_limit")
    raw = encoded([*whole(Text(text="A"))[:2], failure])
    assert kinds(frames(raw))[-2:] == ["error", "failed"]
    error, failed = events_of(raw)[-2:]
    assert (error.type, error.message, error.code) == ("error", "Too many", "rate_limit")
    assert failed.response.error.code == "rate_limit_exceeded"
    assert decoded(raw)[-1] == Failed(message="Too many", code="rate_limit")
    with pytest.raises(RuntimeError):
        accumulated(raw)


def test_a_failure_before_the_start_is_an_error_event() -> None:
    assert kinds(frames(encoded([Failed(message="Oh")]))) == ["error"]


def test_the_sdk_parses_structured_output() -> None:
    class Place(BaseModel):
        city: str

    gathered = accumulated(encoded(whole(Text(text='{"city":"Oslo"}'))), text_format=Place)
    assert gathered.output_parsed == Place(city="Oslo")
