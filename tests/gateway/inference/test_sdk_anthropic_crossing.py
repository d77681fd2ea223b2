"""Anthropic's SDK before a provider that speaks OpenAI's Chat dialect only."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.gateway.inference.one_dialect import (
    ASK,
    CITIES,
    EXAMPLE,
    SCHEMA,
    TIMEOUT_S,
    Crossed,
    Place,
    crossed,
    user,
)

TOOLS: list[Any] = [{"name": "get_weather", "description": "weather", "input_schema": SCHEMA}]


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Crossed]:
    async with crossed(tmp_path, "openai-chat") as running:
        yield running
        assert running.paths <= {"/v1/chat/completions"}


@pytest.fixture
async def claude(behind: Crossed) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with behind.claude() as client:
        yield client


async def test_a_message_and_its_cost(behind: Crossed, claude: anthropic.AsyncAnthropic) -> None:
    raw = await claude.messages.with_raw_response.create(
        model="sim-small", max_tokens=100, system="Be brief.", messages=user("[sim: words=20]")
    )
    message = await raw.parse()
    assert (message.type, message.role, message.model) == ("message", "assistant", "sim-small")
    assert message.stop_reason == "end_turn"
    event = await behind.heddle.only_event()
    assert (event.input_tokens, event.output_tokens) == (
        message.usage.input_tokens,
        message.usage.output_tokens,
    )
    assert message.usage.output_tokens == 20
    assert event.cost_nanos == round((event.input_tokens * 1000 + 20 * 5000) * 1.07)
    assert int(raw.headers["x-heddle-cost-micros"]) == round(event.cost_nanos / 1000)
    assert (await behind.heddle.wallet()).balance_nanos == 5_000_000_000 - event.cost_nanos
    assert behind.sent[0]["max_completion_tokens"] == 100


async def test_what_came_from_the_cache_is_counted_apart(
    behind: Crossed, claude: anthropic.AsyncAnthropic
) -> None:
    message = await claude.messages.create(
        model="sim-small", max_tokens=50, messages=user("[sim: cache-read=7] " + "long " * 20)
    )
    assert message.usage.cache_read_input_tokens == 7
    event = await behind.heddle.only_event()
    assert (event.cache_read_tokens, event.input_tokens) == (7, message.usage.input_tokens)


async def test_a_stream_helper_sees_events_and_the_whole(
    behind: Crossed, claude: anthropic.AsyncAnthropic
) -> None:
    async with claude.messages.stream(
        model="sim-small", max_tokens=50, messages=user("a few words to echo")
    ) as stream:
        kinds = [event.type async for event in stream]
        message = await stream.get_final_message()
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert kinds.count("text") > 3
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: a few words to echo"
    event = await behind.heddle.only_event()
    assert (event.status, event.estimated) == ("ok", False)
    assert (event.input_tokens, event.output_tokens) == (
        message.usage.input_tokens,
        message.usage.output_tokens,
    )


async def test_a_stream_of_bare_events(claude: anthropic.AsyncAnthropic) -> None:
    stream = await claude.messages.create(model="sim-small", max_tokens=50, messages=user("hi"), stream=True)
    text = ""
    async for event in stream:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            text += event.delta.text
    assert text == "You said: hi"


async def test_the_sync_client(behind: Crossed) -> None:
    def talk() -> list[str]:
        with anthropic.Anthropic(
            base_url=behind.heddle.base_url,
            api_key=behind.heddle.admin_key,
            max_retries=0,
            timeout=TIMEOUT_S,
        ) as claude:
            message = claude.messages.create(model="sim-small", max_tokens=50, messages=user("hi"))
            with claude.messages.stream(model="sim-small", max_tokens=50, messages=user("hi")) as stream:
                streamed = "".join(stream.text_stream)
        return [getattr(message.content[0], "text", ""), streamed]

    assert await asyncio.to_thread(talk) == ["You said: hi"] * 2


async def _answered(claude: anthropic.AsyncAnthropic, messages: list[Any], *, streamed: bool) -> Any:
    request: dict[str, Any] = {"model": "sim-small", "max_tokens": 300, "tools": TOOLS}
    if not streamed:
        return await claude.messages.create(**request, messages=messages)
    async with claude.messages.stream(**request, messages=messages) as stream:
        return await stream.get_final_message()


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_go_round(behind: Crossed, claude: anthropic.AsyncAnthropic, streamed: bool) -> None:
    messages = user(ASK)
    for cities in CITIES:
        message = await _answered(claude, messages, streamed=streamed)
        assert message.stop_reason == "tool_use"
        calls = [block for block in message.content if block.type == "tool_use"]
        assert [call.input["city"] for call in calls] == cities
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"rain in {call.input['city']}"}
            for call in calls
        ]
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    last = await _answered(claude, messages, streamed=streamed)
    assert last.stop_reason == "end_turn"
    assert all(f"rain in {city}" in last.content[0].text for cities in CITIES for city in cities)
    assert [message["role"] for message in behind.sent[-1]["messages"]] == [
        *("user", "assistant", "tool", "tool"),
        *("assistant", "tool"),
    ]
    assert [event.status for event in await behind.heddle.usage_events()] == ["ok"] * 3


async def test_a_failed_tool_is_told_as_such(claude: anthropic.AsyncAnthropic) -> None:
    messages = user('use get_weather {"city": "Oslo"}')
    first = await _answered(claude, messages, streamed=False)
    call = next(block for block in first.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "no such city", "is_error": True}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    last = await _answered(claude, messages, streamed=False)
    assert "no such city" in last.content[0].text


async def test_a_forced_tool_and_none_in_parallel(behind: Crossed, claude: anthropic.AsyncAnthropic) -> None:
    message = await claude.messages.create(
        model="sim-small",
        max_tokens=100,
        tools=TOOLS,
        messages=user("no tool is named here"),
        tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
    )
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert behind.sent[0]["parallel_tool_calls"] is False


async def test_an_answer_in_a_form(claude: anthropic.AsyncAnthropic) -> None:
    request: dict[str, Any] = {"model": "sim-small", "max_tokens": 300, "messages": user("Describe Oslo.")}
    parsed = await claude.messages.parse(**request, output_format=Place)
    assert parsed.parsed_output == EXAMPLE
    async with claude.messages.stream(**request, output_format=Place) as stream:
        final = await stream.get_final_message()
    assert final.parsed_output == EXAMPLE


async def test_a_limit_that_is_reached_and_a_stop_sequence(claude: anthropic.AsyncAnthropic) -> None:
    cut = await claude.messages.create(model="sim-small", max_tokens=5, messages=user("[sim: words=50]"))
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 5)
    stopped: Any = await claude.messages.create(
        model="sim-small", max_tokens=50, messages=user("one two three"), stop_sequences=["two"]
    )
    assert stopped.content[0].text == "You said: one "


async def test_a_refusal_by_the_provider_is_the_sdks_own_error(
    behind: Crossed, claude: anthropic.AsyncAnthropic
) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        await claude.messages.create(model="sim-small", max_tokens=9, messages=user("[sim: status=400] no"))
    body: Any = refused.value.body
    assert (body["type"], body["error"]["code"]) == ("error", "provider_refused")
    assert body["error"]["message"] == "sim: Simulated error 400"
    event = await behind.heddle.only_event()
    assert (event.status, event.http_status, event.cost_nanos) == ("error", 400, 0)


async def test_a_tool_that_runs_elsewhere_is_left_out_and_named(
    behind: Crossed, claude: anthropic.AsyncAnthropic
) -> None:
    raw = await claude.messages.with_raw_response.create(
        model="sim-small",
        max_tokens=50,
        messages=user("hi"),
        tools=[{"type": "code_execution_20250825", "name": "code_execution"}, *TOOLS],
        extra_body={"top_k": 3},
    )
    assert set(raw.headers["x-heddle-dropped"].split(", ")) == {"tools[0]", "top_k"}
    assert [tool["function"]["name"] for tool in behind.sent[0]["tools"]] == ["get_weather"]
