"""A conversation that goes from one provider to the next."""

import re

import pytest

from tests.gateway.inference.crossing.ask import Ask, Said, Told, ToldCall
from tests.gateway.inference.crossing.case import USAGE, Case
from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.subjects import SIGNATURE, WEATHER
from tests.gateway.inference.crossing.world import World
from tests.gateway.inference.wire.reply import Call, Reply, Thought

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTE = ("openai-chat", "anthropic", "openai-responses", "google", "anthropic")
THOUGHT = {
    "anthropic": r"messages\[\d+\]\.content\[\d+\]",
    "openai-chat": r"messages\[\d+\]\.reasoning_(content|details\[\d+\])",
    "openai-responses": r"input\[\d+\]",
}
"""Where clients hold thoughts."""
CITIES = ("Oslo", "Lima", "Rome", "Kyiv", "Bern")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_it_keeps_its_words_and_results_and_loses_the_thoughts_of_others(
    heddle_world: World, client: str, stream: bool
) -> None:
    """At each stop a thought, a call and an answer; everyone hears all words, calls and results so far, its
    own thoughts and nobody else's."""
    ask = Ask((), tools={"weather": WEATHER}, thinks=True)
    texts: list[tuple[str, str]] = []
    calls: list[str] = []
    thoughts: list[tuple[str, Thought]] = []
    for stop, (provider, city) in enumerate(zip(ROUTE, CITIES, strict=True)):
        case = Case(heddle_world, CLIENTS[client], PROVIDERS[provider], stream, rounds=stop * 10)
        call = Call(f"toolu_{stop}", "weather", f'{{"city": "{city}"}}', SIGNATURE)
        thought = Thought(f"Think of {city}.", f"c2ln{stop}")
        ask = ask.then(Said(f"How is {city}?"))
        texts.append(("user", f"How is {city}?"))
        told, read = await case.round(ask, Reply("", [call], thoughts=[thought], **USAGE))
        _assert_heard(case, told, texts, calls, thoughts)
        _assert_named(case, thoughts)
        thoughts.append((provider, thought))
        calls.append(city)
        ask = ask.then(read.replayed, read.results("rain"))
        told, read = await case.round(ask, Reply(f"{city}: rain.", **USAGE))
        _assert_heard(case, told, texts, calls, thoughts)
        ask = ask.then(read.replayed)
        texts.append(("assistant", f"{city}: rain."))


def _assert_heard(
    case: Case,
    told: Told,
    texts: list[tuple[str, str]],
    cities: list[str],
    thoughts: list[tuple[str, Thought]],
) -> None:
    assert told.texts == texts
    assert [(call.name, call.arguments, call.result) for call in told.calls] == [
        ("weather", {"city": city}, "rain") for city in cities
    ]
    signed = case.provider.signs_thoughts
    own = [
        (thought.text, thought.signature if signed else "")
        for provider, thought in thoughts
        if provider == case.provider.dialect
    ]
    assert told.thoughts == own
    if case.provider.dialect == "google":
        assert [call.signature for call in told.calls if call.signature == SIGNATURE] == [
            SIGNATURE for provider, _ in thoughts if provider == "google"
        ]


def _assert_named(case: Case, thoughts: list[tuple[str, Thought]]) -> None:
    """Every thought of another maker is named in the header, and the signatures of Google's calls are."""
    signed = [provider for provider, _ in thoughts if provider == "google" != case.provider.dialect]
    assert len([name for name in case.dropped if name.endswith(".signature")]) == len(signed)
    foreign = [thought for provider, thought in thoughts if provider != case.provider.dialect]
    named = [name for name in case.dropped if re.fullmatch(THOUGHT[case.client.name], name)]
    assert len(named) == len(foreign), case.dropped


async def test_a_turn_that_another_model_began_goes_on_without_thinking_at_anthropic(
    heddle_world: World,
) -> None:
    """Claude refuses to think in a turn whose first step has no thought of its own: thinking is left out."""
    ask = Ask((Said("Oslo?"),), tools={"weather": WEATHER}, thinks=True)
    case = Case(heddle_world, CLIENTS["openai-responses"], PROVIDERS["google"], stream=True)
    call = Call("c", "weather", '{"city": "Oslo"}', SIGNATURE)
    _, read = await case.round(ask, Reply("", [call], thoughts=[Thought("Hm.")], **USAGE))
    case = Case(heddle_world, CLIENTS["openai-responses"], PROVIDERS["anthropic"], stream=True)
    told, _ = await case.round(ask.then(read.replayed, read.results("rain")), Reply("Rain.", **USAGE))
    assert not told.asked_to_think
    assert "reasoning" in case.dropped
    assert told.calls == [ToldCall("weather", {"city": "Oslo"}, "rain")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_google_thought_is_not_taken_for_another_providers_by_a_chat_client(
    heddle_world: World, stream: bool
) -> None:
    ask = Ask((Said("Oslo?"),), tools={"weather": WEATHER}, thinks=True)
    case = Case(heddle_world, CLIENTS["openai-chat"], PROVIDERS["google"], stream=stream)
    _, read = await case.round(ask, Reply("Rain.", thoughts=[Thought("Hm.")], **USAGE))
    case = Case(heddle_world, CLIENTS["openai-chat"], PROVIDERS["openai-chat"], stream=stream)
    told, _ = await case.round(ask.then(read.replayed, Said("And now?")), Reply("Sun.", **USAGE))
    assert told.thoughts == []
