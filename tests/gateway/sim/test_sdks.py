"""The vendors' own SDKs against the bare simulator."""

import asyncio
import json
from typing import Any

import anthropic
import httpx
import openai
import pytest

TOOLS: list[Any] = [
    {
        "name": name,
        "description": name,
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    for name in ("get_weather", "get_time", "add_note")
]
FUNCTIONS: list[Any] = [
    {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
    for tool in TOOLS
]
TWO_ROUNDS = (
    'use get_weather {"city": "Oslo"} and get_time {"city": "Lima"} then add_note {"city": "Ærøskøbing"}'
)


def _user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


# --- Anthropic ------------------------------------------------------------------------------------


async def test_a_message(claude: anthropic.AsyncAnthropic) -> None:
    message = await claude.messages.create(model="sim-small", max_tokens=100, messages=_user("good morning"))
    assert [block.text for block in message.content if block.type == "text"] == ["You said: good morning"]
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 8
    assert message.usage.output_tokens == 6


async def test_a_stream_ends_as_the_whole_message(claude: anthropic.AsyncAnthropic) -> None:
    request: dict[str, Any] = {
        "model": "sim-small",
        "max_tokens": 100,
        "messages": _user("[sim: words=30] tell me"),
    }
    whole = await claude.messages.create(**request)
    async with claude.messages.stream(**request) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert len(text.split()) == 30
    assert [block.model_dump() for block in final.content] == [b.model_dump() for b in whole.content]
    assert final.usage.output_tokens == whole.usage.output_tokens


async def test_raw_events_come_in_order(claude: anthropic.AsyncAnthropic) -> None:
    events = await claude.messages.create(
        model="sim-small", max_tokens=100, messages=_user("hi"), stream=True
    )
    kinds = [event.type async for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


async def test_the_sync_client(sim: str) -> None:
    def talk() -> tuple[str, str]:
        with anthropic.Anthropic(base_url=sim, api_key="any", max_retries=0, timeout=15) as client:
            message = client.messages.create(model="sim-small", max_tokens=50, messages=_user("hi"))
            with client.messages.stream(model="sim-small", max_tokens=50, messages=_user("hi")) as stream:
                streamed = "".join(stream.text_stream)
            return getattr(message.content[0], "text", ""), streamed

    assert await asyncio.to_thread(talk) == ("You said: hi", "You said: hi")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_loop_of_two_rounds(claude: anthropic.AsyncAnthropic, streamed: bool) -> None:
    messages = _user(TWO_ROUNDS)
    rounds: list[list[tuple[str, Any]]] = []
    ids: list[str] = []
    while True:
        request: dict[str, Any] = {
            "model": "sim-small",
            "max_tokens": 200,
            "tools": TOOLS,
            "messages": messages,
        }
        if streamed:
            async with claude.messages.stream(**request) as stream:
                message: Any = await stream.get_final_message()
        else:
            message = await claude.messages.create(**request)
        calls = [block for block in message.content if block.type == "tool_use"]
        if message.stop_reason != "tool_use":
            break
        rounds.append([(call.name, call.input) for call in calls])
        ids += [call.id for call in calls]
        assert len(rounds) <= 2
        results = [
            {"type": "tool_result", "tool_use_id": c.id, "content": f"result of {c.name}"} for c in calls
        ]
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    assert rounds == [
        [("get_weather", {"city": "Oslo"}), ("get_time", {"city": "Lima"})],
        [("add_note", {"city": "Ærøskøbing"})],
    ]
    assert len(set(ids)) == 3
    assert message.content[0].text == (
        "Here is what I found. get_weather says: result of get_weather "
        "get_time says: result of get_time add_note says: result of add_note"
    )


async def test_an_error_result_is_told(claude: anthropic.AsyncAnthropic) -> None:
    call: Any = {"type": "tool_use", "id": "t1", "name": "get_time", "input": {"city": "Oslo"}}
    failed: Any = {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "no clock"}
    message = await claude.messages.create(
        model="sim-small",
        max_tokens=100,
        tools=TOOLS,
        messages=[
            *_user("use get_time"),
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [failed]},
        ],
    )
    assert "get_time says: error: no clock" in getattr(message.content[0], "text", "")


@pytest.mark.parametrize("tail", ["missing", "unknown id", "half", "text only"])
async def test_tool_results_must_match_their_calls(claude: anthropic.AsyncAnthropic, tail: str) -> None:
    calls: list[Any] = [
        {"type": "tool_use", "id": name, "name": "get_time", "input": {}} for name in ("t1", "t2")
    ]
    messages = [*_user("go"), {"role": "assistant", "content": calls}]
    results = {"unknown id": ["t1", "t2", "t3"], "half": ["t1"]}.get(tail, [])
    content: list[Any] = [{"type": "tool_result", "tool_use_id": name, "content": "x"} for name in results]
    if tail != "missing":
        messages.append({"role": "user", "content": content or "never mind"})
    with pytest.raises(anthropic.BadRequestError, match="tool_use"):
        await claude.messages.create(model="sim-small", max_tokens=10, messages=messages, tools=TOOLS)


async def test_count_tokens(claude: anthropic.AsyncAnthropic) -> None:
    counted = await claude.messages.count_tokens(model="sim-small", messages=_user("hello there"))
    assert counted.input_tokens > 8


# --- OpenAI ---------------------------------------------------------------------------------------


async def test_a_completion(gpt: openai.AsyncOpenAI) -> None:
    answer = await gpt.chat.completions.create(model="sim-small", messages=_user("good morning"))
    assert answer.choices[0].message.content == "You said: good morning"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 6


@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_completion_stream(gpt: openai.AsyncOpenAI, include_usage: bool) -> None:
    chunks = await gpt.chat.completions.create(
        model="sim-small",
        messages=_user("good morning"),
        stream=True,
        stream_options={"include_usage": include_usage},
    )
    seen = [chunk async for chunk in chunks]
    text = "".join(c.choices[0].delta.content or "" for c in seen if c.choices)
    assert text == "You said: good morning"
    assert [c.usage.completion_tokens for c in seen if c.usage] == ([6] if include_usage else [])


async def test_the_openai_sync_client_and_stream_helper(sim: str) -> None:
    def talk() -> tuple[str | None, str | None]:
        with openai.OpenAI(base_url=f"{sim}/v1", api_key="any", max_retries=0, timeout=15) as client:
            whole = client.chat.completions.create(model="sim-large", messages=_user("hi"))
            with client.chat.completions.stream(model="sim-large", messages=_user("hi")) as stream:
                final = stream.get_final_completion()
            return whole.choices[0].message.content, final.choices[0].message.content

    assert await asyncio.to_thread(talk) == ("You said: hi", "You said: hi")


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_openai_tool_loop_of_two_rounds(gpt: openai.AsyncOpenAI, streamed: bool) -> None:
    messages = _user(TWO_ROUNDS)
    rounds: list[list[tuple[str, Any]]] = []
    while True:
        request: dict[str, Any] = {"model": "sim-small", "tools": FUNCTIONS, "messages": messages}
        if streamed:
            async with gpt.chat.completions.stream(**request) as stream:
                choice: Any = (await stream.get_final_completion()).choices[0]
        else:
            choice = (await gpt.chat.completions.create(**request)).choices[0]
        if choice.finish_reason != "tool_calls":
            break
        calls = choice.message.tool_calls
        rounds.append([(call.function.name, json.loads(call.function.arguments)) for call in calls])
        assert len(rounds) <= 2
        asked = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in calls
        ]
        messages.append({"role": "assistant", "content": choice.message.content, "tool_calls": asked})
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in calls]
    assert rounds == [
        [("get_weather", {"city": "Oslo"}), ("get_time", {"city": "Lima"})],
        [("add_note", {"city": "Ærøskøbing"})],
    ]
    assert choice.message.content.startswith("Here is what I found. get_weather says: ok")


