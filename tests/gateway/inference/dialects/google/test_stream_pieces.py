"""Streams in any pieces, and bytes that are no stream."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.inference.dialects.events import Event, Finished
from gateway.inference.dialects.frames import MAX_PENDING_BYTES
from tests.gateway.inference.dialects.google.builders import CODEC, chunk, events, frames, kinds
from tests.gateway.inference.dialects.google.samples import RICH


@given(st.lists(st.integers(0, len(RICH)), max_size=12))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(RICH)]
    decoder = CODEC.stream_decoder("google")
    found: list[Event] = []
    for start, end in zip(ends, ends[1:], strict=False):  # noqa: RUF007 - shows the cuts
        found += decoder.feed(RICH[start:end])
    assert found + decoder.end() == events(RICH)


def test_a_stream_may_come_byte_by_byte_with_any_line_ends() -> None:
    whole = events(RICH)
    assert events(RICH, 1) == whole
    assert events(RICH.replace(b"\r\n", b"\n"), 1) == whole
    assert events(b": ping\r\n\r\n" + RICH.rstrip()) == whole


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    events(data)
    events(frames(chunk({"text": "a"})) + data)
    assert not any(isinstance(event, Finished) for event in events(b"data: " + data + b"\r\n\r\n"))


NAMES = st.sampled_from(
    [
        "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name",
        "args", "inlineData", "mimeType", "fileData", "fileUri", "functionResponse", "groundingMetadata",
        "index", "groundingChunks", "groundingSupports", "segment", "groundingChunkIndices",
        "webSearchQueries",
        "citationMetadata", "citationSources", "logprobsResult", "chosenCandidates", "topCandidates",
        "finishReason", "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "error",
    ]
)  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.just(0.5) | st.sampled_from(["", "a", "STOP"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, JSON), st.dictionaries(NAMES, JSON), st.dictionaries(NAMES, JSON))
def test_no_json_raises(part: dict[str, Any], candidate: dict[str, Any], body: dict[str, Any]) -> None:
    nested = {**candidate, "content": {"parts": [part, {"text": "a"}]}}
    for found in (body, {**body, "candidates": [nested, part]}, {**body, "candidates": [{"content": part}]}):
        line = json.dumps(found).encode()
        events(b"data: " + line + b"\r\n\r\n")
        if any(name in found for name in ("candidates", "usageMetadata")) and isinstance(
            found.get("candidates", []), list
        ):
            CODEC.decode_response(found, "google")


def test_what_is_nested_deeply_does_not_raise() -> None:
    start = '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":'
    for depth in range(700, 1000, 3):
        deep = "[" * depth + "]" * depth
        line = f'{start}{deep}}}}}}}]}},"finishReason":"STOP"}}]}}'
        assert json.loads(line.replace(deep, "1"))
        events(f"data: {line}\r\n\r\n".encode())


def test_an_event_without_end_fails() -> None:
    decoder = CODEC.stream_decoder("google")
    assert decoder.feed(b"data: " + b"x" * MAX_PENDING_BYTES) != []
    assert decoder.feed(b"\n\n" + RICH) == []
    assert decoder.end() == []


@pytest.mark.parametrize("end", [0, 5, len(RICH) // 2, len(RICH) - 700])
def test_a_stream_that_ends_early_does_not_finish(end: int) -> None:
    assert not {"ChoiceFinished", "Finished", "Failed"} & set(kinds(events(RICH[:end])))
