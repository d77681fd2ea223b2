"""What the pass-through reads of this dialect while the bytes go by."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.codec import Quirks
from gateway.inference.dialects.dialect import RequestFacts, WireDialect
from gateway.inference.dialects.openai_responses.wire import OpenAIResponsesDialect
from kit.errors import HeddleError, InvalidRequest, Unsupported
from tests.gateway.inference.dialects.openai_responses.exchange import (
    answer,
    cut,
    message,
    request,
    stream,
    text,
    user,
)
from tests.gateway.inference.dialects.openai_responses.sdk import events_of

WIRE: WireDialect = OpenAIResponsesDialect()
FACTS = RequestFacts("m", stream=True, max_tokens=None)
SEARCH = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}}
USAGE = TokenUsage(
    input_tokens=30, output_tokens=20, cache_read_tokens=60, cache_write_tokens=10, reasoning_tokens=5
)
SAID: list[dict[str, Any]] = [
    {"type": "response.created", "response": answer(status="in_progress", usage=None)},
    {"type": "response.output_text.delta", "delta": "Ærlig talt, ✓ " * 5},
    {"type": "response.completed", "response": answer(message(text("Ærlig talt, ✓ " * 5)))},
]
STREAM = stream(*({**event, "sequence_number": number} for number, event in enumerate(SAID)))


def run(pieces: list[bytes]) -> tuple[bytes, TokenUsage, bool, bool]:
    tap = WIRE.tap(FACTS)
    shown = b"".join(tap.feed(piece) for piece in pieces) + tap.end()
    return shown, tap.usage(7), tap.complete, tap.failed


def test_the_facts_of_a_request() -> None:
    assert WIRE.facts(request(user())) == RequestFacts("gpt-x", stream=False, max_tokens=None)
    body = {"model": "m", "input": "Hi", "stream": True, "max_output_tokens": 5, "background": False}
    assert WIRE.facts(body) == RequestFacts("m", stream=True, max_tokens=5)


@pytest.mark.parametrize(
    ("tools", "limit", "found"),
    [
        (None, None, ()),
        ([{"type": "function", "name": "f"}, "odd"], 5, ()),
        ([{"type": "mcp"}, {"type": "tool_search"}, {"type": "computer_use_preview"}], 5, ()),
        ([{"type": "web_search"}], None, (("web_search", 20),)),
        ([{"type": "web_search_preview_2025_03_11"}], 3, (("web_search_preview", 3),)),
        ([{"type": "file_search"}, {"type": "web_search"}], 3, (("file_search", 3), ("web_search", 3))),
        ([{"type": "code_interpreter", "container": {"type": "auto"}}], 3, (("code_execution", 1),)),
        (
            [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}],
            None,
            (("code_execution_4g", 1),),
        ),
        ([{"type": "shell", "environment": {"type": "container_auto"}}], None, (("code_execution", 1),)),
        ([{"type": "shell", "environment": {"type": "local"}}, {"type": "shell"}], None, ()),
        ([{"type": "image_generation"}], 2, (("image_generation", 2),)),
        ([{"type": "brand_new"}], None, (("brand_new", 20),)),
    ],
)
def test_tools_that_cost_money_are_found(tools: Any, limit: int | None, found: Any) -> None:
    assert WIRE.server_tools(request(user(), tools=tools, max_tool_calls=limit)) == found


@pytest.mark.parametrize(
    ("body", "field", "error"),
    [
        ({"model": "m"}, "input", InvalidRequest),
        ({"model": "m", "input": []}, "input", InvalidRequest),
        ({"model": "m", "input": 5}, "input", InvalidRequest),
        ({"input": "Hi"}, "model", InvalidRequest),
        (request(user(), stream="yes"), "stream", InvalidRequest),
        (request(user(), max_output_tokens=-1), "max_output_tokens", InvalidRequest),
        (request(user(), max_tool_calls="x"), "max_tool_calls", InvalidRequest),
        (request(user(), background=True), "background", Unsupported),
        (request(user(), previous_response_id="r"), "previous_response_id", Unsupported),
        (request(user(), conversation="c"), "conversation", Unsupported),
        (request(user(), prompt={"id": "p"}), "prompt", Unsupported),
    ],
)
def test_what_cannot_be_priced_is_named(body: dict[str, Any], field: str, error: type[HeddleError]) -> None:
    with pytest.raises(error) as refused:
        WIRE.facts(body)
    assert refused.value.param == field


def test_a_body_is_changed_only_if_it_must_be() -> None:
    body = request(user(), anything=1)
    facts = WIRE.facts(body)
    assert WIRE.patch(body, facts, model="gpt-x", max_tokens=None, quirks=Quirks()) == {}
    changes = WIRE.patch(body, facts, model="gpt-y", max_tokens=9, quirks=Quirks())
    assert changes == {"model": "gpt-y", "max_output_tokens": 9}


def test_headers() -> None:
    assert WIRE.request_headers(None, {}) == {"content-type": "application/json"}
    headers = WIRE.request_headers("sk", {"openai-beta": "x", "cookie": "c"})
    assert headers == {
        "content-type": "application/json",
        "openai-beta": "x",
        "authorization": "Bearer sk",
    }


def test_the_usage_of_a_whole_answer() -> None:
    assert WIRE.response_usage(answer()) == USAGE
    assert WIRE.response_usage({"error": {"message": "x"}}) is None
    found = WIRE.response_usage(answer(SEARCH, SEARCH))
    assert found is not None
    assert found.web_searches == 2


@pytest.mark.parametrize("raw", [STREAM, STREAM.replace(b"\n", b"\r\n")], ids=["lf", "crlf"])
@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 100_000), max_size=20))
def test_a_stream_passes_unchanged_and_its_usage_is_seen(raw: bytes, cuts: list[int]) -> None:
    assert run(cut(raw, cuts)) == (raw, USAGE, True, False)


def test_a_stream_cut_short_is_estimated() -> None:
    _, usage, complete, failed = run([STREAM[: STREAM.rindex(b"event:")]])
    assert usage == TokenUsage(input_tokens=7, output_tokens=18, estimated=True)
    assert (complete, failed) == (False, False)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.failed", "response": answer(status="failed")},
        {"type": "error", "message": "Oh"},
    ],
)
def test_a_failure_is_seen(event: dict[str, Any]) -> None:
    assert run([stream(event)])[3]


def test_usage_of_a_failed_response_is_billed() -> None:
    assert run([stream({"type": "response.failed", "response": answer(status="failed")})])[1] == USAGE


BROKEN = STREAM[: STREAM.rindex(b"event:")]


@pytest.mark.parametrize(
    ("sent", "begun"), [(BROKEN, answer()["id"]), (b"", "resp_failed")], ids=["begun", "not-begun"]
)
def test_a_broken_stream_ends_in_a_failed_response(sent: bytes, begun: str) -> None:
    tap = WIRE.tap(FACTS)
    events = events_of(tap.feed(sent) + tap.error_frames("It broke", "upstream"))
    error, failed = events[-2:]
    assert events[0].type == "response.created"
    assert (error.type, error.code, error.message) == ("error", "upstream", "It broke")
    assert (failed.type, failed.response.status, failed.response.id) == ("response.failed", "failed", begun)
    assert (failed.response.error.code, failed.response.error.message) == ("server_error", "It broke")
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "response.created", "response": 7, "sequence_number": "x"},
        {"type": "response.created", "response": None, "sequence_number": 2**80},
        {"type": "response.created", "sequence_number": -4},
    ],
)
def test_an_odd_beginning_is_passed_over(odd: dict[str, Any]) -> None:
    tap = WIRE.tap(FACTS)
    tap.feed(b"data: " + json.dumps(odd).encode() + b"\n\n")
    events = events_of(tap.error_frames("It broke", "upstream"))
    assert [event.type for event in events] == ["response.created", "error", "response.failed"]
    assert [event.sequence_number for event in events] == [0, 1, 2]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.binary(max_size=50)
        | st.sampled_from(
            [
                b"data: ",
                b"\n\n",
                b"\r\n\r\n",
                b'{"type":"response.completed","response":',
                b'{"type":"response.completed","response":[]}',
                b'{"type":"response.completed","response":{"usage":{"input_tokens":-1},"output":5}}',
                b'{"type":5}',
                b'{"delta":null,"type":"error"}',
                b"\xff",
                b"[" * 5000,
            ]
        ),
        max_size=30,
    )
)
def test_no_bytes_break_the_tap(pieces: list[bytes]) -> None:
    shown, usage, _, _ = run(pieces)
    assert shown == b"".join(pieces)
    assert min(usage.input_tokens, usage.output_tokens) >= 0
