"""The taps see the same in a stream however its bytes are cut, and never fall over."""

import gc
import json
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.anthropic.wire import AnthropicDialect
from gateway.inference.dialects.dialect import RequestFacts, StreamTap, WireDialect
from gateway.inference.dialects.frames import MAX_PENDING_BYTES, FrameOverflow, FrameSplitter, data_lines
from gateway.inference.dialects.openai_chat.wire import OpenAIChatDialect
from tests.gateway.inference.wire import anthropic, openai_chat
from tests.gateway.inference.wire.reply import Call, Reply

REPLY = Reply(
    "Ærlig talt, ✓ " * 5,
    [Call("toolu_1", "get_weather", '{"city": "Ålesund"}'), Call("toolu_2", "noop", "{}")],
    input_tokens=123,
    output_tokens=45,
)
ANTHROPIC = b"".join(anthropic.stream(REPLY, "m", "0"))
OPENAI = b"".join(openai_chat.stream(REPLY, "m", "0", include_usage=True))
STREAMS: list[tuple[WireDialect, bytes]] = [
    (AnthropicDialect(), ANTHROPIC),
    (AnthropicDialect(), ANTHROPIC.replace(b"\n", b"\r\n")),
    (OpenAIChatDialect(), OPENAI),
    (OpenAIChatDialect(), OPENAI.replace(b"\n", b"\r\n")),
]
EACH = pytest.mark.parametrize(("dialect", "raw"), STREAMS, ids=["anthropic", "a-crlf", "openai", "o-crlf"])
BOTH = pytest.mark.parametrize(
    "dialect", [AnthropicDialect(), OpenAIChatDialect()], ids=lambda d: str(d.name)
)


def _facts(*, wants_usage: bool = True) -> RequestFacts:
    return RequestFacts("m", stream=True, max_tokens=None, wants_usage=wants_usage)


def _run(tap: StreamTap, pieces: Iterable[bytes]) -> tuple[bytes, TokenUsage, bool, bool]:
    shown = b"".join(tap.feed(piece) for piece in pieces) + tap.end()
    return shown, tap.usage(7), tap.complete, tap.failed


def _cut(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(raw), *(cut % len(raw) for cut in cuts)})
    return [raw[start:end] for start, end in pairwise(places)]


@EACH
@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_whole_stream_and_its_single_bytes_give_the_same(
    dialect: WireDialect, raw: bytes, wants_usage: bool
) -> None:
    whole = _run(dialect.tap(_facts(wants_usage=wants_usage)), [raw])
    single = _run(dialect.tap(_facts(wants_usage=wants_usage)), (raw[at : at + 1] for at in range(len(raw))))
    assert whole == single
    shown, usage, complete, failed = whole
    assert usage == TokenUsage(input_tokens=123, output_tokens=45)
    assert complete
    assert not failed
    if dialect.name == "anthropic" or wants_usage:
        assert shown == raw
    else:
        assert b"prompt_tokens" not in shown
        assert shown.count(b"data: ") == raw.count(b"data: ") - 1


@EACH
@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 100_000), max_size=20), wants_usage=st.booleans())
def test_any_cut_gives_the_same(dialect: WireDialect, raw: bytes, cuts: list[int], wants_usage: bool) -> None:
    facts = _facts(wants_usage=wants_usage)
    assert _run(dialect.tap(facts), _cut(raw, cuts)) == _run(dialect.tap(facts), [raw])


@EACH
@settings(max_examples=60, deadline=None)
@given(end=st.integers(0, 100_000))
def test_a_stream_cut_short_is_estimated_and_never_above_what_was_delivered(
    dialect: WireDialect, raw: bytes, end: int
) -> None:
    tap = dialect.tap(_facts())
    tap.feed(raw[: end % len(raw)])
    usage = tap.usage(7)
    if usage.estimated:
        assert usage.input_tokens in {7, 123}
        assert usage.output_tokens <= len(raw) // 4
    else:
        assert usage == TokenUsage(input_tokens=123, output_tokens=45)


