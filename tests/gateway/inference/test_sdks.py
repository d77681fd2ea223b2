"""The vendors' own SDKs against Heddle itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.serving import Serving, serving

TIMEOUT_S = 15.0
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"name": "get_weather", "description": "weather", "input_schema": SCHEMA}]
FUNCTIONS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
ASK = 'use get_weather {"city": "Oslo"} and get_weather {"city": "Lima"}'


def _user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def _claude(heddle: Serving, key: str | None = None) -> anthropic.AsyncAnthropic:
    key = key or heddle.admin_key
    return anthropic.AsyncAnthropic(base_url=heddle.base_url, api_key=key, max_retries=0, timeout=TIMEOUT_S)


def _gpt(heddle: Serving, key: str | None = None) -> openai.AsyncOpenAI:
    key, url = key or heddle.admin_key, f"{heddle.base_url}/v1"
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=TIMEOUT_S)


@pytest.fixture
async def claude(heddle: Serving) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with _claude(heddle) as client:
        yield client


@pytest.fixture
async def gpt(heddle: Serving) -> AsyncIterator[openai.AsyncOpenAI]:
    async with _gpt(heddle) as client:
        yield client


async def test_a_message_and_its_cost(heddle: Serving, claude: anthropic.AsyncAnthropic) -> None:
    raw = await claude.messages.with_raw_response.create(
        model="sim-small", max_tokens=100, messages=_user("[sim: words=100]")
    )
    message = await raw.parse()
    event = await heddle.only_event()
    assert (event.input_tokens, event.output_tokens) == (
        message.usage.input_tokens,
        message.usage.output_tokens,
    )
    assert event.cost_nanos == round((event.input_tokens * 1000 + event.output_tokens * 5000) * 1.07)
    assert int(raw.headers["x-heddle-cost-micros"]) == round(event.cost_nanos / 1000)
    assert raw.headers["request-id"] == event.id
    assert (await heddle.wallet()).balance_nanos == 5_000_000_000 - event.cost_nanos


async def test_a_completion_and_its_cost(heddle: Serving, gpt: openai.AsyncOpenAI) -> None:
    raw = await gpt.chat.completions.with_raw_response.create(model="sim-large", messages=_user("hello"))
    answer = raw.parse()
    assert answer.choices[0].message.content == "You said: hello"
    event = await heddle.only_event()
    assert answer.usage is not None
    assert event.input_tokens == answer.usage.prompt_tokens
    assert int(raw.headers["x-heddle-cost-micros"]) == round(event.cost_nanos / 1000) > 0


async def test_streams(claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI) -> None:
    async with claude.messages.stream(model="sim-small", max_tokens=50, messages=_user("hi")) as stream:
        text = "".join([piece async for piece in stream.text_stream])
    async with gpt.chat.completions.stream(model="sim-small", messages=_user("hi")) as chunks:
        final = await chunks.get_final_completion()
    assert text == final.choices[0].message.content == "You said: hi"
    assert final.usage is None


async def test_the_sync_clients(heddle: Serving) -> None:
    def talk() -> list[str | None]:
        key, url = heddle.admin_key, heddle.base_url
        with (
            anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=TIMEOUT_S) as claude,
            openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_S) as gpt,
        ):
            message = claude.messages.create(model="sim-small", max_tokens=50, messages=_user("hi"))
            with claude.messages.stream(model="sim-small", max_tokens=50, messages=_user("hi")) as stream:
                streamed = "".join(stream.text_stream)
            answer = gpt.chat.completions.create(model="sim-small", messages=_user("hi"))
            chunks = gpt.chat.completions.create(model="sim-small", messages=_user("hi"), stream=True)
            pieces = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        return [
            getattr(message.content[0], "text", ""),
            streamed,
            answer.choices[0].message.content,
            pieces,
        ]

    assert await asyncio.to_thread(talk) == ["You said: hi"] * 4


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools(claude: anthropic.AsyncAnthropic, streamed: bool) -> None:
    request: dict[str, Any] = {"model": "sim-small", "max_tokens": 200, "tools": TOOLS}
    messages = _user(ASK)
    if streamed:
        async with claude.messages.stream(**request, messages=messages) as stream:
            first: Any = await stream.get_final_message()
    else:
        first = await claude.messages.create(**request, messages=messages)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Oslo"}, {"city": "Lima"}]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"} for call in calls]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    last: Any = await claude.messages.create(**request, messages=messages)
    assert last.stop_reason == "end_turn"
    assert last.content[0].text.count("rain") == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_openai_tools(gpt: openai.AsyncOpenAI, streamed: bool) -> None:
    request: dict[str, Any] = {"model": "sim-small", "tools": FUNCTIONS, "messages": _user(ASK)}
    if streamed:
        async with gpt.chat.completions.stream(**request) as stream:
            choice: Any = (await stream.get_final_completion()).choices[0]
    else:
        choice = (await gpt.chat.completions.create(**request)).choices[0]
    cities = [json.loads(call.function.arguments)["city"] for call in choice.message.tool_calls]
    assert (choice.finish_reason, cities) == ("tool_calls", ["Oslo", "Lima"])


async def test_models_in_both_shapes(claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI) -> None:
    theirs = {model.id: model.display_name async for model in claude.models.list()}
    assert theirs == {"sim-small": "Simulated model, small", "sim-large": "Simulated model, large"}
    ours = {model.id: model.model_dump() async for model in gpt.models.list()}
    assert set(ours) == set(theirs)
    assert ours["sim-small"]["object"] == "model"
    assert float(ours["sim-small"]["pricing"]["input_per_mtok_usd"]) == 1.07
    assert (await claude.models.retrieve("sim-small")).id == "sim-small"
    assert (await gpt.models.retrieve("sim-small")).id == "sim-small"
    with pytest.raises(openai.NotFoundError):
        await gpt.models.retrieve("no-such-model")


async def test_refusals_are_the_sdks_own_errors(heddle: Serving) -> None:
    for key, model, code in (
        ("wrong-key", "sim-small", "unknown_key"),
        (None, "no-such-model", "model_not_found"),
    ):
        async with _claude(heddle, key) as claude, _gpt(heddle, key) as gpt:
            with pytest.raises(anthropic.APIStatusError) as refused:
                await claude.messages.create(model=model, max_tokens=9, messages=_user("hi"))
            with pytest.raises(openai.APIStatusError) as also:
                await gpt.chat.completions.create(model=model, messages=_user("hi"))
        unknown = code == "unknown_key"
        assert type(refused.value) is (anthropic.AuthenticationError if unknown else anthropic.NotFoundError)
        assert type(also.value) is (openai.AuthenticationError if unknown else openai.NotFoundError)
        assert isinstance(refused.value.body, dict)
        assert refused.value.body["error"]["code"] == also.value.code == code
        assert refused.value.request_id == refused.value.body["request_id"]


async def test_a_reached_cap_is_a_402(heddle: Serving) -> None:
    secret = (await heddle.mint(max_spend_usd=0))["secret"]
    async with _claude(heddle, secret) as claude, _gpt(heddle, secret) as gpt:
        with pytest.raises(anthropic.APIStatusError) as refused:
            await claude.messages.create(model="sim-small", max_tokens=9, messages=_user("hi"))
        with pytest.raises(openai.APIStatusError) as also:
            await gpt.chat.completions.create(model="sim-small", messages=_user("hi"))
    assert (refused.value.status_code, also.value.status_code) == (402, 402)
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["error"]["code"] == also.value.code == "key_cap_reached"


async def test_an_empty_wallet_is_a_402(tmp_path: Any) -> None:
    async with serving(tmp_path, starter_credit_usd=0) as heddle, _gpt(heddle) as gpt:
        with pytest.raises(openai.APIStatusError) as refused:
            await gpt.chat.completions.create(model="sim-small", messages=_user("hi"), stream=True)
        assert (refused.value.status_code, refused.value.code) == (402, "wallet_empty")
        assert await heddle.usage_events() == []


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("directive", "status"), [("529", 529), ("429", 429), ("500", 502), ("503", 503)])
async def test_a_failing_provider(
    heddle: Serving, claude: anthropic.AsyncAnthropic, directive: str, status: int, streamed: bool
) -> None:
    with pytest.raises(anthropic.APIStatusError) as failed:
        await claude.messages.create(
            model="sim-small",
            max_tokens=9,
            messages=_user(f"[sim: status={directive} retry-after=3]"),
            stream=streamed,
        )
    assert failed.value.status_code == status
    if status in {429, 529}:
        assert failed.value.response.headers["retry-after"] == "3"
    event = await heddle.only_event()
    assert (event.status, event.http_status, event.cost_nanos) == ("error", status, 0)
    assert (await heddle.wallet()).balance_nanos == 5_000_000_000
