"""OpenAI's SDK, Responses, before providers that do not speak that dialect."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
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
)

TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "weather",
        "parameters": SCHEMA,
        "strict": True,
    }
]
PATHS = {"anthropic": "/v1/messages", "openai-chat": "/v1/chat/completions"}


@pytest.fixture(params=list(PATHS))
async def behind(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Crossed]:
    async with crossed(tmp_path, request.param) as running:
        yield running
        assert running.paths <= {PATHS[request.param]}


@pytest.fixture
async def gpt(behind: Crossed) -> AsyncIterator[openai.AsyncOpenAI]:
    async with behind.gpt() as client:
        yield client


async def test_a_response_and_its_cost(behind: Crossed, gpt: openai.AsyncOpenAI) -> None:
    raw = await gpt.responses.with_raw_response.create(
        model="sim-small", instructions="Be brief.", input="hello", max_output_tokens=100
    )
    response = raw.parse()
    assert (response.object, response.status, response.id[:5]) == ("response", "completed", "resp_")
    assert response.output_text == "You said: hello"
    assert (response.instructions, response.max_output_tokens) == ("Be brief.", 100)
    event = await behind.heddle.only_event()
    assert response.usage is not None
    assert (event.input_tokens, event.output_tokens) == (
        response.usage.input_tokens,
        response.usage.output_tokens,
    )
    assert event.cost_nanos == round((event.input_tokens * 1000 + event.output_tokens * 5000) * 1.07)
    assert int(raw.headers["x-heddle-cost-micros"]) == round(event.cost_nanos / 1000)


async def test_tokens_of_the_cache_are_part_of_the_inputs(behind: Crossed, gpt: openai.AsyncOpenAI) -> None:
    response = await gpt.responses.create(model="sim-small", input="[sim: cache-read=7] " + "long " * 20)
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens == 7
    event = await behind.heddle.only_event()
    assert event.cache_read_tokens == 7
    assert response.usage.input_tokens == event.input_tokens + 7


async def test_a_stream_of_events(behind: Crossed, gpt: openai.AsyncOpenAI) -> None:
    stream = await gpt.responses.create(model="sim-small", input="a few words", stream=True)
    events: list[Any] = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == events[-1].response.output_text == "You said: a few words"
    event = await behind.heddle.only_event()
    assert (event.status, event.estimated) == ("ok", False)
    assert event.output_tokens == events[-1].response.usage.output_tokens


async def test_the_stream_helper(gpt: openai.AsyncOpenAI) -> None:
    async with gpt.responses.stream(model="sim-small", input="hi") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert "response.output_text.done" in kinds
    assert final.output_text == "You said: hi"


async def test_the_sync_client(behind: Crossed) -> None:
    def talk() -> list[str]:
        with openai.OpenAI(
            base_url=f"{behind.heddle.base_url}/v1",
            api_key=behind.heddle.admin_key,
            max_retries=0,
            timeout=TIMEOUT_S,
        ) as gpt:
            whole = gpt.responses.create(model="sim-small", input="hi")
            with gpt.responses.stream(model="sim-small", input="hi") as stream:
                helped = stream.get_final_response()
        return [whole.output_text, helped.output_text]

    assert await asyncio.to_thread(talk) == ["You said: hi"] * 2


async def _answered(gpt: openai.AsyncOpenAI, items: list[Any], *, streamed: bool, **more: Any) -> Any:
    request: dict[str, Any] = {"model": "sim-small", "tools": TOOLS, "input": items, **more}
    if not streamed:
        return await gpt.responses.create(**request)
    async with gpt.responses.stream(**request) as stream:
        return await stream.get_final_response()


def _input(response: Any) -> list[Any]:
    """A response's output as it is sent back."""
    items: list[Any] = json.loads(response.model_dump_json(exclude_none=True, warnings=False))["output"]
    for item in items:  # added by the SDK's parsing, and no part of the API
        item.pop("parsed_arguments", None)
        for part in item.get("content") or []:
            part.pop("parsed", None)
    return items


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_go_round(behind: Crossed, gpt: openai.AsyncOpenAI, streamed: bool) -> None:
    items: list[Any] = [{"role": "user", "content": ASK}]
    for cities in CITIES:
        response = await _answered(gpt, items, streamed=streamed)
        assert response.status == "completed"
        calls = [item for item in response.output if item.type == "function_call"]
        assert [json.loads(call.arguments)["city"] for call in calls] == cities
        items += _input(response)
        for call, city in zip(calls, cities, strict=True):
            output = f"rain in {city}"
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
    last = await _answered(gpt, items, streamed=streamed)
    assert all(f"rain in {city}" in last.output_text for cities in CITIES for city in cities)
    assert [event.status for event in await behind.heddle.usage_events()] == ["ok"] * 3


