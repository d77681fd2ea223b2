"""What only a maker understands comes back to it, with the very call or thought it belongs to."""

from typing import Any

import msgspec
import pytest

from tests.gateway.inference.crossing.ask import Ask, Said, ToldCall
from tests.gateway.inference.crossing.case import USAGE, Case
from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.subjects import SIGNATURE, WEATHER
from tests.gateway.inference.crossing.world import PLAIN, World
from tests.gateway.inference.wire.reply import Call, Reply, Thought

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS)
FOREIGN_TO_CHAT = pytest.mark.parametrize("client", ["anthropic", "openai-responses"])
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

ASK = Ask((Said("Umbrella?"),), tools={"weather": WEATHER}, thinks=True)
OSLO = '{"city": "Oslo"}'


def case_of(world: World, client: str, provider: str, stream: bool) -> Case:
    return Case(world, CLIENTS[client], PROVIDERS[provider], stream)


def last_body(case: Case) -> Any:
    return msgspec.json.decode(case.world.upstreams[case.provider.dialect].only.body)


@EVERY_CLIENT
@BOTH_WAYS
@pytest.mark.parametrize("named", [True, False], ids=["with-ids", "without-ids"])
async def test_a_google_signature_comes_back_with_its_very_call(
    heddle_world: World, client: str, stream: bool, named: bool
) -> None:
    """Two steps of one turn, each with a call and a signature of its own; Google need not name its calls."""
    case = case_of(heddle_world, client, "google", stream)
    first = Call("call-1" if named else "", "weather", OSLO, SIGNATURE)
    second = Call("call-2" if named else "", "clock", '{"zone": "CET"}', "c2Vjb25k")
    _, read = await case.round(ASK, Reply("", [first], **USAGE))
    ask = ASK.then(read.replayed, read.results("rain"))
    told, read = await case.round(ask, Reply("And the time?", [second], **USAGE))
    assert told.calls == [ToldCall("weather", {"city": "Oslo"}, "rain", SIGNATURE)]
    told, _ = await case.round(ask.then(read.replayed, read.results("12:00")), Reply("Yes.", **USAGE))
    assert told.calls == [
        ToldCall("weather", {"city": "Oslo"}, "rain", SIGNATURE),
        ToldCall("clock", {"zone": "CET"}, "12:00", "c2Vjb25k"),
    ]


@EVERY_CLIENT
@BOTH_WAYS
async def test_of_parallel_google_calls_only_the_first_is_signed(
    heddle_world: World, client: str, stream: bool
) -> None:
    case = case_of(heddle_world, client, "google", stream)
    calls = [Call("a", "weather", OSLO, SIGNATURE), Call("b", "weather", '{"city": "Lima"}')]
    _, read = await case.round(ASK, Reply("", calls, **USAGE))
    told, _ = await case.round(ASK.then(read.replayed, read.results("rain", "sun")), Reply("", **USAGE))
    assert told.calls == [
        ToldCall("weather", {"city": "Oslo"}, "rain", SIGNATURE),
        ToldCall("weather", {"city": "Lima"}, "sun", None),
    ]


@EVERY_CLIENT
@BOTH_WAYS
async def test_encrypted_reasoning_items_come_back_in_their_order(
    heddle_world: World, client: str, stream: bool
) -> None:
    """One that can be read, one that cannot, a call; then a third thought and words."""
    case = case_of(heddle_world, client, "openai-responses", stream)
    thoughts = [Thought("Look outside.", "gAAA-one"), Thought("", "gAAA-two")]
    call = Call("call_1", "weather", OSLO)
    _, read = await case.round(ASK, Reply("", [call], thoughts=thoughts, **USAGE))
    ask = ASK.then(read.replayed, read.results("rain"))
    _, read = await case.round(ask, Reply("Yes.", thoughts=[Thought("Wet.", "gAAA-three")], **USAGE))
    told, _ = await case.round(ask.then(read.replayed, Said("Sure?")), Reply("Sure.", **USAGE))
    assert told.thoughts == [("Look outside.", "gAAA-one"), ("", "gAAA-two"), ("Wet.", "gAAA-three")]
    items = last_body(case)["input"]
    assert [item.get("type", "message") for item in items] == [
        "message", "reasoning", "reasoning", "function_call", "function_call_output", "reasoning",
        "message", "message",
    ]  # fmt: skip
    ids = [item["id"] for item in items if item.get("type") == "reasoning"]
    assert len(set(ids)) == 3
    assert all(item_id.startswith("rs_0") for item_id in ids)


@FOREIGN_TO_CHAT
@BOTH_WAYS
async def test_a_provider_that_wants_its_thoughts_gets_them_beside_their_call(
    heddle_world: World, client: str, stream: bool
) -> None:
    case = case_of(heddle_world, client, "openai-chat", stream)
    reply = Reply("", [Call("call_1", "weather", OSLO)], thoughts=[Thought("Look outside.")], **USAGE)
    _, read = await case.round(ASK, reply)
    await case.round(ASK.then(read.replayed, read.results("rain")), Reply("Yes.", **USAGE))
    (message,) = [one for one in last_body(case)["messages"] if one["role"] == "assistant"]
    assert message["reasoning_content"] == "Look outside."
    assert [call["id"] for call in message["tool_calls"]] == ["call_1"]
    assert "reasoning_details" not in message


@FOREIGN_TO_CHAT
@BOTH_WAYS
async def test_one_that_does_not_is_spared_them_and_the_client_told(
    heddle_world: World, client: str, stream: bool
) -> None:
    case = case_of(heddle_world, client, "openai-chat", stream)
    reply = Reply("", [Call("call_1", "weather", OSLO)], thoughts=[Thought("Look outside.")], **USAGE)
    _, read = await case.round(ASK, reply)
    case.dropped.clear()
    await case.round(ASK.then(read.replayed, read.results("rain")), Reply("Yes.", **USAGE), model=PLAIN)
    body = msgspec.json.decode(heddle_world.upstreams[PLAIN].only.body)
    assert b"reasoning_content" not in msgspec.json.encode(body)
    assert {"anthropic": "messages[1].content[0]", "openai-responses": "input[1]"}[client] in case.dropped


@BOTH_WAYS
async def test_anthropic_signatures_travel_in_a_chat_clients_reasoning_details(
    heddle_world: World, stream: bool
) -> None:
    case = case_of(heddle_world, "openai-chat", "anthropic", stream)
    thoughts = [Thought("Look outside.", "EqQB+one/=="), Thought("", "EqQB+redacted")]
    _, read = await case.round(ASK, Reply("", [Call("toolu_1", "weather", OSLO)], thoughts=thoughts, **USAGE))
    (message,) = read.replayed.items
    assert message["reasoning_content"] == "Look outside."
    kinds = [detail["type"] for detail in message["reasoning_details"]]
    assert kinds == ["reasoning.text", "reasoning.encrypted"]
    assert b"EqQB" not in msgspec.json.encode(message), "only Anthropic's own clients take it for Anthropic's"
    told, _ = await case.round(ASK.then(read.replayed, read.results("rain")), Reply("Yes.", **USAGE))
    assert told.thoughts == [("Look outside.", "EqQB+one/=="), ("", "EqQB+redacted")]
