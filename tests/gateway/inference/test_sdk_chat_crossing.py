"""OpenAI's SDK, Chat Completions, before a provider that speaks Anthropic's dialect only."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.gateway.inference.one_dialect import (
    ASK,
    CITIES,
    EXAMPLE,
    TIMEOUT_S,
    Crossed,
    Place,
    crossed,
    user,
)


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str


TOOLS: list[Any] = [openai.pydantic_function_tool(GetWeather, name="get_weather")]


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Crossed]:
    async with crossed(tmp_path, "anthropic") as running:
        yield running
        assert running.paths <= {"/v1/messages"}


@pytest.fixture
async def gpt(behind: Crossed) -> AsyncIterator[openai.AsyncOpenAI]:
    async with behind.gpt() as client:
        yield client


async def test_a_completion_and_its_cost(behind: Crossed, gpt: openai.AsyncOpenAI) -> None:
    raw = await gpt.chat.completions.with_raw_response.create(
        model="sim-large", messages=[{"role": "developer", "content": "Be brief."}, *user("hello")]
    )
    answer = raw.parse()
    assert (answer.object, answer.model) == ("chat.completion", "sim-large")
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("You said: hello", "stop")
    event = await behind.heddle.only_event()
    assert answer.usage is not None
    assert (event.input_tokens, event.output_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert answer.usage.total_tokens == event.input_tokens + event.output_tokens
    assert int(raw.headers["x-heddle-cost-micros"]) == round(event.cost_nanos / 1000) > 0
    assert behind.sent[0]["system"] == [{"type": "text", "text": "Be brief."}]
    assert behind.sent[0]["max_tokens"] == 32_000


async def test_tokens_of_the_cache_are_part_of_the_prompts(behind: Crossed, gpt: openai.AsyncOpenAI) -> None:
    answer = await gpt.chat.completions.create(
        model="sim-small", messages=user("[sim: cache-read=7 cache-write=3] " + "long " * 20)
    )
    assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 7
    event = await behind.heddle.only_event()
    assert (event.cache_read_tokens, event.cache_write_tokens) == (7, 3)
    assert answer.usage.prompt_tokens == event.input_tokens + 10


@pytest.mark.parametrize("wants_usage", [False, True])
async def test_a_stream_of_chunks(behind: Crossed, gpt: openai.AsyncOpenAI, wants_usage: bool) -> None:
    stream = await gpt.chat.completions.create(
        model="sim-small",
        messages=user("a few words"),
        stream=True,
        stream_options={"include_usage": wants_usage},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "You said: a few words"
    assert len({chunk.id for chunk in chunks}) == 1
    event = await behind.heddle.only_event()
    assert (event.status, event.estimated) == ("ok", False)
    if wants_usage:
        assert chunks[-1].usage is not None and chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens == event.output_tokens
    else:
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_the_stream_helper(gpt: openai.AsyncOpenAI) -> None:
    async with gpt.chat.completions.stream(model="sim-small", messages=user("hi")) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)
    assert final.choices[0].message.content == "You said: hi"


async def test_the_sync_client(behind: Crossed) -> None:
    def talk() -> list[str | None]:
        with openai.OpenAI(
            base_url=f"{behind.heddle.base_url}/v1",
            api_key=behind.heddle.admin_key,
            max_retries=0,
            timeout=TIMEOUT_S,
        ) as gpt:
            answer = gpt.chat.completions.create(model="sim-small", messages=user("hi"))
            chunks = gpt.chat.completions.create(model="sim-small", messages=user("hi"), stream=True)
            pieces = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            with gpt.chat.completions.stream(model="sim-small", messages=user("hi")) as stream:
                helped = stream.get_final_completion().choices[0].message.content
        return [answer.choices[0].message.content, pieces, helped]

    assert await asyncio.to_thread(talk) == ["You said: hi"] * 3


async def _answered(gpt: openai.AsyncOpenAI, messages: list[Any], *, streamed: bool) -> Any:
    request: dict[str, Any] = {"model": "sim-small", "tools": TOOLS, "messages": messages}
    if not streamed:
        return (await gpt.chat.completions.create(**request)).choices[0]
    async with gpt.chat.completions.stream(**request) as stream:
        return (await stream.get_final_completion()).choices[0]


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_go_round(behind: Crossed, gpt: openai.AsyncOpenAI, streamed: bool) -> None:
    messages = user(ASK)
    for cities in CITIES:
        choice = await _answered(gpt, messages, streamed=streamed)
        assert choice.finish_reason == "tool_calls"
        calls = choice.message.tool_calls
        assert [json.loads(call.function.arguments)["city"] for call in calls] == cities
        messages.append(choice.message.to_dict())
        for call, city in zip(calls, cities, strict=True):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"rain in {city}"})
    last = await _answered(gpt, messages, streamed=streamed)
    assert last.finish_reason == "stop"
    assert all(f"rain in {city}" in last.message.content for cities in CITIES for city in cities)
    assert [message["role"] for message in behind.sent[-1]["messages"]] == ["user", "assistant"] * 2 + [
        "user"
    ]
    assert [event.status for event in await behind.heddle.usage_events()] == ["ok"] * 3


async def test_calls_are_parsed_by_the_helpers(gpt: openai.AsyncOpenAI) -> None:
    request: dict[str, Any] = {"model": "sim-small", "tools": TOOLS, "messages": user(ASK)}
    parsed = await gpt.chat.completions.parse(**request)
    async with gpt.chat.completions.stream(**request) as stream:
        final = await stream.get_final_completion()
    for completion in (parsed, final):
        calls = completion.choices[0].message.tool_calls or []
        assert [call.function.parsed_arguments for call in calls] == [
            GetWeather(city="Oslo"),
            GetWeather(city="Lima"),
        ]


async def test_a_forced_tool_and_none_in_parallel(behind: Crossed, gpt: openai.AsyncOpenAI) -> None:
    answer = await gpt.chat.completions.create(
        model="sim-small",
        messages=user(ASK),
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=False,
    )
    assert len(answer.choices[0].message.tool_calls or []) == 1
    assert behind.sent[0]["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


async def test_an_answer_in_a_form(gpt: openai.AsyncOpenAI) -> None:
    request: dict[str, Any] = {"model": "sim-small", "messages": user("Describe Oslo.")}
    parsed = await gpt.chat.completions.parse(**request, response_format=Place)
    assert parsed.choices[0].message.parsed == EXAMPLE
    async with gpt.chat.completions.stream(**request, response_format=Place) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == EXAMPLE


async def test_a_limit_that_is_reached_and_a_stop_sequence(gpt: openai.AsyncOpenAI) -> None:
    cut = await gpt.chat.completions.create(
        model="sim-small", max_completion_tokens=5, messages=user("[sim: words=50]")
    )
    assert cut.usage is not None
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 5)
    stopped = await gpt.chat.completions.create(model="sim-small", messages=user("one two"), stop="two")
    assert (stopped.choices[0].finish_reason, stopped.choices[0].message.content) == (
        "stop",
        "You said: one ",
    )


async def test_thoughts_come_and_go_back(behind: Crossed, gpt: openai.AsyncOpenAI) -> None:
    request: dict[str, Any] = {"model": "sim-small", "reasoning_effort": "low", "tools": TOOLS}
    messages = user('use get_weather {"city": "Oslo"}')
    first = await gpt.chat.completions.create(**request, messages=messages)
    message: Any = first.choices[0].message.to_dict()
    assert message["reasoning_content"] == f"The user wrote: {messages[0]['content']}"
    result: Any = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "rain"}
    last = await gpt.chat.completions.create(**request, messages=[*messages, message, result])
    assert "rain" in (last.choices[0].message.content or "")
    replayed = behind.sent[-1]["messages"][1]["content"]
    assert [block["type"] for block in replayed] == ["thinking", "text", "tool_use"]
    assert replayed[0]["signature"] == "c2ltdWxhdGVkLXNpZ25hdHVyZQ=="


async def test_a_refusal_by_the_provider_is_the_sdks_own_error(
    behind: Crossed, gpt: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await gpt.chat.completions.create(model="sim-small", messages=user("[sim: status=400] no"))
    assert (refused.value.code, refused.value.type) == ("provider_refused", "invalid_request_error")
    assert "sim: Simulated error 400" in refused.value.message
    event = await behind.heddle.only_event()
    assert (event.status, event.http_status, event.cost_nanos) == ("error", 400, 0)


async def test_several_answers_cannot_cross(gpt: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await gpt.chat.completions.create(model="sim-small", messages=user("hi"), n=2)
    assert (refused.value.code, refused.value.param) == ("unsupported", "n")