@pytest.mark.parametrize("answered", [[], ["t1"], ["t1", "t2", "t3"]])
async def test_openai_tool_messages_must_match(gpt: openai.AsyncOpenAI, answered: list[str]) -> None:
    calls = [
        {"id": name, "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
        for name in ("t1", "t2")
    ]
    messages = [*_user("go"), {"role": "assistant", "content": None, "tool_calls": calls}]
    messages += [{"role": "tool", "tool_call_id": name, "content": "x"} for name in answered]
    with pytest.raises(openai.BadRequestError):
        await gpt.chat.completions.create(model="sim-small", messages=messages, tools=FUNCTIONS)


async def test_models_are_listed(gpt: openai.AsyncOpenAI) -> None:
    assert {model.id async for model in gpt.models.list()} >= {"sim-small", "sim-large"}


# --- misbehaviour ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.APIStatusError),
    ],
)
async def test_a_status_directive(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI, status: int, kind: type[Exception]
) -> None:
    text = f"[sim: status={status} retry-after=7] hello"
    with pytest.raises(kind) as refused:
        await claude.messages.create(model="sim-small", max_tokens=10, messages=_user(text))
    assert isinstance(refused.value, anthropic.APIStatusError)
    assert refused.value.status_code == status
    assert refused.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.APIStatusError) as also:
        await gpt.chat.completions.create(model="sim-small", messages=_user(text))
    assert also.value.status_code == status


