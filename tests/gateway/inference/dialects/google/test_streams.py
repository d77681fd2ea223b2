"""Streams in both directions."""

import json
from typing import Any

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
from gateway.inference.dialects.neutral import (
    Audio,
    HiddenThinking,
    Image,
    Inline,
    Refusal,
    Request,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from tests.gateway.inference.dialects.google.builders import CODEC, answer, chunk, events, frames, kinds
from tests.gateway.inference.dialects.google.samples import LAST, RICH


def encoded(found: list[Event]) -> bytes:
    encoder = CODEC.stream_encoder(Request(model="m", messages=[]))
    return b"".join(encoder.feed(event) for event in found)


def test_text() -> None:
    first = {**chunk({"text": "Am"}), "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 1}}
    assert events(frames(first, chunk({"text": ""}), LAST)) == [
        Started(id="r1", model="gemini-3-flash-preview", usage=TokenUsage(input_tokens=7)),
        BlockStarted(index=0, block=Text(text="")),
        TextDelta(index=0, text="Am"),
        TextDelta(index=0, text=" Ende"),
        BlockStopped(index=0),
        ChoiceFinished(stop="end_turn"),
        Finished(
            usage=TokenUsage(input_tokens=7, output_tokens=5, reasoning_tokens=2),
            extra=events(frames(LAST))[-1].extra,  # type: ignore[union-attr]
        ),
    ]


def test_everything() -> None:
    found = events(RICH)
    blocks = [event.block for event in found if isinstance(event, BlockStarted)]
    first, second = [block for block in blocks if isinstance(block, ToolUse)]
    assert blocks == [
        Thinking(text="", origin="google"),
        HiddenThinking(data="next:Zmlyc3Q=", origin="google"),
        Text(text=""),
        first,
        second,
        ServerBlock(dialect="google", data={"executableCode": {"language": "PYTHON", "code": "1"}}),
        HiddenThinking(
            data='part:{"toolCall":{"toolType":"FILE_SEARCH","id":"s"},"thoughtSignature":"dG9vbA=="}',
            origin="google",
        ),
        Image(source=Inline(media_type="image/png", data="aWs=")),
        Text(text=""),
        HiddenThinking(data="bWlk", origin="google"),
        Text(text=""),
        HiddenThinking(data="ZW5k", origin="google"),
    ]
    assert (first.name, first.arguments, first.signature, second.id) == ("f", "", "Y2FsbA==", "x")
    texts: dict[int, str] = {}
    for event in found:
        if isinstance(event, TextDelta | ArgumentsDelta):
            texts[event.index] = texts.get(event.index, "") + event.text
    assert texts == {0: "Hm…so", 2: "Grüß Gott 👋", 3: '{"a":"ö"}', 4: "{}", 8: "Fast fertig", 10: "Und"}
    assert SignatureDelta(index=0, signature="dGhpbms=") in found
    (cited,) = [event for event in found if isinstance(event, CitationDelta)]
    assert (cited.index, cited.citation.url, cited.citation.end) == (10, "https://a.example", 3)
    stopped = [event.index for event in found if isinstance(event, BlockStopped)]
    assert stopped == list(range(12))
    finished = found[-2]
    assert isinstance(finished, ChoiceFinished)
    assert finished.stop == "tool_use"
    assert isinstance(found[-1], Finished)
    assert found[-1].usage == TokenUsage(input_tokens=7, output_tokens=5, reasoning_tokens=2, web_searches=1)


def test_a_stream_survives() -> None:
    found = events(RICH)
    assert events(encoded(found)) == found


def test_an_error_ends_the_stream() -> None:
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    failed = Failed(message="overloaded", type="overloaded_error", code="UNAVAILABLE")
    assert events(frames(chunk({"text": "a"}), error, LAST))[3:] == [failed]
    assert events(json.dumps(error, indent=2).encode()) == [failed]
    assert events(json.dumps([error]).encode()) == [failed]
    assert events(frames({"error": "no"})) == [Failed(message="the provider failed")]
    assert events(encoded([Started(id="r", model="m"), failed])) == [failed]


def test_a_blocked_prompt_is_a_refusal() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
        "responseId": "r",
        "modelVersion": "m",
    }
    found = events(frames(blocked))
    assert kinds(found) == ["Started", "ChoiceFinished", "Finished"]
    assert isinstance(found[1], ChoiceFinished)
    assert found[1].stop == "refusal"
    assert events(encoded(found))[-2:] == found[-2:]


def test_candidates_may_be_interleaved() -> None:
    found = events(
        frames(
            chunk({"text": "a"}),
            chunk({"text": "b"}, index=1),
            chunk({"text": "A"}, finishReason="STOP"),
            chunk({"text": "B"}, index=1, finishReason="SAFETY"),
        )
    )
    said = {0: "", 1: ""}
    for event in found:
        if isinstance(event, TextDelta):
            said[event.choice] += event.text
    assert said == {0: "aA", 1: "bB"}
    stops = [(event.choice, event.stop) for event in found if isinstance(event, ChoiceFinished)]
    assert stops == [(0, "end_turn"), (1, "refusal")]
    again = events(encoded(found))
    assert [event for event in again if getattr(event, "choice", 0) == 1] == [
        event for event in found if getattr(event, "choice", 0) == 1
    ]
    half = frames(chunk({"text": "a"}, finishReason="STOP"), chunk({"text": "b"}, index=1))
    assert "Finished" not in kinds(events(half))


def test_metadata_that_comes_again_is_cited_once() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example"}}],
        "groundingSupports": [{"segment": {"endIndex": 1, "text": "a"}, "groundingChunkIndices": [0]}],
    }
    found = events(
        frames(
            chunk({"text": "a"}, groundingMetadata=grounding),
            chunk({"text": "b"}, groundingMetadata=grounding, finishReason="STOP"),
        )
    )
    assert kinds(found).count("CitationDelta") == 1


