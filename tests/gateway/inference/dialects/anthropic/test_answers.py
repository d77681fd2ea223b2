"""Whole answers: read and written again without a loss, and those of other dialects shown to our clients."""

import json
from typing import Any

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.anthropic.reading import DIALECT
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Choice,
    Citation,
    Extra,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    Refusal,
    Response,
    ServerBlock,
    StopReason,
    Text,
    Thinking,
    ToolUse,
    Uploaded,
    Video,
)
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.made import CODEC, asking, body, call

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


def written(*content: Block, **more: Any) -> dict[str, Any]:
    """The answer of another dialect as our clients see it."""
    usage = more.pop("usage", None)
    more.setdefault("stop", "end_turn")
    response = Response(id="r1", model="m", choices=[Choice(content=list(content), **more)], usage=usage)
    return CODEC.encode_response(response, asking())


def back(content: list[dict[str, Any]]) -> list[Block]:
    """What a client's history with these blocks is for the next request."""
    return (
        CODEC.decode_request(body(messages=[{"role": "assistant", "content": content}])).messages[0].content
    )


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


# --- answers of other dialects


def test_a_foreign_answer_parses_with_the_sdk() -> None:
    answer = written(
        Thinking(text="hm", origin="openai-responses", signature="seal"),
        HiddenThinking(data="enc", origin="openai-responses", item_id="rs_1"),
        Text(
            text="Found.", citations=[Citation(dialect="x", data={"n": 1}, url="https://e.test", title="E")]
        ),
        call("call_1", '{"q":1}'),
        call("call_2", "", signature="gsig"),
        usage=TokenUsage(input_tokens=5, output_tokens=7, cache_read_tokens=3, reasoning_tokens=2),
    )
    message = sdk.validated(answer)
    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "redacted_thinking",
        "tool_use",
    ]
    assert message.stop_reason == "tool_use"
    assert message.usage.to_dict() == {
        "input_tokens": 5,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 2},
    }


FOREIGN: list[Block] = [
    Thinking(text="hm", origin="openai-chat/deepseek"),
    Thinking(text="hm", origin="openai-responses", signature='["rs_1","enc",[]]'),
    HiddenThinking(data="enc", origin="openai-responses", item_id="rs_1"),
    HiddenThinking(data="gsig", origin="google"),
    ToolUse(id="t1", name="look", arguments='{"a":1.0}', signature="gsig+/="),
    ToolUse(id="t2", name="look", arguments='{"q":'),
    Text(
        text="a",
        citations=[
            Citation(
                dialect="openai-responses",
                data={"type": "url_citation", "é": 1},
                url="https://e.test",
                title="E",
                start=0,
                end=1,
            )
        ],
    ),
    Image(source=Inline(media_type="image/png", data="AA==")),
    Image(source=Linked(url="https://e.test/a.png")),
]


@pytest.mark.parametrize("block", FOREIGN, ids=lambda block: type(block).__name__)
def test_a_client_brings_another_dialects_block_back(block: Block) -> None:
    content = json.loads(json.dumps(written(block)["content"]))
    assert back(content) == [block]


def test_a_refusal_in_words() -> None:
    answer = written(Refusal(text="I won't."))
    assert answer["content"] == [{"type": "text", "text": "I won't."}]
    assert answer["stop_reason"] == "refusal"
    assert answer["stop_details"] == {"type": "refusal", "category": None, "explanation": "I won't."}
    sdk.validated(answer)


def test_what_this_dialect_cannot_show_is_left_out() -> None:
    answer = written(
        Text(text="a", citations=[Citation(dialect="x", data={"file_id": "f"})]),
        Audio(data="AA==", format="wav", transcript="hello"),
        Audio(data="AA==", format="wav"),
        Image(source=Uploaded(dialect="x", file_id="f")),
        Video(source=Linked(url="https://e.test")),
        ServerBlock(dialect="openai-responses", data={"type": "web_search_call"}),
    )
    assert answer["content"] == [
        {"type": "text", "text": "a", "citations": []},
        {"type": "text", "text": "hello"},
    ]


def test_a_foreign_extra_is_not_written() -> None:
    extra = Extra(dialect="openai-chat", fields={"system_fingerprint": "x"})
    response = Response(
        id="r", model="m", choices=[Choice(content=[], stop="end_turn", extra=extra)], extra=extra
    )
    answer = CODEC.encode_response(response, asking())
    assert "system_fingerprint" not in answer
    assert answer["usage"]["output_tokens"] == 0
    sdk.validated(answer)


def test_an_answer_without_choices() -> None:
    answer = CODEC.encode_response(Response(id="r", model="m", choices=[]), asking())
    assert (answer["content"], answer["stop_reason"]) == ([], "end_turn")


def test_a_free_form_call_is_an_object_with_its_text() -> None:
    custom = ToolUse(id="t1", name="say", arguments="x = 1", custom=True)
    assert written(custom)["content"][0]["input"] == {"input": "x = 1"}


def test_a_broken_call_is_told_as_such() -> None:
    assert written(call("t1", '{"q":'), stop="max_tokens")["content"][0]["input"] == {"INVALID_JSON": '{"q":'}


def test_only_text_that_is_broken_is_unwrapped() -> None:
    for value in (
        {"INVALID_JSON": "{}"},
        {"INVALID_JSON": 1},
        {"INVALID_JSON": " "},
        {"INVALID_JSON": "x", "b": 1},
    ):
        block = {"type": "tool_use", "id": "t", "name": "n", "input": value}
        (again,) = back([block])
        assert isinstance(again, ToolUse)
        assert json.loads(again.arguments) == value


def test_own_blocks_are_kept() -> None:
    data = {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}}
    assert written(ServerBlock(dialect=DIALECT, data=data))["content"] == [data]
