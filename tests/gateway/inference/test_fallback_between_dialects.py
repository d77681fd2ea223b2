"""Fallbacks to a provider that speaks another dialect than the first."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.inference.providers import Provider
from gateway.loopback import served
from gateway.settings import AliasSettings, AliasTarget, ModelSettings
from tests.gateway.inference.passing import (
    CHAT,
    COST_NANOS,
    MESSAGES,
    answer_of,
    body_for,
    frames_of,
    settled,
)
from tests.gateway.inference.upstream import Upstream, stream, whole
from tests.gateway.serving import Serving, serving

PRICES: dict[str, Any] = {"input_usd_per_mtok": Decimal(1), "output_usd_per_mtok": Decimal(5)}


class Pair:
    """``smart`` falls back from a provider of Anthropic's dialect to one of OpenAI's."""

    def __init__(self, heddle: Serving, first: Upstream, second: Upstream) -> None:
        self.heddle, self.first, self.second = heddle, first, second


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    first, second = Upstream(whole(b"down", 503)), Upstream()
    async with served(lambda _: first) as one, served(lambda _: second) as two:
        providers = {
            "one": Provider("one", {"anthropic": one}, ("k1",)),
            "two": Provider("two", {"openai-chat": f"{two}/v1"}, ("k2",)),
        }
        models = {name: ModelSettings(provider=name, max_output_tokens=1000, **PRICES) for name in providers}
        smart = AliasSettings(targets=tuple(AliasTarget(model=name) for name in models))
        settings: dict[str, Any] = {"models": models, "aliases": {"smart": smart}, "max_tries": 1}
        async with serving(tmp_path, providers, **settings) as heddle:
            yield Pair(heddle, first, second)


@pytest.mark.parametrize("path", [MESSAGES, CHAT])
async def test_the_second_dialect_answers_in_the_clients(pair: Pair, path: str) -> None:
    pair.second.answer = whole(answer_of(CHAT))
    got = await pair.heddle.http.post(path, json=body_for(path, model="smart"))
    assert got.status_code == 200
    assert got.json().get("type") == ("message" if path == MESSAGES else None)
    assert (pair.first.only.path, pair.second.only.path) == (MESSAGES, CHAT)
    assert pair.first.only.headers["x-api-key"] == "k1"
    assert pair.second.only.headers["authorization"] == "Bearer k2"
    event = await pair.heddle.only_event()
    assert (event.provider, event.model, event.cost_nanos) == ("two", "two", COST_NANOS)


async def test_a_stream_of_the_second_dialect(pair: Pair) -> None:
    pair.second.answer = stream(*frames_of(CHAT))
    got = await pair.heddle.http.post(MESSAGES, json=body_for(MESSAGES, model="smart", stream=True))
    assert got.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
    await settled(pair.heddle)
    assert (await pair.heddle.only_event()).cost_nanos == COST_NANOS


@pytest.mark.parametrize("path", [MESSAGES, CHAT])
async def test_a_refusal_is_told_in_the_form_of_the_client(pair: Pair, path: str) -> None:
    complaint = b'{"error":{"message":"too many","type":"invalid_request_error","param":null,"code":"x"}}'
    pair.second.answer = whole(complaint, 400)
    got = await pair.heddle.http.post(path, json=body_for(path, model="smart"))
    assert got.status_code == 400
    if path == CHAT:
        assert got.content == complaint
    else:
        error = got.json()["error"]
        assert (got.json()["type"], error["code"], error["message"]) == (
            "error",
            "provider_refused",
            "two: too many",
        )
    event = await pair.heddle.only_event()
    assert (event.status, event.http_status, event.error_code) == ("error", 400, "provider_refused")
    assert (event.provider, event.model) == ("two", "two")
