"""Cached tokens: counted once wherever a dialect puts them, and asked for where a client can."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.gateway.inference.crossing.ask import Ask, Said
from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.clients.client import events, only
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.world import World
from tests.gateway.inference.wire.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = Ask((Said("Go on."),), stream=True)
CACHED = Reply("Gone.", input_tokens=10, cache_read_tokens=500, output_tokens=7)
WRITTEN = replace(CACHED, cache_write_tokens=300)


@pytest.mark.parametrize("provider", ["openai-chat", "openai-responses", "google"])
async def test_an_anthropic_client_finds_cached_tokens_apart(heddle_world: World, provider: str) -> None:
    """``input_tokens`` of the last event must not hold them, nor may they be in both events in other ways."""
    ask = replace(ASK, model=provider)
    _, _, answered = await heddle_world.exchange(CLIENTS["anthropic"], PROVIDERS[provider], ask, CACHED)
    received = events(answered.raw)
    usage = only([event["usage"] for event in received if event["type"] == "message_delta"])
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (10, 500, 7)
    begun = received[0]["message"]["usage"]
    told = (begun["input_tokens"], begun["cache_read_input_tokens"], begun["output_tokens"])
    assert told == ((10, 500, 0) if provider == "google" else (0, 0, 0)), "only Google says it at the start"


async def test_a_chat_client_finds_read_and_written_tokens_within_the_prompts(heddle_world: World) -> None:
    ask = replace(ASK, model="anthropic")
    _, _, answered = await heddle_world.exchange(CLIENTS["openai-chat"], PROVIDERS["anthropic"], ask, WRITTEN)
    usage = only([chunk["usage"] for chunk in events(answered.raw) if chunk.get("usage")])
    counts = (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])
    assert counts == (810, 7, 817)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 500, "cache_write_tokens": 300}


async def test_a_responses_client_finds_read_and_written_tokens_within_the_inputs(
    heddle_world: World,
) -> None:
    ask = replace(ASK, model="anthropic")
    _, _, answered = await heddle_world.exchange(
        CLIENTS["openai-responses"], PROVIDERS["anthropic"], ask, WRITTEN
    )
    usage = events(answered.raw)[-1]["response"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (810, 7, 817)
    assert usage["input_tokens_details"] == {"cached_tokens": 500, "cache_write_tokens": 300}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_chat_clients_breakpoints_reach_anthropic(heddle_world: World, stream: bool) -> None:
    """On instructions, a tool, words and a result, as OpenRouter's clients write them."""
    point, lasting = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    body = {"stream": stream, **_conversation(point, lasting)}
    upstream = heddle_world.script("anthropic", PROVIDERS["anthropic"].answer(WRITTEN, streamed=stream))
    answered = await heddle_world.post(CLIENTS["openai-chat"], replace(ASK, model="anthropic"), **body)
    assert (answered.status, answered.dropped) == (200, [])
    told: Any = msgspec.json.decode(upstream.only.body)
    assert told["system"] == [{"type": "text", "text": "Long rules.", "cache_control": lasting}]
    assert [tool.get("cache_control") for tool in told["tools"]] == [point]
    words, call, result = (message["content"] for message in told["messages"])
    assert words == [{"type": "text", "text": "A long text.", "cache_control": point}]
    assert [block["type"] for block in call] == ["tool_use"]
    assert [block.get("cache_control") for block in result] == [point]


@pytest.mark.parametrize("provider", ["openai-chat", "openai-responses", "google"])
async def test_where_breakpoints_have_no_place_the_client_is_told(heddle_world: World, provider: str) -> None:
    """They cache by themselves; an Anthropic client's breakpoints do no harm by missing."""
    point = {"type": "ephemeral"}
    heddle_world.script(provider, PROVIDERS[provider].answer(CACHED, streamed=True))
    words = {"type": "text", "text": "A long text.", "cache_control": point}
    answered = await heddle_world.post(
        CLIENTS["anthropic"], replace(ASK, model=provider), messages=[{"role": "user", "content": [words]}]
    )
    assert answered.status == 200
    (name,) = answered.dropped
    assert name.startswith("messages[0].content[0].cache")


def _conversation(point: Any, lasting: Any) -> dict[str, Any]:
    function = {"name": "noop", "parameters": {"type": "object", "properties": {}}}
    call = {"id": "call_1", "type": "function", "function": {"name": "noop", "arguments": "{}"}}
    rules = {"type": "text", "text": "Long rules.", "cache_control": lasting}
    words = {"type": "text", "text": "A long text.", "cache_control": point}
    return {
        "tools": [{"type": "function", "function": function, "cache_control": point}],
        "messages": [
            {"role": "system", "content": [rules]},
            {"role": "user", "content": [words]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "done", "cache_control": point},
        ],
    }
