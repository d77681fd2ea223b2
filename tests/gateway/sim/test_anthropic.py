"""The official Anthropic SDK against the simulator."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import MessageParam, ToolParam

from tests.gateway.sim.conftest import WEATHER_SCHEMA, messages_body

TOOLS: list[ToolParam] = [
    {"name": "demo__get_weather", "description": "The weather.", "input_schema": WEATHER_SCHEMA},
    {"name": "demo__convert", "description": "Convert.", "input_schema": {"type": "object"}},
]


@pytest.fixture
async def client(sim_url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=sim_url, api_key="any", max_retries=0) as client:
        yield client


def asking(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


async def run_tools(client: anthropic.AsyncAnthropic, text: str) -> tuple[list[list[str]], str, list[str]]:
    """A tool loop: the names called per round, the closing text, and every tool_use id."""
    messages = asking(text)
    rounds: list[list[str]] = []
    ids: list[str] = []
    for _ in range(5):
        async with client.messages.stream(
            model="sim-small", max_tokens=500, messages=messages, tools=TOOLS
        ) as stream:
            message = await stream.get_final_message()
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            return rounds, "".join(block.text for block in message.content if block.type == "text"), ids
        assert message.stop_reason == "tool_use"
        rounds.append([call.name for call in calls])
        ids += [call.id for call in calls]
        messages.append({"role": "assistant", "content": message.model_dump(include={"content"})["content"]})
        messages.append(
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call.id, "content": json.dumps(call.input)}
                    for call in calls
                ],
            }
        )
    raise AssertionError("the model never stopped calling tools")


async def test_an_answer_echoes_the_question(client: anthropic.AsyncAnthropic) -> None:
    message = await client.messages.create(model="sim", max_tokens=50, messages=asking("Hi  there"))
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: Hi there"
    assert (message.model, message.stop_reason) == ("sim-small", "end_turn")
    assert message.usage.output_tokens == 4
    assert message.usage.cache_read_input_tokens == 0


async def test_a_stream_adds_up_to_the_whole_answer(client: anthropic.AsyncAnthropic) -> None:
    text = 'use get_weather {"city": "Zürich", "days": 3} and convert'
    whole = await client.messages.create(
        model="sim-small", max_tokens=500, messages=asking(text), tools=TOOLS
    )
    async with client.messages.stream(
        model="sim-small", max_tokens=500, messages=asking(text), tools=TOOLS
    ) as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_message()
    fields = {"type", "text", "id", "name", "input"}
    assert [block.model_dump(include=fields) for block in streamed.content] == [
        block.model_dump(include=fields) for block in whole.content
    ]
    assert streamed.id == whole.id
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.usage.input_tokens == whole.usage.input_tokens
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


async def test_tools_run_in_parallel_and_in_rounds(client: anthropic.AsyncAnthropic) -> None:
    text = 'use get_weather {"city": "Oslo", "days": 2} and convert {"n": 1} then get_weather'
    rounds, closing, ids = await run_tools(client, text)
    assert rounds == [["demo__get_weather", "demo__convert"], ["demo__get_weather"]]
    assert 'demo__get_weather says: {"city": "Oslo", "days": 2}' in closing
    assert 'demo__convert says: {"n": 1}' in closing
    assert 'demo__get_weather says: {"city": "example", "days": 2}' in closing
    assert len(set(ids)) == 3


async def test_a_tool_that_is_not_offered_is_said_to_be_missing(client: anthropic.AsyncAnthropic) -> None:
    rounds, closing, _ = await run_tools(client, "use no_such_tool {}")
    assert (rounds, closing) == ([], "I have no tool named no_such_tool.")


async def test_a_missing_tool_does_not_keep_the_others_from_running(
    client: anthropic.AsyncAnthropic,
) -> None:
    rounds, closing, _ = await run_tools(client, "use convert then no_such_tool {}")
    assert rounds == [["demo__convert"]]
    assert closing.endswith("I have no tool named no_such_tool.")


async def test_a_failed_tool_is_reported_as_failed(client: anthropic.AsyncAnthropic) -> None:
    asked = asking("use convert")
    message = await client.messages.create(model="sim", max_tokens=500, messages=asked, tools=TOOLS)
    call = message.content[-1]
    assert call.type == "tool_use"
    answered: list[MessageParam] = [
        *asked,
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": call.id, "name": call.name, "input": {}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "boom", "is_error": True}],
        },
    ]
    closing = await client.messages.create(model="sim", max_tokens=500, messages=answered, tools=TOOLS)
    assert closing.content[0].type == "text"
    assert "demo__convert failed: boom" in closing.content[0].text


async def test_a_later_user_text_begins_a_new_plan(client: anthropic.AsyncAnthropic) -> None:
    messages: list[MessageParam] = [
        {"role": "user", "content": "use convert [sim: status=529]"},
        {"role": "assistant", "content": "Never mind."},
        {"role": "user", "content": "hello"},
    ]
    message = await client.messages.create(model="sim", max_tokens=50, messages=messages, tools=TOOLS)
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: hello"


async def test_only_the_last_text_block_counts(client: anthropic.AsyncAnthropic) -> None:
    messages: list[MessageParam] = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "x [sim: status=529]"}, {"type": "text", "text": "again"}],
        }
    ]
    message = await client.messages.create(model="sim", max_tokens=50, messages=messages)
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: again"


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 14])
async def test_max_tokens_is_never_passed(client: anthropic.AsyncAnthropic, limit: int) -> None:
    text = 'use get_weather {"city": "Oslo", "days": 3}'
    whole = await client.messages.create(model="sim", max_tokens=limit, messages=asking(text), tools=TOOLS)
    async with client.messages.stream(
        model="sim", max_tokens=limit, messages=asking(text), tools=TOOLS
    ) as stream:
        events = [event async for event in stream]
    deltas = [event for event in events if event.type == "content_block_delta"]
    assert whole.stop_reason == "max_tokens"
    assert 1 <= whole.usage.output_tokens <= limit
    assert len(deltas) <= limit + 1


async def test_words_are_tokens_and_events(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(
        model="sim-large", max_tokens=200, messages=asking("[sim: words=100]")
    ) as stream:
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert len(texts) == 100
    assert message.usage.output_tokens == 100
    assert "".join(texts).split()[:3] == ["weft", "warp", "shed"]


async def test_a_stop_sequence_ends_the_text(client: anthropic.AsyncAnthropic) -> None:
    message = await client.messages.create(
        model="sim", max_tokens=200, messages=asking("[sim: words=20]"), stop_sequences=["reed", "shed"]
    )
    assert message.content[0].type == "text"
    assert message.content[0].text == "weft warp "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "shed")


async def test_thinking_comes_first_when_asked_for(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(
        model="sim",
        max_tokens=2000,
        messages=asking("hello"),
        thinking={"type": "enabled", "budget_tokens": 1024},
    ) as stream:
        message = await stream.get_final_message()
    thought, said = message.content
    assert thought.type == "thinking"
    assert thought.thinking == "The user wrote: hello"
    assert thought.signature
    assert said.type == "text"


async def test_tool_choice_is_obeyed(client: anthropic.AsyncAnthropic) -> None:
    async def names(choice: Any, text: str = "hello") -> list[str]:
        message = await client.messages.create(
            model="sim", max_tokens=200, messages=asking(text), tools=TOOLS, tool_choice=choice
        )
        return [block.name for block in message.content if block.type == "tool_use"]

    both = "use convert and get_weather"
    assert await names({"type": "any"}) == ["demo__get_weather"]
    assert await names({"type": "tool", "name": "demo__convert"}) == ["demo__convert"]
    assert await names({"type": "none"}, "use convert") == []
    assert await names({"type": "auto"}, both) == ["demo__convert", "demo__get_weather"]
    assert await names({"type": "auto", "disable_parallel_tool_use": True}, both) == ["demo__convert"]


async def test_a_set_format_is_kept(http: httpx.AsyncClient) -> None:
    wanted = {"format": {"type": "json_schema", "schema": WEATHER_SCHEMA}}
    answer = await http.post("/v1/messages", json=messages_body("weather?", output_config=wanted))
    assert json.loads(answer.json()["content"][0]["text"]) == {"city": "example", "days": 2}


async def test_input_is_counted_the_same_everywhere(client: anthropic.AsyncAnthropic) -> None:
    alone = await client.messages.count_tokens(model="sim", messages=asking("hello"))
    with_tools = await client.messages.count_tokens(model="sim", messages=asking("hello"), tools=TOOLS)
    message = await client.messages.create(model="sim", max_tokens=9, messages=asking("hello"), tools=TOOLS)
    assert message.usage.input_tokens == with_tools.input_tokens
    assert with_tools.input_tokens > alone.input_tokens + 50


async def test_an_image_counts_the_same_whatever_its_size(client: anthropic.AsyncAnthropic) -> None:
    async def count(data: str) -> int:
        image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        messages: list[MessageParam] = [
            {"role": "user", "content": [image, {"type": "text", "text": "what is this?"}]}
        ]
        return (await client.messages.count_tokens(model="sim", messages=messages)).input_tokens

    assert await count("A" * 4) == await count("A" * 1_000_000)


async def test_cache_directives_move_input_tokens(client: anthropic.AsyncAnthropic) -> None:
    text = "hello [sim: cache-read=10 cache-write=5]"
    usage = (await client.messages.create(model="sim", max_tokens=50, messages=asking(text))).usage
    counted = (await client.messages.count_tokens(model="sim", messages=asking(text))).input_tokens
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 5)
    assert usage.input_tokens == counted - 15


async def test_models_are_listed_in_anthropics_shape(client: anthropic.AsyncAnthropic) -> None:
    assert [model.id async for model in client.models.list()] == ["sim-small", "sim-large", "sim"]


async def test_equal_requests_get_equal_bytes(http: httpx.AsyncClient) -> None:
    body = messages_body("use convert and get_weather", tools=TOOLS, stream=True)
    first, second = await asyncio.gather(
        http.post("/v1/messages", json=body), http.post("/v1/messages", json=body)
    )
    assert first.content == second.content


async def test_a_stream_has_anthropics_bytes(http: httpx.AsyncClient) -> None:
    body = messages_body("hi", stream=True)
    answer = await http.post("/v1/messages", json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = answer.text.split("\n\n")
    assert events.pop() == ""
    assert events[1:] == [
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}}',
        'event: ping\ndata: {"type": "ping"}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"You"}}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":" said:"}}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":" hi"}}',
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}',
        'event: message_delta\ndata: {"type":"message_delta",'
        '"delta":{"stop_reason":"end_turn","stop_sequence":null,"stop_details":null},'
        '"usage":{"input_tokens":16,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
        '"output_tokens":3}}',
        'event: message_stop\ndata: {"type":"message_stop"}',
    ]
    assert events[0].startswith('event: message_start\ndata: {"type":"message_start","message":{"model":')


def test_the_blocking_client_works_too(sim_url: str) -> None:
    client = anthropic.Anthropic(base_url=sim_url, api_key="any")
    with client.messages.stream(model="sim", max_tokens=50, messages=asking("hello")) as stream:
        assert "".join(stream.text_stream) == "You said: hello"
    message = client.messages.create(model="sim", max_tokens=50, messages=asking("hello"))
    assert message.usage.output_tokens == 3