async def test_a_forced_tool_and_none_in_parallel(gpt: openai.AsyncOpenAI) -> None:
    response = await gpt.responses.create(
        model="sim-small",
        input=ASK,
        tools=TOOLS,
        tool_choice={"type": "function", "name": "get_weather"},
        parallel_tool_calls=False,
    )
    assert [item.type for item in response.output].count("function_call") == 1
    assert response.parallel_tool_calls is False


async def test_an_answer_in_a_form(gpt: openai.AsyncOpenAI) -> None:
    parsed = await gpt.responses.parse(model="sim-small", input="Describe Oslo.", text_format=Place)
    assert parsed.output_parsed == EXAMPLE
    async with gpt.responses.stream(model="sim-small", input="Describe Oslo.", text_format=Place) as stream:
        final = await stream.get_final_response()
    assert final.output_parsed == EXAMPLE


async def test_a_limit_that_is_reached(gpt: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": "sim-small", "input": "[sim: words=50]", "max_output_tokens": 5}
    whole = await gpt.responses.create(**asked)
    events: list[Any] = [event async for event in await gpt.responses.create(**asked, stream=True)]
    assert events[-1].type == "response.incomplete"
    for cut in (whole, events[-1].response):
        assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        assert cut.usage.output_tokens == 5


@pytest.mark.parametrize("streamed", [False, True])
async def test_thoughts_come_and_go_back(tmp_path: Path, streamed: bool) -> None:
    asked: dict[str, Any] = {
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    items: list[Any] = [{"role": "user", "content": 'use get_weather {"city": "Oslo"}'}]
    async with crossed(tmp_path, "anthropic") as behind, behind.gpt() as gpt:
        first = await _answered(gpt, items, streamed=streamed, **asked)
        assert [item.type for item in first.output] == ["reasoning", "message", "function_call"]
        assert first.output[0].summary[0].text == f"The user wrote: {items[0]['content']}"
        call = first.output[2]
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        last = await _answered(gpt, [*items, *_input(first), result], streamed=streamed, **asked)
        assert "rain" in last.output_text
        replayed = behind.sent[-1]["messages"][1]["content"]
    assert [block["type"] for block in replayed] == ["thinking", "text", "tool_use"]
    assert replayed[0]["signature"] == "c2ltdWxhdGVkLXNpZ25hdHVyZQ=="


async def test_a_refusal_by_the_provider_is_the_sdks_own_error(
    behind: Crossed, gpt: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await gpt.responses.create(model="sim-small", input="[sim: status=400] no")
    assert (refused.value.code, refused.value.type) == ("provider_refused", "invalid_request_error")
    assert "sim: Simulated error 400" in refused.value.message
    event = await behind.heddle.only_event()
    assert (event.status, event.http_status, event.cost_nanos) == ("error", 400, 0)


async def test_a_prompt_kept_elsewhere_is_refused(gpt: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await gpt.responses.create(model="sim-small", input="hi", prompt={"id": "pmpt_1"})
    assert refused.value.param == "prompt"
