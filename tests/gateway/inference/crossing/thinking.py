"""Thoughts that come back to their maker in the rounds that follow."""

import base64

from tests.gateway.inference.crossing.ask import Ask, Said, Told, ToldCall
from tests.gateway.inference.crossing.case import USAGE, Case
from tests.gateway.inference.crossing.subjects import SIGNATURE, WEATHER
from tests.gateway.inference.wire.reply import Call, Reply, Thought

SIGNED_TEXT = base64.b64encode(b"of the text").decode()


async def thinking(case: Case) -> None:
    """Think and call, think and answer, go on: each time all thoughts so far come back in order."""
    call = Call("toolu_t", "weather", '{"city": "Oslo"}', SIGNATURE)
    first = Thought("I need the weather of Oslo.", "c2lnbmF0dXJlIG9uZQ==")
    second = Thought("It rains,\nso an umbrella.", "c2lnbmF0dXJlIHR3bw==")
    ask = Ask((Said("Umbrella?"),), tools={"weather": WEATHER}, thinks=True)
    told, read = await case.round(ask, Reply("", [call], thoughts=[first], reasoning_tokens=20, **USAGE))
    assert told.asked_to_think
    ask = ask.then(read.replayed, read.results("rain"))
    answer = Reply("Yes.", thoughts=[second], reasoning_tokens=9, text_signature=SIGNED_TEXT, **USAGE)
    told, read = await case.round(ask, answer)
    _assert_returned(case, told, first)
    _assert_call(case, told.calls)
    told, _ = await case.round(ask.then(read.replayed, Said("Sure?")), Reply("Sure.", **USAGE))
    _assert_returned(case, told, first, second)
    _assert_call(case, told.calls)
    assert told.texts == [("user", "Umbrella?"), ("assistant", "Yes."), ("user", "Sure?")]
    if case.provider.dialect == "google":
        assert told.text_signatures == [SIGNED_TEXT]


def _assert_returned(case: Case, told: Told, *thoughts: Thought) -> None:
    signed = case.provider.signs_thoughts
    given = [(thought.text, thought.signature if signed else "") for thought in thoughts]
    assert told.thoughts == given


def _assert_call(case: Case, calls: list[ToldCall]) -> None:
    signature = SIGNATURE if case.provider.dialect == "google" else None
    assert calls == [ToldCall("weather", {"city": "Oslo"}, "rain", signature)]
