"""A provider's chunks as events."""

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    AudioDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Finished,
    SignatureDelta,
    Started,
    TextDelta,
)
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
from tests.gateway.inference.dialects.openai_chat.cutting import ORIGIN, decoded
from tests.gateway.inference.dialects.openai_chat.streaming import (
    DONE,
    HEAD,
    calls,
    chunk,
    events_of,
    frame,
    piece,
    usage_chunk,
)


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
