"""The official OpenAI SDK against the simulator."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.gateway.sim.conftest import WEATHER_SCHEMA, chat_body

TOOLS: Any = [
    {"type": "function", "function": {"name": "demo__get_weather", "parameters": WEATHER_SCHEMA}},
    {"type": "function", "function": {"name": "demo__convert", "parameters": {"type": "object"}}},
]


@pytest.fixture
async def client(sim_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{sim_url}/v1", api_key="any", max_retries=0) as client:
        yield client


def asking(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


async def test_an_answer_echoes_the_question(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="sim", messages=asking("Hi there"))
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("You said: Hi there", "stop")
    assert answer.model == "sim-small"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 4


async def test_tools_run_in_parallel_and_in_rounds(client: openai.AsyncOpenAI) -> None:
    messages = asking('use get_weather {"city": "Malmö", "days": 2} and convert then get_weather')
    rounds: list[list[str]] = []
    ids: list[str] = []
    for _ in range(5):
        async with client.chat.completions.stream(
            model="sim-small", messages=messages, tools=TOOLS
        ) as stream:
            choice = (await stream.get_final_completion()).choices[0]
        if choice.finish_reason != "tool_calls":
            break
        calls = choice.message.tool_calls or []
        rounds.append([call.function.name for call in calls])
        ids += [call.id for call in calls]
        messages.append(
            {
                "role": "assistant",
                "content": choice.message.content,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                    for call in calls
                ],
            }
        )
        for call in calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": call.function.arguments})
    assert rounds == [["demo__get_weather", "demo__convert"], ["demo__get_weather"]]
    assert len(set(ids)) == 3
    assert 'demo__get_weather says: {"city":"Malmö","days":2}' in (choice.message.content or "")


async def test_a_stream_adds_up_to_the_whole_answer(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="sim", messages=asking("use convert"), tools=TOOLS)
    async with client.chat.completions.stream(
        model="sim", messages=asking("use convert"), tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        streamed = await stream.get_final_completion()
    assert streamed.choices[0].message.content == whole.choices[0].message.content
    [one], [other] = streamed.choices[0].message.tool_calls or [], whole.choices[0].message.tool_calls or []
    assert other.type == "function"
    assert (one.id, one.function.name) == (other.id, other.function.name)
    assert one.function.arguments == other.function.arguments
    assert streamed.usage == whole.usage


async def test_usage_is_streamed_only_when_asked_for(client: openai.AsyncOpenAI) -> None:
    async def usages(**options: Any) -> list[int]:
        stream = await client.chat.completions.create(
            model="sim", messages=asking("[sim: words=20]"), stream=True, **options
        )
        return [chunk.usage.completion_tokens async for chunk in stream if chunk.usage is not None]

    assert await usages() == []
    assert await usages(stream_options={"include_usage": True}) == [20]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_max_tokens_is_never_passed(client: openai.AsyncOpenAI, field: str) -> None:
    limit: dict[str, Any] = {field: 7}
    answer = await client.chat.completions.create(model="sim", messages=asking("[sim: words=20]"), **limit)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7


async def test_n_choices_are_counted_n_times(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="sim", messages=asking("[sim: words=5]"), n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 15


async def test_a_stop_string_ends_the_text(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim", messages=asking("[sim: words=20]"), stop="shed"
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("weft warp ", "stop")


class Weather(BaseModel):
    city: str
    degrees: float


async def test_a_set_format_is_kept(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(
        model="sim", messages=asking("the weather?"), response_format=Weather
    )
    assert answer.choices[0].message.parsed == Weather(city="example", degrees=1)


async def test_tool_choice_is_obeyed(client: openai.AsyncOpenAI) -> None:
    async def names(text: str = "hello", **options: Any) -> list[str]:
        answer = await client.chat.completions.create(
            model="sim", messages=asking(text), tools=TOOLS, **options
        )
        calls = answer.choices[0].message.tool_calls or []
        return [call.function.name for call in calls if call.type == "function"]

    named = {"type": "function", "function": {"name": "demo__convert"}}
    assert await names(tool_choice="required") == ["demo__get_weather"]
    assert await names(tool_choice=named) == ["demo__convert"]
    assert await names("use convert", tool_choice="none") == []
    assert await names("use convert and get_weather", parallel_tool_calls=False) == ["demo__convert"]


async def test_a_system_message_may_hold_directives(client: openai.AsyncOpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "developer", "content": "Be brief. [sim: words=2]"},
        {"role": "user", "content": "hello"},
    ]
    answer = await client.chat.completions.create(model="sim", messages=messages)
    assert answer.choices[0].message.content == "weft warp"


async def test_cached_tokens_are_part_of_the_prompt(client: openai.AsyncOpenAI) -> None:
    plain = await client.chat.completions.create(model="sim", messages=asking("hi [sim: cache-read=00]"))
    cached = await client.chat.completions.create(model="sim", messages=asking("hi [sim: cache-read=10]"))
    assert plain.usage is not None
    assert cached.usage is not None
    assert cached.usage.prompt_tokens_details is not None
    assert cached.usage.prompt_tokens_details.cached_tokens == 10
    assert cached.usage.prompt_tokens == plain.usage.prompt_tokens


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["sim-small", "sim-large", "sim"]


async def test_a_stream_has_openais_bytes(http: httpx.AsyncClient) -> None:
    body = chat_body("hi", stream=True, stream_options={"include_usage": True})
    answer = await http.post("/v1/chat/completions", json=body)
    frames = answer.text.split("\n\n")
    assert frames.pop() == ""
    assert frames.pop() == "data: [DONE]"
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    assert [chunk["choices"] for chunk in chunks] == [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        for delta, reason in [
            ({"role": "assistant", "content": "", "refusal": None}, None),
            ({"content": "You"}, None),
            ({"content": " said:"}, None),
            ({"content": " hi"}, None),
            ({}, "stop"),
        ]
    ] + [[]]
    assert [chunk["usage"] is not None for chunk in chunks] == [False] * 5 + [True]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_the_blocking_client_works_too(sim_url: str) -> None:
    client = openai.OpenAI(base_url=f"{sim_url}/v1", api_key="any")
    stream = client.chat.completions.create(model="sim", messages=asking("hello"), stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "You said: hello"
    client.close()
