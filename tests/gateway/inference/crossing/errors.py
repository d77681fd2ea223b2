"""Failures of a provider, in the client's form and in the wallet."""

from dataclasses import replace

import msgspec
import pytest
from anthropic import AnthropicError
from openai import OpenAIError

from tests.gateway.inference.crossing.ask import Ask, Said
from tests.gateway.inference.crossing.case import USAGE, Case
from tests.gateway.inference.crossing.world import Answered
from tests.gateway.inference.upstream import Answer, stream, whole
from tests.gateway.inference.wire.reply import Reply

WORDS = "the loom’s thread number 7 is too long"
ASK = Ask((Said("Weave."),))
REPLY = Reply("A text that takes several pieces to stream.", **USAGE)
SDK_ERRORS = (AnthropicError, OpenAIError)


async def errors(case: Case) -> None:
    """A refused request and a limit, before anything is answered; then what the way of the answer adds."""
    for status in (400, 413):
        await _refused(case, status)
    await _limited(case)
    if case.stream:
        await _fails_within(case)
    await _breaks_off(case)


async def _refused(case: Case, status: int) -> None:
    answered = await _ask(case, whole(case.provider.error(WORDS), status))
    assert answered.status == status
    error = case.client.error(msgspec.json.decode(answered.raw))
    assert WORDS in error["message"]
    assert error["type"] == "invalid_request_error"
    if not case.passes_through:
        assert (error["code"], error["provider"]) == ("provider_refused", case.provider.name)
    _assert_row(answered, status, "provider_refused")
    await _assert_sdk_raises(case, answered)


async def _limited(case: Case) -> None:
    answered = await _ask(case, whole(case.provider.error(WORDS), 429, headers={"retry-after": "20"}))
    assert (answered.status, answered.headers["retry-after"]) == (429, "20")
    error = case.client.error(msgspec.json.decode(answered.raw))
    assert (error["type"], error["code"]) == ("rate_limit_error", "upstream_rate_limit")
    _assert_row(answered, 429, "upstream_rate_limit")
    await _assert_sdk_raises(case, answered)


async def _fails_within(case: Case) -> None:
    """The provider says that it failed, after some of its answer."""
    begun = case.provider.frames(REPLY)[:4]
    answered = await _ask(case, stream(*begun, case.provider.stream_error(WORDS), pace_s=0))
    assert answered.status == 200
    assert case.client.stream_error(answered.raw)[0] == WORDS
    assert answered.event is not None
    assert (answered.event.status, answered.event.error_code) == ("error", "upstream_error_event")
    await _assert_sdk_raises(case, answered)


async def _breaks_off(case: Case) -> None:
    """The connection is lost: within a stream the client is told so, a whole answer is not charged."""
    begun = case.provider.frames(REPLY)[:4]
    answered = await _ask(case, stream(*begun, break_off=True))
    assert answered.event is not None
    assert (answered.event.status, answered.event.error_code) == ("error", "upstream_broke_off")
    if case.stream:
        assert case.client.stream_error(answered.raw)[1] == "upstream_broke_off"
        assert answered.event.estimated
        assert 0 < answered.event.output_tokens <= REPLY.output_tokens
    else:
        assert answered.status == 502
        error = case.client.error(msgspec.json.decode(answered.raw))
        assert error["code"] == "upstream_broke_off"
        assert answered.event.cost_nanos == 0
    await _assert_sdk_raises(case, answered)


async def _ask(case: Case, answer: Answer) -> Answered:
    case.world.script(case.provider.dialect, answer)
    ask = replace(ASK, stream=case.stream, model=case.provider.dialect)
    answered = await case.world.post(case.client, ask)
    case.dropped += [name for name in answered.dropped if name not in case.dropped]
    return answered


def _assert_row(answered: Answered, status: int, code: str) -> None:
    event = answered.event
    assert event is not None
    assert (event.status, event.http_status, event.error_code) == ("error", status, code)
    assert event.cost_nanos == 0


async def _assert_sdk_raises(case: Case, answered: Answered) -> None:
    streamed = case.stream and answered.status == 200
    with pytest.raises(SDK_ERRORS):
        await case.client.sdk(answered.raw, answered.status, stream=streamed)
