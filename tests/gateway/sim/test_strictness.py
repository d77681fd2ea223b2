"""What the vendors refuse is refused here, in their words and their error form; nothing crashes."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sim import anthropic_request, openai_request
from gateway.sim.conversation import Refused
from tests.gateway.sim.conftest import chat_body, messages_body

USER = {"role": "user", "content": "hi"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}
CALLING = {"role": "assistant", "content": [CALL]}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
TOOL = {"name": "t", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "model: Field required"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be"),
        ({"max_tokens": 8193}, "max_tokens: 8193 > 8192"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'first message must use the "user" role'),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "must be non-empty"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "non-whitespace"),
        ({"messages": [USER, CALLING]}, "without `tool_result` blocks immediately after: toolu_1"),
        ({"messages": [USER, CALLING, USER]}, "without `tool_result` blocks immediately after: toolu_1"),
        ({"messages": [USER, CALLING, CALLING]}, "without `tool_result` blocks immediately after"),
        (
            {
                "messages": [
                    USER,
                    CALLING,
                    {"role": "user", "content": [{"type": "text", "text": "x"}, RESULT]},
                ]
            },
            "without `tool_result` blocks immediately after",
        ),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "unexpected `tool_use_id`"),
        (
            {"messages": [USER, CALLING, {"role": "user", "content": [RESULT, RESULT]}]},
            "unexpected `tool_use_id`",
        ),
        ({"messages": [USER, {"role": "assistant", "content": [CALL, CALL]}]}, "ids must be unique"),
        ({"messages": [USER, {"role": "assistant", "content": [RESULT]}]}, "can only be in `user` messages"),
        ({"tools": [{**TOOL, "name": "a/b"}]}, "tools.0.custom.name: String should match pattern"),
        ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
        ({"tools": [{"name": "t"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{"name": "t", "input_schema": {}}]}, "input_schema.type: Input should be 'object'"),
        ({"tools": {"t": 1}}, "tools: Input should be a valid list"),
        ({"tool_choice": {"type": "any"}}, "tool_choice may only be specified while providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "u"}}, "Tool 'u' not found"),
        ({"thinking": {"type": "enabled", "budget_tokens": 500}}, "greater than `thinking.budget_tokens`"),
        ({"messages": [{"role": "user", "content": "x" * 900_000}]}, "prompt is too long: 225015 tokens"),
    ],
)
async def test_anthropic_refuses(http: httpx.AsyncClient, changes: dict[str, Any], message: str) -> None:
    body = {name: value for name, value in messages_body("hi", **changes).items() if value is not None}
    answer = await http.post("/v1/messages", json=body)
    assert answer.status_code == 400
    error = answer.json()
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    assert message in error["error"]["message"]
    assert error["request_id"]


CHAT_CALL = {"id": "call_1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
CHAT_CALLING = {"role": "assistant", "content": None, "tool_calls": [CHAT_CALL]}
CHAT_RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "ok"}


@pytest.mark.parametrize(
    ("changes", "message", "param"),
    [
        ({"model": None}, "you must provide a model parameter", None),
        ({"messages": None}, "Missing required parameter: 'messages'.", "messages"),
        ({"messages": []}, "empty array", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "Invalid value: 'robot'", "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "got null", "messages.[0].content"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "got null", "messages.[1].content"),
        (
            {"messages": [USER, CHAT_RESULT]},
            "must be a response to a preceeding message",
            "messages.[1].role",
        ),
        ({"messages": [USER, CHAT_CALLING]}, "did not have response messages: call_1", "messages.[2].role"),
        ({"messages": [USER, CHAT_CALLING, USER]}, "did not have response messages", "messages.[2].role"),
        (
            {"messages": [USER, CHAT_CALLING, CHAT_RESULT, CHAT_RESULT]},
            "must be a response to a preceeding message",
            "messages.[3].role",
        ),
        ({"max_tokens": 0}, "below minimum value", "max_tokens"),
        ({"max_completion_tokens": 99_999}, "is too large: 99999", "max_completion_tokens"),
        ({"n": 0}, "Invalid 'n'", "n"),
        (
            {"stream_options": {"include_usage": True}},
            "only allowed when 'stream' is enabled",
            "stream_options",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "tools[0].function"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            "does not match pattern",
            "tools[0].function.name",
        ),
        ({"tool_choice": "auto"}, "only allowed when 'tools' are specified", "tool_choice"),
        ({"messages": [{"role": "user", "content": "x" * 900_000}]}, "maximum context length", "messages"),
    ],
)
async def test_openai_refuses(
    http: httpx.AsyncClient, changes: dict[str, Any], message: str, param: str | None
) -> None:
    body = {name: value for name, value in chat_body("hi", **changes).items() if value is not None}
    answer = await http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert message in error["message"]
    assert error["param"] == param


async def test_an_unknown_model_is_not_found(http: httpx.AsyncClient) -> None:
    one = await http.post("/v1/messages", json=messages_body("hi", model="claude"))
    other = await http.post("/v1/chat/completions", json=chat_body("hi", model="gpt"))
    assert (one.status_code, other.status_code) == (404, 404)
    assert one.json()["error"] == {"type": "not_found_error", "message": "model: claude"}
    assert other.json()["error"] == {
        "message": "The model `gpt` does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }


async def test_a_key_is_needed(sim_url: str) -> None:
    async with httpx.AsyncClient(base_url=sim_url) as http:
        one = await http.post("/v1/messages", json=messages_body("hi"))
        other = await http.post(
            "/v1/chat/completions", json=chat_body("hi"), headers={"authorization": "Bearer"}
        )
    assert (one.status_code, other.status_code) == (401, 401)
    assert one.json()["error"]["type"] == "authentication_error"
    assert other.json()["error"]["code"] == "invalid_api_key"


async def test_the_version_header_is_needed(sim_url: str) -> None:
    async with httpx.AsyncClient(base_url=sim_url, headers={"x-api-key": "any"}) as http:
        answer = await http.post("/v1/messages", json=messages_body("hi"))
    assert answer.json()["error"]["message"] == "anthropic-version: header is required"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"model": "\\ud800"}', b"[" * 5000])
async def test_a_body_that_is_no_json_object_is_refused(http: httpx.AsyncClient, content: bytes) -> None:
    for path in ("/v1/messages", "/v1/chat/completions"):
        answer = await http.post(path, content=content)
        assert answer.status_code == 400
        assert "request body is not" in answer.json()["error"]["message"]


async def test_other_routes_do_not_exist(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/messages")).status_code == 404
    assert (await http.post("/v1/embeddings", json={})).status_code == 404


async def test_a_wrong_directive_is_refused_by_name(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/messages", json=messages_body("[sim: wrods=3]"))
    assert answer.status_code == 400
    assert "[sim: wrods=3]" in answer.json()["error"]["message"]


_FIELDS = [
    "model", "max_tokens", "messages", "role", "content", "type", "text", "tools", "name", "input_schema",
    "tool_choice", "thinking", "id", "input", "tool_use_id", "source", "stop", "stop_sequences", "function",
    "parameters", "tool_calls", "tool_call_id", "arguments", "n", "response_format", "system",
    "output_config",
]  # fmt: skip
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=4),
    st.sampled_from(["user", "assistant", "tool", "text", "tool_use", "tool_result", "enabled", "function"]),
)  # fmt: skip
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON), st.lists(_JSON, max_size=4))
def test_any_body_is_understood_or_refused(body: dict[str, Any], messages: list[Any]) -> None:
    for extra in (
        {},
        {"model": "sim", "max_tokens": 10},
        {"model": "sim", "max_tokens": 10, "messages": messages},
    ):
        request = json.loads(json.dumps({**body, **extra}))
        for read in (anthropic_request.read_request, openai_request.read_request):
            try:
                conversation = read(request)
            except Refused as refused:
                assert refused.status in {400, 404}
                assert refused.message
            else:
                assert conversation.input_tokens > 0