def test_content_in_parts_counts_as_delivered() -> None:
    """Mistral's thoughts and texts; usage in the same chunk counts too."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "think" * 8}, "odd"]}
    content = [thought, {"type": "text", "text": "said" * 10}, {"type": "reference"}, 7]
    chunk: dict[str, Any] = {"choices": [{"delta": {"content": content}}]}
    tap = OpenAIChatDialect().tap(_facts())
    tap.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert tap.usage(7) == TokenUsage(input_tokens=7, output_tokens=20, estimated=True)
    chunk["usage"] = {"prompt_tokens": 3, "completion_tokens": 9}
    tap.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert tap.usage(7) == TokenUsage(input_tokens=3, output_tokens=9)


LINES = st.sampled_from(
    [
        b"data: ",
        b"\n\n",
        b"\r\n\r\n",
        b"[DONE]",
        b'{"type":"message_delta","usage":',
        b'{"type":"message_start","message":{"usage":{"input_tokens":1}}}',
        b'{"usage":{"prompt_tokens":-1}}',
        b'{"choices":[{"delta":{"content":null,"tool_calls":[{"function":null}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":null}}],"usage":{"prompt_tokens":3}}',
        b'{"output_tokens":null}}',
        b"\xff",
        b'"\\ud800"',
        b"[" * 50_000,
    ]
)


@BOTH
@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.binary(max_size=50) | LINES, max_size=30), wants_usage=st.booleans())
def test_no_bytes_break_a_tap(dialect: WireDialect, pieces: list[bytes], wants_usage: bool) -> None:
    shown, usage, _, _ = _run(dialect.tap(_facts(wants_usage=wants_usage)), pieces)
    if wants_usage:
        assert shown == b"".join(pieces)
    assert min(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) >= 0


COUNTS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)


@BOTH
@settings(max_examples=200, deadline=None)
@given(
    usage=COUNTS
    | st.dictionaries(
        st.sampled_from(
            [
                "input_tokens",
                "output_tokens",
                "prompt_tokens",
                "completion_tokens",
                "cache_creation_input_tokens",
                "cache_creation",
                "prompt_tokens_details",
                "server_tool_use",
            ]
        ),
        COUNTS | st.dictionaries(st.sampled_from(["cached_tokens", "web_search_requests"]), COUNTS),
    )
)
def test_no_reported_usage_is_negative_or_absurd(dialect: WireDialect, usage: Any) -> None:
    found = dialect.response_usage({"usage": usage})
    if found is not None:
        for count in (found.input_tokens, found.output_tokens, found.cache_read_tokens, found.web_searches):
            assert 0 <= count <= 1_000_000_000


@BOTH
def test_a_long_stream_is_not_kept_in_memory(dialect: WireDialect) -> None:
    tap = dialect.tap(_facts())
    frame = b'data: {"type":"content_block_delta","delta":{"text":"' + b"x" * 2000 + b'"}}\n\n'
    tap.feed(frame)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(5000):
            tap.feed(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@BOTH
def test_an_event_that_never_ends_is_given_up(dialect: WireDialect) -> None:
    tap = dialect.tap(_facts())
    chunk = b"x" * (1024 * 1024)
    with pytest.raises(FrameOverflow):
        for _ in range(MAX_PENDING_BYTES // len(chunk) + 1):
            tap.feed(chunk)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"data: x"]), max_size=40))
def test_the_splitter_loses_no_byte(pieces: list[bytes]) -> None:
    splitter = FrameSplitter()
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    assert b"".join(frames) + splitter.rest() == b"".join(pieces)
    assert all(frame.endswith((b"\n\n", b"\r\n\r\n")) for frame in frames)


@pytest.mark.parametrize(
    ("frame", "payloads"),
    [
        (b"data: 1\n\n", [b" 1"]),
        (b"event: x\ndata: 1\n\n", [b" 1"]),
        (b"event: x\ndata: 1\nid: 7\n\n", [b"1"]),
        (b"data: 1\ndata: 2\n\n", [b"1", b"2"]),
        (b"event: x\r\ndata: 1\r\n\r\n", [b"1"]),
        (b"data: 1", [b"1"]),
        (b": ping\n\n", []),
        (b"event: data\n\n", []),
        (b"1234567890\n\n", []),
        (b"\n\n", []),
        (b"", []),
    ],
)
def test_the_data_lines_of_a_frame(frame: bytes, payloads: list[bytes]) -> None:
    assert list(data_lines(frame)) == payloads