def test_log_probabilities_go_with_their_text() -> None:
    result = {"chosenCandidates": [{"token": "a", "logProbability": -1}], "topCandidates": []}
    found = events(frames(chunk({"text": "a"}, logprobsResult=result, finishReason="STOP")))
    (delta,) = [event for event in found if isinstance(event, TextDelta)]
    assert delta.logprobs == [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}]
    assert events(encoded(found)) == found


def test_a_stream_says_what_the_whole_answer_says() -> None:
    parts: list[dict[str, Any]] = [
        {"text": "Hm", "thought": True},
        {"text": "Yes", "thoughtSignature": "YQ=="},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "Yg=="},
    ]
    whole = CODEC.decode_response(answer(*parts), "google").choices[0]
    ids = [block.id for block in whole.content if isinstance(block, ToolUse)]
    found = events(frames(*(chunk(part) for part in parts), chunk(finishReason="STOP")))
    assert ids == [
        event.block.id
        for event in found
        if isinstance(event, BlockStarted) and isinstance(event.block, ToolUse)
    ]


def test_overlapping_blocks_are_put_in_order() -> None:
    found: list[Event] = [
        Started(id="r", model="m"),
        BlockStarted(index=0, block=Text(text="")),
        BlockStarted(index=1, block=ToolUse(id="a", name="f", arguments="")),
        BlockStarted(index=2, block=ToolUse(id="b", name="g", arguments="")),
        ArgumentsDelta(index=2, text='{"b":'),
        ArgumentsDelta(index=1, text=""),
        TextDelta(index=0, text="Hi"),
        ArgumentsDelta(index=2, text="2}"),
        BlockStopped(index=2),
        BlockStopped(index=0),
        BlockStopped(index=1),
        BlockStarted(index=3, block=Text(text="whole")),
        BlockStopped(index=3),
        BlockStarted(index=4, block=Thinking(text="", origin="anthropic")),
        TextDelta(index=4, text="hm"),
        SignatureDelta(index=4, signature="s"),
        BlockStopped(index=4),
        BlockStarted(index=5, block=Refusal(text="")),
        TextDelta(index=5, text="no"),
        BlockStopped(index=5),
        BlockStarted(index=6, block=Audio(data="", format="mp3")),
        AudioDelta(index=6, data="aW"),
        AudioDelta(index=6, data="s="),
        BlockStopped(index=6),
        ChoiceFinished(stop="tool_use"),
        Finished(usage=TokenUsage(input_tokens=1, output_tokens=2)),
    ]
    chunks = [json.loads(line[5:]) for line in encoded(found).splitlines() if line]
    assert [part for chunk in chunks[:-1] for part in chunk["candidates"][0]["content"]["parts"]] == [
        {"text": "Hi"},
        {"functionCall": {"id": "a", "name": "f", "args": {}}},
        {"functionCall": {"id": "b", "name": "g", "args": {"b": 2}}},
        {"text": "whole"},
        {"text": "hm", "thought": True},
        {"text": "no"},
        {"inlineData": {"mimeType": "audio/mp3", "data": "aWs="}},
    ]
    assert chunks[-1] == {
        "candidates": [{"finishReason": "STOP", "index": 0}],
        "modelVersion": "m",
        "responseId": "r",
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
    }


def test_an_answer_without_blocks() -> None:
    found: list[Event] = [
        Started(id="r", model="m"),
        ChoiceFinished(stop="end_turn"),
        Finished(usage=TokenUsage()),
    ]
    assert kinds(events(encoded(found))) == ["Started", "ChoiceFinished", "Finished"]
