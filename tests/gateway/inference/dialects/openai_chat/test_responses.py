"""Whole answers."""

from typing import Any

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Choice,
    Citation,
    Image,
    Inline,
    Message,
    Refusal,
    Request,
    Response,
    ServerBlock,
    Text,
    Thinking,
    Tool,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec
from tests.gateway.inference.dialects.openai_chat import sdk

CODEC = OpenAIChatCodec()
REQUEST = Request(model="m", messages=[Message(role="user", content=[Text(text="Hi")])])
ORIGIN = "openai-chat/acme"


def answer(message: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi", "refusal": None, **(message or {})},
        "logprobs": None,
        "finish_reason": "stop",
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [choice],
        **fields,
    }


def choice(**fields: Any) -> dict[str, Any]:
    body = answer()
    body["choices"][0] |= fields
    return body


def first(body: dict[str, Any]) -> Choice:
    return CODEC.decode_response(body, ORIGIN).choices[0]


def encoded(*blocks: Block, request: Request = REQUEST, **fields: Any) -> dict[str, Any]:
    response = Response(id="r", model="m", choices=[Choice(content=list(blocks), **fields)])
    body = CODEC.encode_response(response, request)
    sdk.accepts_answer(body)
    return dict(body["choices"][0])


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
CITED = {"url": "https://example.org", "title": "T", "start_index": 0, "end_index": 2}
TOKEN = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
WHOLE = [
    answer(),
    answer(service_tier="default", system_fingerprint="fp", provider="X"),
    answer({"content": None, "tool_calls": [CALL, {**CALL, "id": "b"}]}),
    answer({"content": "", "tool_calls": [CALL]}),
    answer({"content": ""}),
    answer({"content": None, "refusal": "No."}),
    answer({"content": None, "function_call": {"name": "f", "arguments": "{}"}}),
    answer(
        {
            "content": None,
            "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "c", "input": "x"}}],
        }
    ),
    answer({"annotations": [{"type": "url_citation", "url_citation": CITED}]}),
    answer({"content": None, "audio": {"id": "u", "data": "UklG", "expires_at": 5, "transcript": "Hi"}}),
    answer({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]}),
    answer({"reasoning_content": "hm"}),
    answer({"reasoning": "hm"}),
    answer({"reasoning": "hm", "reasoning_content": "hm"}),
    answer(
        {
            "content": [
                {
                    "type": "thinking",
                    "thinking": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
                {"type": "text", "text": "c"},
            ]
        }
    ),
    answer({"executed_tools": [{"index": 0}]}),
    choice(finish_reason="length"),
    choice(finish_reason="content_filter", content_filter_results={"hate": {"filtered": True}}),
    choice(finish_reason="model_length"),
    choice(finish_reason="sensitive"),
    choice(finish_reason="insufficient_system_resource"),
    choice(stop_reason="END"),
    choice(logprobs={"content": [TOKEN], "refusal": None}),
    answer(choices=[*answer()["choices"], {**answer()["choices"][0], "index": 1}]),
]


@pytest.mark.parametrize("body", WHOLE, ids=range(len(WHOLE)))
def test_an_answer_comes_back_as_it_was(body: dict[str, Any]) -> None:
    again = CODEC.encode_response(CODEC.decode_response(body, ORIGIN), REQUEST)
    for entry in (again, body):
        for given in entry["choices"]:
            given["logprobs"] = {name: value for name, value in (given["logprobs"] or {}).items() if value}
    legacy = [given for given in again["choices"] if given["finish_reason"] == "function_call"]
    for given in legacy:
        given["finish_reason"] = "stop"  # what a forced call says
    assert again == body


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("sensitive", "refusal"),
        ("model_length", "context_window"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("error", "error"),
        ("never heard of", "error"),
        (None, "error"),
        (7, "error"),
    ],
)
def test_reasons_to_stop(reason: Any, stop: str) -> None:
    assert first(choice(finish_reason=reason)).stop == stop


def test_a_forced_call_is_a_call_although_the_provider_says_stop() -> None:
    assert first(answer({"tool_calls": [CALL]})).stop == "tool_use"
    assert first(answer({"refusal": "No."})).stop == "refusal"


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("context_window", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("error", "stop"),
        (None, "stop"),
    ],
)
def test_reasons_of_other_dialects(stop: Any, reason: str) -> None:
    assert encoded(Text(text="Hi"), stop=stop)["finish_reason"] == reason


def test_blocks_of_other_dialects() -> None:
    cited = Citation(dialect="anthropic", data={"type": "x"}, url="https://example.org", title="T")
    unlinked = Citation(dialect="anthropic", data={"type": "char_location"})
    written = encoded(
        Thinking(text="hm", origin="google"),
        Text(text="One. "),
        Text(text="Two.", citations=[cited, unlinked]),
        ServerBlock(dialect="anthropic", data={"type": "server_tool_use"}),
        Image(source=Inline(media_type="image/png", data="iVBO")),
        ToolUse(id="a", name="f", arguments=""),
        stop="tool_use",
    )
    message = written["message"]
    assert message["content"] == "One. Two."
    assert message["reasoning_content"] == "hm"
    assert [detail["text"] for detail in message["reasoning_details"]] == ["hm"]
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert message["annotations"][0]["url_citation"] == {
        "url": "https://example.org",
        "title": "T",
        "start_index": 5,
        "end_index": 9,
    }
    assert len(message["annotations"]) == 1 and len(message["images"]) == 1
    assert written["finish_reason"] == "tool_calls"


