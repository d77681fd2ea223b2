"""Whole answers: read and written again without a loss, and those of other dialects shown to our clients."""

from typing import Any

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.neutral import (
    Response,
    ServerBlock,
    StopReason,
    Thinking,
)
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.made import CODEC, asking

DOMAIN = {
    "type": "web_search_result_location",
    "url": "https://e.test",
    "title": "E",
    "cited_text": "x",
    "encrypted_index": "e",
}
USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 20,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 12, "ephemeral_1h_input_tokens": 18},
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 40},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    "service_tier": "standard",
    "speed": None,
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "I look."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": "Found.", "citations": [DOMAIN]},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"q": 1}, "caller": {"type": "direct"}},
        {"type": "container_upload", "file_id": "f"},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "stop_details": None,
    "container": {"id": "c1", "expires_at": "2026-01-01T00:00:00Z"},
    "context_management": {"applied_edits": []},
    "usage": USAGE,
}


def read(message: dict[str, Any]) -> Response:
    return CODEC.decode_response(message, "anthropic")


def test_an_answer_loses_nothing() -> None:
    response = read(MESSAGE)
    again = CODEC.encode_response(response, asking())
    assert again == MESSAGE
    sdk.validated(again)


def test_usage_counts_everything_once() -> None:
    assert read(MESSAGE).usage == TokenUsage(
        input_tokens=10,
        output_tokens=50,
        cache_read_tokens=20,
        cache_write_tokens=12,
        cache_write_1h_tokens=18,
        web_searches=2,
        extras=(("web_fetch", 1), ("code_execution", 1)),
        reasoning_tokens=40,
    )


@pytest.mark.parametrize(
    "usage", [None, [], {"input_tokens": -1}, {"input_tokens": "1"}, {"input_tokens": 2**70}]
)
def test_usage_that_cannot_be_believed_is_none(usage: Any) -> None:
    assert read({**MESSAGE, "usage": usage}).usage is None


@pytest.mark.parametrize("thought", [-1, 10**9, True, "4"])
def test_thoughts_are_part_of_the_output(thought: Any) -> None:
    usage = read(
        {**MESSAGE, "usage": {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": thought}}}
    ).usage
    assert usage is not None
    assert usage.output_tokens == 5
    assert 0 <= usage.reasoning_tokens <= 5


STOPS: list[tuple[str, StopReason]] = [
    ("end_turn", "end_turn"),
    ("max_tokens", "max_tokens"),
    ("stop_sequence", "stop_sequence"),
    ("tool_use", "tool_use"),
    ("pause_turn", "pause_turn"),
    ("refusal", "refusal"),
    ("model_context_window_exceeded", "context_window"),
    ("compaction", "end_turn"),
    ("something_of_tomorrow", "error"),
]


@pytest.mark.parametrize(("raw", "stop"), STOPS)
def test_reasons_to_stop(raw: str, stop: StopReason) -> None:
    message = {**MESSAGE, "content": [], "stop_reason": raw, "stop_sequence": "END"}
    response = read(message)
    assert response.choices[0].stop == stop
    assert response.choices[0].stop_sequence == "END"
    assert CODEC.encode_response(response, asking()) == message


def test_an_answer_that_is_not_over() -> None:
    message = {**MESSAGE, "stop_reason": None}
    assert read(message).choices[0].stop is None
    assert CODEC.encode_response(read(message), asking()) == message


def test_a_policys_refusal_keeps_its_details() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    message = {**MESSAGE, "stop_reason": "refusal", "stop_details": details}
    again = CODEC.encode_response(read(message), asking())
    assert again == message
    assert sdk.validated(again).stop_details is not None


@pytest.mark.parametrize(
    "answer",
    [{}, {"type": "error", "error": {"type": "x", "message": "y"}}, {"type": "message"}, {"content": "x"}],
)
def test_what_is_no_message_is_no_answer(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Message"):
        read(answer)


def test_unknown_and_malformed_blocks_are_kept() -> None:
    content = [
        {"type": "text"},
        {"type": "of_tomorrow", "x": 1},
        {"no": "type"},
        {"type": "tool_use", "id": 7},
    ]
    message = {**MESSAGE, "content": [*content, "nothing"]}
    assert all(isinstance(block, ServerBlock) for block in read(message).choices[0].content)
    assert CODEC.encode_response(read(message), asking())["content"] == content


def test_an_answer_with_odd_fields_is_read() -> None:
    odd = read({"content": [], "id": 1, "model": None, "stop_reason": {}, "stop_sequence": []})
    assert (odd.id, odd.model, odd.choices[0].stop) == ("", "", "error")


def test_another_providers_origin_marks_its_thoughts() -> None:
    thought = CODEC.decode_response(MESSAGE, "anthropic/zai").choices[0].content[0]
    assert thought == Thinking(text="hm", origin="anthropic/zai", signature="sig")
