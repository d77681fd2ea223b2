"""Streams of providers, decoded."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    AudioDelta,
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
from gateway.inference.dialects.neutral import (
    Audio,
    Extra,
    HiddenThinking,
    Image,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from tests.gateway.inference.dialects.openai_chat.cutting import ORIGIN, byte_by_byte, cut, decoded, encoded

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


def test_text() -> None:
    assert events_of(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Grüß"}),
        chunk({"content": " Gott 🙂"}),
        chunk(reason="stop"),
        usage_chunk(total_tokens=7),
        DONE,
    ) == [
        Started(id="c1", model="m", created_s=1700000000),
        BlockStarted(index=0, block=Text(text="")),
        TextDelta(index=0, text="Grüß"),
        TextDelta(index=0, text=" Gott 🙂"),
        BlockStopped(index=0),
        ChoiceFinished(stop="end_turn"),
        Finished(usage=TokenUsage(input_tokens=3, output_tokens=4)),
    ]


def test_thoughts_then_text_then_a_call() -> None:
    for field in ("reasoning_content", "reasoning"):
        events = events_of(
            chunk({field: "h"}),
            chunk({field: "m", "content": None}),
            chunk({"content": "Hi"}),
            calls(piece("f", "{}", index=0, id="a", type="function")),
            chunk(reason="tool_calls"),
            DONE,
        )
        assert events[1:] == [
            BlockStarted(index=0, block=Thinking(text="", origin=ORIGIN)),
            TextDelta(index=0, text="h"),
            TextDelta(index=0, text="m"),
            BlockStopped(index=0),
            BlockStarted(index=1, block=Text(text="")),
            TextDelta(index=1, text="Hi"),
            BlockStopped(index=1),
            BlockStarted(index=2, block=ToolUse(id="a", name="f", arguments="")),
            ArgumentsDelta(index=2, text="{}"),
            BlockStopped(index=2),
            ChoiceFinished(stop="tool_use"),
            Finished(),
        ]


def test_details_of_thoughts() -> None:
    shape = {"format": "anthropic-claude-v1", "index": 0}
    events = events_of(
        chunk({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", **shape}]}),
        chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "sig", **shape}]}),
        chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1"}]}),
        chunk({"content": "Hi"}),
        chunk(reason="stop"),
        DONE,
    )
    started = events[1]
    assert isinstance(started, BlockStarted)
    assert started.block == Thinking(
        text="",
        origin=ORIGIN,
        extra=Extra(
            dialect="openai-chat", fields={"type": "reasoning.text", "format": "anthropic-claude-v1"}
        ),
    )
    assert events[2:5] == [
        TextDelta(index=0, text="hm"),
        SignatureDelta(index=0, signature="sig"),
        BlockStopped(index=0),
    ]
    hidden = events[5]
    assert isinstance(hidden, BlockStarted) and isinstance(hidden.block, HiddenThinking)
    assert (hidden.block.data, hidden.block.item_id) == ("gAAA", "rs_1")


def test_mistrals_content_in_parts() -> None:
    def thinks(text: str) -> bytes:
        return chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]})

    events = events_of(
        thinks("a"),
        thinks("b"),
        chunk({"content": [{"type": "text", "text": "c"}]}),
        chunk({"content": "d"}, "stop"),
        DONE,
    )
    assert [(e.index, e.text) for e in events if isinstance(e, TextDelta)] == [
        (0, "a"),
        (0, "b"),
        (1, "c"),
        (1, "d"),
    ]


PARALLEL = {
    "as OpenAI has it": [
        [piece("f", "", index=0, id="a", type="function")],
        [piece(arguments='{"x"', index=0)],
        [piece(arguments=":1}", index=0)],
        [piece("g", "", index=1, id="b", type="function")],
        [piece(arguments="{}", index=1)],
    ],
    "in turn": [
        [piece("f", "", index=0, id="a"), piece("g", "", index=1, id="b")],
        [piece(arguments='{"x"', index=0), piece(arguments="{", index=1)],
        [piece(arguments="}", index=1), piece(arguments=":1}", index=0)],
    ],
    "whole": [[piece("f", '{"x":1}', index=0, id="a"), piece("g", "{}", index=1, id="b")]],
    "whole, without index": [[piece("f", '{"x":1}', id="a")], [piece("g", "{}", id="b")]],
    "whole, all with index 0": [
        [piece("f", '{"x":1}', index=0, id="a")],
        [piece("g", "{}", index=0, id="b")],
    ],
    "id and name repeated": [
        [piece("f", '{"x"', index=0, id="a")],
        [piece("f", ":1}", index=0, id="a")],
        [piece("g", "{}", index=1, id="b")],
    ],
    "without index, by id": [
        [piece("f", '{"x"', id="a")],
        [piece(arguments=":1}", id="a")],
        [piece("g", "{", id="b")],
        [piece(arguments="}")],
    ],
    "empty ids after the first piece": [
        [piece("f", '{"x"', index=0, id="a")],
        [piece("", ":1}", index=0, id="")],
        [piece("g", "{}", index=1, id="b")],
    ],
    "name after the id": [
        [{"index": 0, "id": "a", "type": "function"}],
        [piece("f", '{"x":1}', index=0)],
        [piece("g", "{}", index=1, id="b")],
    ],
    "arguments as objects": [[piece("f", {"x": 1}, index=0, id="a")], [piece("g", {}, index=1, id="b")]],
}


@pytest.mark.parametrize("pieces", PARALLEL.values(), ids=PARALLEL)
def test_parallel_calls(pieces: list[list[dict[str, Any]]]) -> None:
    frames = [calls(*some) for some in pieces]
    events = events_of(
        chunk({"role": "assistant", "content": None}), *frames, chunk(reason="tool_calls"), DONE
    )
    assert used(events) == [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    assert events[-2] == ChoiceFinished(stop="tool_use")


def test_calls_without_ids_get_some() -> None:
    data = calls(piece("f", "{}", index=0), piece("f", "{}", index=1)) + chunk(reason="tool_calls") + DONE
    (first, *_), (second, *_) = used(decoded([data]))
    assert first and second and first != second


def test_a_call_without_arguments() -> None:
    data = calls(piece("f", "", index=0, id="a")) + chunk(reason="stop") + DONE
    events = decoded([data])
    assert used(events) == [("a", "f", "")]
    assert events[-2] == ChoiceFinished(
        stop="tool_use", extra=Extra(dialect="openai-chat", fields={"finish_reason": "stop"})
    )


def test_a_call_of_the_older_kind() -> None:
    events = events_of(
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"x":1}'}}),
        chunk(reason="function_call"),
        DONE,
    )
    [(_, name, arguments)] = used(events)
    assert (name, arguments) == ("f", '{"x":1}')


def test_a_free_text_call() -> None:
    events = events_of(
        calls({"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": ""}}),
        calls({"index": 0, "custom": {"input": "select 1"}}),
        chunk(reason="tool_calls"),
        DONE,
    )
    assert used(events) == [("a", "sql", "select 1")]
    [started] = [event for event in events if isinstance(event, BlockStarted)]
    assert isinstance(started.block, ToolUse) and started.block.custom


def test_choices_in_turn() -> None:
    events = events_of(
        chunk({"role": "assistant", "content": ""}),
        chunk({"role": "assistant", "content": ""}, index=1),
        chunk({"content": "b"}, index=1),
        chunk({"content": "a"}),
        chunk({"content": "B"}, index=1),
        chunk(reason="length", index=1),
        chunk(reason="stop"),
        DONE,
    )
    texts = [(event.choice, event.text) for event in events if isinstance(event, TextDelta)]
    assert texts == [(1, "b"), (0, "a"), (1, "B")]
    finished = [(event.choice, event.stop) for event in events if isinstance(event, ChoiceFinished)]
    assert finished == [(0, "end_turn"), (1, "max_tokens")]


def test_refusal_logprobs_citations_sounds_and_pictures() -> None:
    token = {"token": "N", "logprob": -1.0, "bytes": None, "top_logprobs": []}
    cited = {"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "T"}}
    refused = events_of(
        chunk({"refusal": "No"}, logprobs={"content": None, "refusal": [token]}), chunk(reason="stop"), DONE
    )
    assert refused[1:3] == [
        BlockStarted(index=0, block=Refusal(text="")),
        TextDelta(index=0, text="No", logprobs=[token]),
    ]
    assert [event.stop for event in refused if isinstance(event, ChoiceFinished)] == ["refusal"]
    said = events_of(
        chunk({"content": "N"}, logprobs={"content": [token], "refusal": None}),
        chunk({"annotations": [cited]}),
        chunk({"annotations": [cited]}),
        chunk(reason="stop"),
        DONE,
    )
    assert said[2] == TextDelta(index=0, text="N", logprobs=[token])
    citations = [event.citation for event in said if isinstance(event, CitationDelta)]
    assert [(citation.url, citation.data) for citation in citations] == [("https://example.org", cited)] * 2
    heard = events_of(
        chunk({"audio": {"id": "u", "transcript": "Hi"}}),
        chunk({"audio": {"data": "UklG"}}),
        chunk(reason="stop"),
        chunk({"audio": {"expires_at": 9}}),
        DONE,
    )
    [started] = [event for event in heard if isinstance(event, BlockStarted)]
    assert isinstance(started.block, Audio)
    assert [event for event in heard if isinstance(event, AudioDelta)] == [
        AudioDelta(index=0, transcript="Hi"),
        AudioDelta(index=0, data="UklG"),
    ]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    seen = decoded([chunk({"images": [picture]}) + chunk(reason="stop") + DONE])
    assert isinstance(seen[1], BlockStarted) and isinstance(seen[1].block, Image)


def test_what_only_this_dialect_has_is_kept() -> None:
    tools = {"executed_tools": [{"index": 0, "type": "search"}]}
    events = events_of(
        frame(
            {
                **HEAD,
                "system_fingerprint": "fp",
                "x_groq": {"id": "r"},
                "choices": [{"index": 0, "delta": tools}],
            }
        ),
        chunk({"content": "Hi"}, "stop", native_finish_reason="STOP"),
        DONE,
    )
    assert isinstance(events[0], Started) and events[0].extra is not None
    assert events[0].extra.fields == {"system_fingerprint": "fp", "x_groq": {"id": "r"}}
    assert BlockStarted(index=0, block=ServerBlock(dialect="openai-chat", data=tools)) in events
    assert events[-2] == ChoiceFinished(
        stop="end_turn", extra=Extra(dialect="openai-chat", fields={"native_finish_reason": "STOP"})
    )


@pytest.mark.parametrize(
    "frames",
    [
        [usage_chunk(), DONE],
        [
            frame({**HEAD, "choices": [], "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}}),
            DONE,
        ],
        [DONE],
    ],
)
def test_usage_before_the_end(frames: list[bytes]) -> None:
    within = {"prompt_tokens": 3, "completion_tokens": 4}
    last = frame({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": within})
    events = decoded([chunk({"content": "Hi"}), last, *frames])
    assert isinstance(events[-1], Finished)
    assert events[-1].usage == TokenUsage(input_tokens=3, output_tokens=4)


def test_usage_within_a_choice() -> None:
    data = chunk({"content": "Hi"}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 4}) + DONE
    last = decoded([data])[-1]
    assert isinstance(last, Finished) and last.usage == TokenUsage(input_tokens=3, output_tokens=4)


def test_a_stream_without_its_last_word_is_complete_if_the_choices_are() -> None:
    assert isinstance(decoded([chunk({"content": "Hi"}), chunk(reason="stop")])[-1], Finished)
    assert isinstance(decoded([chunk({"content": "Hi"}), chunk(reason="stop").rstrip()])[-1], Finished)


def test_a_stream_that_breaks_off_is_not_finished() -> None:
    for data in (chunk({"content": "Hi"}), b"", DONE, calls(piece("f", "{", index=0, id="a"))):
        assert not any(isinstance(event, Finished) for event in decoded([data]))


def test_a_missing_reason_is_an_error_or_a_call() -> None:
    events = decoded([chunk({"content": "Hi"}) + DONE])
    assert [event.stop for event in events if isinstance(event, ChoiceFinished)] == ["error"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            {"error": {"message": "no", "type": "server_error", "code": 502}},
            Failed(message="no", type="api_error", code="502"),
        ),
        ({"error": "no"}, Failed(message="no")),
        (
            {"object": "error", "message": "no", "code": 400},
            Failed(message="no", type="invalid_request_error", code="400"),
        ),
        ({"choices": [{"index": 0, "error": {"message": "no"}}]}, Failed(message="no")),
        (
            {
                **HEAD,
                "error": {"code": "x"},
                "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}],
            },
            Failed(message="The provider failed without saying why.", code="x"),
        ),
    ],
)
def test_an_error_ends_the_stream(error: dict[str, Any], expected: Failed) -> None:
    data = chunk({"content": "Hi"}) + b"event: error\n" + frame(error) + chunk(reason="stop") + DONE
    assert decoded([data])[-1] == expected


def test_comments_keepalives_and_rubbish_are_passed_over() -> None:
    noise = b': x data: {"error":"no"}\n\n: [DONE]\n\nevent: ping\n\ndata: \n\ndata: {broken\n\ndata: [1]\n\n'
    clean = [chunk({"content": "Hi"}), chunk(reason="stop"), DONE]
    assert decoded([noise.join([b"", *clean])]) == decoded(clean)


def test_an_empty_chunk_before_the_first_choice() -> None:
    azure = frame({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
    events = events_of(azure, chunk({"content": "Hi"}), chunk(reason="stop"), DONE)
    assert events[0] == Started(
        id="c1",
        model="m",
        created_s=1700000000,
        extra=Extra(dialect="openai-chat", fields={"prompt_filter_results": [{"prompt_index": 0}]}),
    )


def test_an_event_that_never_ends_is_a_failure() -> None:
    piece = b"data: " + b"x" * (MAX_PENDING_BYTES // 2)
    events = decoded([piece, piece, piece, DONE])
    assert len(events) == 1 and isinstance(events[0], Failed)


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