async def test_fail_times_lets_a_retry_through(sim: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=sim, api_key="any", max_retries=2, timeout=15) as client:
        message = await client.messages.create(
            model="sim-small",
            max_tokens=10,
            messages=_user("[sim: status=503 retry-after=0.01 fail-times=2] hello"),
        )
    assert getattr(message.content[0], "text", "") == "You said: [sim: status=503 retry-after=0"


async def test_break_after_cuts_the_stream(claude: anthropic.AsyncAnthropic) -> None:
    seen: list[str] = []
    with pytest.raises(Exception, match="peer closed connection"):
        async with claude.messages.stream(
            model="sim-small", max_tokens=50, messages=_user("[sim: break-after=3 words=50]")
        ) as stream:
            async for event in stream:
                seen.append(event.type)
    assert seen[0] == "message_start"
    assert "message_stop" not in seen


async def test_garbage_is_not_json(sim: str) -> None:
    async with httpx.AsyncClient(base_url=sim, timeout=15) as http:
        answer = await http.post(
            "/v1/messages",
            headers={"x-api-key": "any"},
            json={"model": "sim-small", "max_tokens": 9, "messages": _user("[sim: garbage]")},
        )
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


async def test_max_tokens_truncates(claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI) -> None:
    text = "[sim: words=100]"
    message = await claude.messages.create(model="sim-small", max_tokens=5, messages=_user(text))
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 5)
    answer = await gpt.chat.completions.create(
        model="sim-small", max_completion_tokens=5, messages=_user(text)
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


async def test_an_unknown_model(claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI) -> None:
    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.create(model="gpt-9", max_tokens=5, messages=_user("hi"))
    with pytest.raises(openai.NotFoundError) as refused:
        await gpt.chat.completions.create(model="gpt-9", messages=_user("hi"))
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/models"])
async def test_a_key_is_needed(sim: str, path: str) -> None:
    async with httpx.AsyncClient(base_url=sim, timeout=15) as http:
        assert (await http.post(path, json={})).status_code == 401


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"a": "\xff"}', b"[" * 200_000])
async def test_a_body_that_is_no_object(sim: str, path: str, body: bytes) -> None:
    async with httpx.AsyncClient(base_url=sim, timeout=15) as http:
        assert (await http.post(path, content=body, headers={"x-api-key": "any"})).status_code == 400