def test_a_refusal_and_a_sound() -> None:
    assert encoded(Refusal(text="No."), stop="refusal")["message"]["refusal"] == "No."
    spoken = encoded(Audio(data="UklG", format="wav", transcript="Hi"), stop="end_turn")["message"]
    assert spoken["content"] is None and spoken["audio"]["transcript"] == "Hi"


def test_an_answer_of_nothing_is_an_empty_text() -> None:
    assert encoded(stop="end_turn")["message"]["content"] == ""


def test_a_client_of_the_older_kind_gets_a_function_call() -> None:
    old = CODEC.decode_request(
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "functions": [{"name": "f"}]}
    )
    assert isinstance(old.tools[0], Tool)
    written = encoded(ToolUse(id="a", name="f", arguments='{"x":1}'), request=old, stop="tool_use")
    assert written["message"]["function_call"] == {"name": "f", "arguments": '{"x":1}'}
    assert written["finish_reason"] == "function_call" and "tool_calls" not in written["message"]


USAGES = [
    ({"prompt_tokens": 10, "completion_tokens": 5}, TokenUsage(input_tokens=10, output_tokens=5)),
    (
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
        TokenUsage(input_tokens=6, output_tokens=5, cache_read_tokens=4),
    ),
    (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        TokenUsage(
            input_tokens=3, output_tokens=5, cache_read_tokens=4, cache_write_tokens=3, reasoning_tokens=2
        ),
    ),
    (
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4},
        TokenUsage(input_tokens=6, output_tokens=5, cache_read_tokens=4),
    ),
    (
        {"prompt_tokens": 10, "completion_tokens": 5, "num_cached_tokens": 4},
        TokenUsage(input_tokens=6, output_tokens=5, cache_read_tokens=4),
    ),
    (
        {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 4},
        TokenUsage(input_tokens=6, output_tokens=5, cache_read_tokens=4),
    ),
    (  # xAI: thoughts are not in the completion, but in the total
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 22,
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        TokenUsage(input_tokens=10, output_tokens=12, reasoning_tokens=7),
    ),
    (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 99},
        },
        TokenUsage(input_tokens=0, output_tokens=5, cache_read_tokens=10),
    ),
    (
        {"prompt_tokens": 1, "completion_tokens": 1, "server_tool_use_details": {"web_search_requests": 2}},
        TokenUsage(input_tokens=1, output_tokens=1, web_searches=2),
    ),
    ({"prompt_tokens": -1, "completion_tokens": 5}, None),
    ({"prompt_tokens": "many"}, None),
    ({}, None),
    (None, None),
]


@pytest.mark.parametrize(("raw", "usage"), USAGES)
def test_usage(raw: Any, usage: TokenUsage | None) -> None:
    response = CODEC.decode_response(answer(usage=raw), ORIGIN)
    assert response.usage == usage
    if usage is not None:
        again = CODEC.encode_response(response, REQUEST)["usage"]
        assert {**again, **raw, "prompt_tokens_details": 0} == {**again, "prompt_tokens_details": 0}


def test_groqs_usage_beside_the_standard_one() -> None:
    x_groq = {"id": "r", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    assert CODEC.decode_response(answer(x_groq=x_groq), ORIGIN).usage == TokenUsage(
        input_tokens=3, output_tokens=4
    )


def test_usage_of_another_dialect() -> None:
    usage = TokenUsage(
        input_tokens=1,
        output_tokens=9,
        cache_read_tokens=2,
        cache_write_tokens=3,
        cache_write_1h_tokens=4,
        reasoning_tokens=5,
    )
    response = Response(id="r", model="m", choices=[Choice(content=[Text(text="Hi")])], usage=usage)
    assert CODEC.encode_response(response, REQUEST)["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 9,
        "total_tokens": 19,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"error": {"message": "no"}},
        {"choices": []},
        {"choices": None},
        {"choices": ["x"]},
        {"object": "error", "message": "no"},
    ],
)
def test_what_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="choices"):
        CODEC.decode_response(body, ORIGIN)


@pytest.mark.parametrize(
    "message",
    [
        None,
        {"content": 5},
        {"content": [5, {"type": "hologram"}, {"type": "text"}]},
        {"tool_calls": [5, {}, {"function": {"arguments": {"a": 1}}}]},
        {"tool_calls": "x", "audio": 5, "images": [5], "annotations": [5]},
        {"reasoning_details": [5], "reasoning": 5, "function_call": 5, "refusal": 5},
        {"content": [{"type": "thinking", "thinking": [{"type": "reference"}]}]},
    ],
)
def test_odd_answers_are_taken(message: Any) -> None:
    body = {
        "choices": [{"message": message, "finish_reason": "stop", "logprobs": 5}],
        "usage": 5,
        "created": "x",
    }
    response = CODEC.decode_response(body, ORIGIN)
    CODEC.encode_response(response, REQUEST)


def test_a_call_without_an_id_gets_one_and_an_object_becomes_text() -> None:
    calls = [{"function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "f"}}]
    content = first(answer({"content": None, "tool_calls": calls})).content
    assert [block.arguments for block in content if isinstance(block, ToolUse)] == ['{"x":1}', ""]
    ids = {block.id for block in content if isinstance(block, ToolUse)}
    assert len(ids) == 2 and "" not in ids
