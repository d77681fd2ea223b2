"""Each built-in makes its vendor's documented request, and tells the model what the vendor says."""

import json
import re
from typing import Any

import httpx
import pytest
import respx

from broker.builtins.catalog import BUILTINS, find
from broker.builtins.redaction import texts_in
from tests.broker.builtins import mail_and_messages, searches, work_items
from tests.broker.builtins.exchange import Exchange
from tests.broker.rig import ACME, Rig

EXCHANGES = [*searches.EXCHANGES, *mail_and_messages.EXCHANGES, *work_items.EXCHANGES]
TESTED_ELSEWHERE = {
    "http-call",
    "fetch-page",
    "send-email-smtp",
    "google-calendar-event",
    "image-generation",
    "code-execution",
    "current-time",
    "calculator",
}
KEYS = {"KEY": re.compile("[0-9a-f]{64}"), "KEY25": re.compile("[0-9a-f]{25}")}

vendors = pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.provider)


def answered(status: int, body: Any, **headers: str) -> httpx.Response:
    content = b"" if body is None else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers={"content-type": "application/json", **headers})


def same(sent: Any, documented: Any) -> bool:
    """Equal, a placeholder standing for any idempotency key."""
    if isinstance(documented, dict) and isinstance(sent, dict):
        return sent.keys() == documented.keys() and all(same(sent[key], documented[key]) for key in sent)
    if isinstance(documented, str) and documented in KEYS:
        return KEYS[documented].fullmatch(sent) is not None
    return bool(sent == documented)


async def registered(rig: Rig, exchange: Exchange) -> None:
    await rig.broker.builtins.create(
        ACME, f"qlaud-builtin/{exchange.provider}", {"name": "tool"}, config=exchange.config
    )


def test_every_built_in_has_its_exchange() -> None:
    tested = {find(exchange.provider).slug for exchange in EXCHANGES}
    assert tested | TESTED_ELSEWHERE == {builtin.slug for builtin in BUILTINS}


@vendors
async def test_the_vendor_gets_the_documented_request(rig: Rig, exchange: Exchange) -> None:
    await registered(rig, exchange)
    with respx.mock() as vendor:
        route = vendor.route().mock(return_value=answered(exchange.status, exchange.answer))
        result = await rig.call("tool", exchange.given)
    assert (result.is_error, result.output) == (False, exchange.output), result
    request = route.calls.last.request
    assert (request.method, str(request.url.copy_with(query=None))) == (exchange.method, exchange.url)
    assert dict(request.url.params) == exchange.params
    for name, value in exchange.headers.items():
        assert same(request.headers[name], value), name
    if exchange.json is not None:
        assert request.headers["content-type"] == "application/json"
        assert same(json.loads(request.content), exchange.json), request.content
    elif exchange.form is not None:
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert dict(httpx.QueryParams(request.content.decode())) == exchange.form
    else:
        assert request.content == b""
    assert result.record["target"] == request.url.host and result.record["status"] == exchange.status


@vendors
async def test_the_model_is_told_what_the_vendor_refuses(rig: Rig, exchange: Exchange) -> None:
    """In the vendor's words, shortened, and without the secrets that it may repeat."""
    await registered(rig, exchange)
    builtin = find(exchange.provider)
    secrets = [secret for name in builtin.secret_fields for secret in texts_in(exchange.config.get(name))]
    assert secrets
    refusal = json.dumps(exchange.refusal)
    echoing = refusal.replace(
        json.dumps(exchange.told)[1:-1], json.dumps(f"{exchange.told} {secrets[0]}{'x' * 900}")[1:-1]
    )
    with respx.mock() as vendor:
        vendor.route().mock(
            side_effect=[
                httpx.Response(exchange.refused_with, text=refusal),
                httpx.Response(exchange.unauthorized, text=echoing),
                httpx.Response(429, text=refusal, headers={"retry-after": "7"}),
            ]
        )
        refused = await rig.call("tool", exchange.given)
        unauthorized = await rig.call("tool", exchange.given)
        limited = await rig.call("tool", exchange.given)
    assert refused.is_error and exchange.told in refused.output["error"], refused
    assert unauthorized.is_error and "does not accept the credentials" in unauthorized.output["error"]
    assert limited.is_error and "try again in 7 seconds" in limited.output["error"], limited
    assert unauthorized.record["status"] == 401 and limited.record["status"] == 429
    assert len(unauthorized.output["error"]) < 700
    for secret in secrets:
        assert secret not in repr((refused, unauthorized, limited))
