"""Counting a request's input tokens: by the provider where it can, else as an estimate."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
from starlette.types import Send

from gateway.inference import count_tokens
from gateway.inference.dialects.carried import Carried, wrap
from gateway.inference.estimate import estimate_input, family_of, middling
from gateway.inference.providers import Provider
from gateway.loopback import served
from gateway.settings import AliasSettings, AliasTarget, ModelSettings
from tests.gateway.inference.one_dialect import SCHEMA, crossed, user
from tests.gateway.inference.upstream import (
    PROVIDER_KEY,
    Answer,
    Upstream,
    heddle_before,
    silence,
    stream,
    whole,
)
from tests.gateway.serving import Serving, serving

PATH = "/v1/messages/count_tokens"
TOOLS: list[Any] = [{"name": "get_weather", "input_schema": SCHEMA}]
BODY: dict[str, Any] = {"model": "fake-alias", "messages": user("hello"), "tools": TOOLS}
ESTIMATE = middling(estimate_input(BODY, family_of("anthropic", "fake", "fake-1")).counted)
COUNTED = whole(b'{"input_tokens": 77, "more": 1}')


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(COUNTED)


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with heddle_before(upstream, tmp_path) as running:
        yield running


async def _nothing_was_billed(heddle: Serving) -> None:
    assert await heddle.usage_events() == []
    assert await heddle.holds() == []
    assert (await heddle.wallet()).balance_nanos == 5_000_000_000


def _is_estimate(got: httpx.Response) -> bool:
    assert got.status_code == 200, got.text
    return "x-heddle-estimated" in got.headers


@pytest.mark.parametrize(("dialect", "estimated"), [("anthropic", False), ("openai-chat", True)])
async def test_the_sdk_counts(tmp_path: Path, dialect: str, estimated: bool) -> None:
    async with crossed(tmp_path, dialect) as behind, behind.claude() as claude:
        asked: dict[str, Any] = {"model": "sim-small", "messages": user("hello"), "tools": TOOLS}
        raw = await claude.messages.with_raw_response.count_tokens(**asked)
        counted = (await raw.parse()).input_tokens
        assert ("x-heddle-estimated" in raw.headers) is estimated
        assert behind.paths == (set() if estimated else {PATH})
        await _nothing_was_billed(behind.heddle)
        message = await claude.messages.create(**asked, max_tokens=9)
    if estimated:
        assert counted > 0
    else:
        assert counted == message.usage.input_tokens


async def test_the_request_goes_up_as_the_provider_takes_it(heddle: Serving, upstream: Upstream) -> None:
    more = {"max_tokens": 9, "stream": True, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    raw = json.dumps({**BODY, **more, "odd": 0}).replace('"odd": 0', '"odd": 1.50').encode()
    got = await heddle.http.post(PATH, content=raw, headers={"anthropic-beta": "new-2027-01-01"})
    assert (got.status_code, got.content) == (200, b'{"input_tokens": 77, "more": 1}')
    assert "x-heddle-estimated" not in got.headers
    assert (upstream.only.path, upstream.only.headers["x-api-key"]) == (PATH, PROVIDER_KEY)
    assert upstream.only.headers["anthropic-beta"] == "new-2027-01-01"
    assert b'"odd":1.50' in upstream.only.body
    sent = json.loads(upstream.only.body)
    assert sent == {**BODY, "model": "fake-1", "thinking": more["thinking"], "odd": 1.5}
    await _nothing_was_billed(heddle)


async def test_signatures_of_others_do_not_go_up(heddle: Serving, upstream: Upstream) -> None:
    signature = wrap(Carried("google", "secret signature"))
    thought = {"type": "thinking", "thinking": "hm", "signature": signature}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "hi"}]}
    messages = [*user("a"), said, *user("b")]
    got = await heddle.http.post(PATH, json={**BODY, "messages": messages})
    assert not _is_estimate(got)
    assert signature.encode() not in upstream.only.body
    assert "max_tokens" not in json.loads(upstream.only.body)


FAILURES: list[tuple[str, Answer]] = [
    ("no such route", whole(b'{"type":"error"}', 404)),
    ("not for POST", whole(b"", 405)),
    ("a rejected key", whole(b"{}", 401)),
    ("a limit", whole(b"{}", 429)),
    ("overloaded", whole(b"{}", 529)),
    ("500", whole(b"oops", 500)),
    ("HTML", whole(b"<html>")),
    ("no count", whole(b"{}")),
    ("a count that is none", whole(b'{"input_tokens": -1}')),
    ("cut short", stream(b'{"input_', break_off=True, content_type="application/json")),
    ("silence", silence),
]


@pytest.mark.parametrize("answer", [f[1] for f in FAILURES], ids=[f[0] for f in FAILURES])
async def test_a_provider_that_cannot_count_is_made_up_for(
    heddle: Serving, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(count_tokens, "TIMEOUT_S", 0.3)
    upstream.answer = answer
    got = await heddle.http.post(PATH, json=BODY)
    assert _is_estimate(got)
    assert got.json() == {"input_tokens": ESTIMATE}
    await _nothing_was_billed(heddle)


async def test_a_providers_complaint_reaches_the_caller(heddle: Serving, upstream: Upstream) -> None:
    complaint = b'{"type":"error","error":{"type":"invalid_request_error","message":"too  many"}}'
    upstream.answer = whole(complaint, 400)
    got = await heddle.http.post(PATH, json=BODY)
    assert (got.status_code, got.content) == (400, complaint)
    upstream.answer = whole(b"<h1>no</h1>", 413)
    got = await heddle.http.post(PATH, json=BODY)
    assert (got.status_code, got.json()["error"]["code"]) == (413, "provider_refused")
    await _nothing_was_billed(heddle)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b"{}", 400, "invalid_request"),
        (b'{"model":"fake-model","messages":[]}', 400, "invalid_request"),
        (b'{"messages":[{"role":"user","content":"a"}]}', 400, "invalid_request"),
        (b'{"model":"no-such","messages":[{"role":"user","content":"a"}]}', 404, "model_not_found"),
    ],
)
async def test_a_bad_request_is_refused_here(
    heddle: Serving, upstream: Upstream, body: bytes, status: int, code: str
) -> None:
    got = await heddle.http.post(PATH, content=body)
    assert (got.status_code, got.json()["type"], got.json()["error"]["code"]) == (status, "error", code)
    assert upstream.heard == []


async def test_a_key_is_needed_and_its_models_count(heddle: Serving, upstream: Upstream) -> None:
    secret = (await heddle.mint(models=["fake-model"]))["secret"]
    for key, status in ((secret, 403), ("wrong-key", 401)):
        got = await heddle.http.post(PATH, json=BODY, headers={"x-api-key": key})
        assert got.status_code == status
    assert upstream.heard == []
    allowed = await heddle.http.post(
        PATH, json={**BODY, "model": "fake-model"}, headers={"x-api-key": secret}
    )
    assert allowed.status_code == 200


async def test_an_empty_wallet_may_count(upstream: Upstream, tmp_path: Path) -> None:
    async with heddle_before(upstream, tmp_path, starter_credit_usd=0) as heddle:
        assert (await heddle.http.post(PATH, json=BODY)).json()["input_tokens"] == 77


async def test_a_crossing_request_is_checked_too(tmp_path: Path) -> None:
    async with crossed(tmp_path, "openai-chat") as behind:
        wrong = {"model": "sim-small", "messages": [{"role": "user", "content": 7}]}
        got = await behind.heddle.http.post(PATH, json=wrong)
        assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_errors_are_the_sdks_own(tmp_path: Path) -> None:
    async with crossed(tmp_path, "anthropic") as behind, behind.claude() as claude:
        with pytest.raises(anthropic.NotFoundError):
            await claude.messages.count_tokens(model="no-such", messages=user("hi"))
        bad: list[Any] = [{"name": "f", "input_schema": {"type": "string"}}]
        with pytest.raises(anthropic.BadRequestError) as refused:
            await claude.messages.count_tokens(model="sim-small", messages=user("hi"), tools=bad)
        assert "input_schema" in refused.value.message


async def test_another_key_or_model_counts_where_the_first_cannot(upstream: Upstream, tmp_path: Path) -> None:
    """A key that is limited gives way to the next, a provider that fails to the alias's next model."""
    limited, failing = Upstream(whole(b"{}", 429)), Upstream(whole(b"oops", 500))

    async def by_key(send: Send) -> None:
        key = limited.heard[-1].headers["x-api-key"]
        await (COUNTED if key == "second" else whole(b"{}", 429))(send)

    limited.answer = by_key
    async with served(lambda _: limited) as first, served(lambda _: failing) as second:
        behind = {
            "failing": Provider("failing", {"anthropic": second}, ("only",)),
            "limited": Provider("limited", {"anthropic": first}, ("first", "second")),
        }
        price = {"input_usd_per_mtok": Decimal(1), "output_usd_per_mtok": Decimal(1)}
        models = {name: ModelSettings(provider=name, **price) for name in behind}
        targets = tuple(AliasTarget(model=name) for name in behind)
        async with serving(
            tmp_path, behind, models=models, aliases={"smart": AliasSettings(targets=targets)}
        ) as heddle:
            got = await heddle.http.post(PATH, json={**BODY, "model": "smart"})
    assert not _is_estimate(got)
    assert got.json()["input_tokens"] == 77
    assert len(failing.heard) == 1
    assert [heard.headers["x-api-key"] for heard in limited.heard] == ["first", "second"]
