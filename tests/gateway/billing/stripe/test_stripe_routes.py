"""Payments over HTTP: the whole of Heddle before the stub."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kit.clock import SystemClock
from tests.gateway.billing.stripe.conftest import SETTINGS
from tests.gateway.billing.stripe.news import SECRET, event, session_of, signed
from tests.gateway.billing.stripe.stub import KEY, StripeStub, form_value
from tests.gateway.serving import Serving, serving

WEBHOOK = "/v1/billing/stripe-webhook"
SESSIONS = "/v1/checkout/sessions"


@pytest.fixture
async def shop(tmp_path: Path, stub: StripeStub) -> AsyncIterator[Serving]:
    async with serving(
        tmp_path,
        stripe_secret_key=KEY,
        stripe_webhook_secret=SECRET,
        stripe={**SETTINGS, "api_url": stub.url},
        starter_credit_usd=0,
        public_url="https://heddle.test",
    ) as running:
        yield running


async def tell(shop: Serving, body: dict[str, Any] | bytes, *, secret: str = SECRET) -> Any:
    raw, header = signed(body, SystemClock().now_ms(), secret)
    headers = {"stripe-signature": header, "x-api-key": ""}
    return await shop.http.post(WEBHOOK, content=raw, headers=headers)


async def test_from_checkout_to_credit(shop: Serving, stub: StripeStub) -> None:
    begun = await shop.http.post("/v1/billing/checkout", json={"amount_usd": "12.50"})
    assert begun.status_code == 201, begun.text
    checkout = begun.json()
    assert (checkout["amount_usd"], checkout["status"], checkout["currency"]) == ("12.50", "open", "usd")
    assert checkout["url"].startswith("https://checkout.stripe.test/")
    (form,) = stub.asked(SESSIONS)
    assert form_value(form, "line_items", "0", "price_data", "unit_amount") == "1250"
    assert form["success_url"] == "https://heddle.test/billing/paid"
    assert "payment_intent_data[setup_future_usage]" not in form
    found = session_of(checkout["id"], form["customer"], 1250, intent="pi_1")
    news = event("checkout.session.completed", found)
    told = [(await tell(shop, news)).json()["outcome"] for _ in range(3)]
    assert told == ["applied", "replayed", "replayed"]
    assert (await shop.http.get("/v1/billing/balance")).json()["balance_usd"] == "12.5"
    assert (await shop.http.get(f"/v1/billing/checkout/{checkout['id']}")).json()["status"] == "paid"


async def test_packs_and_plans_are_sold_as_set(shop: Serving, stub: StripeStub) -> None:
    offers = (await shop.http.get("/v1/billing/offers")).json()
    assert offers["packs"] == [{"name": "big", "title": "big", "price_usd": "45.00", "credit_usd": "50"}]
    pack = (await shop.http.post("/v1/billing/checkout", json={"pack": "big"})).json()
    assert (pack["amount_usd"], pack["credit_usd"], pack["mode"]) == ("45.00", "50", "payment")
    plan = {"plan": "pro", "success_url": "https://app.test/ok?x=1", "save_payment_method": True}
    assert (await shop.http.post("/v1/billing/checkout", json=plan)).json()["mode"] == "subscription"
    form = stub.asked(SESSIONS)[1]
    assert (form["line_items[0][price]"], form["success_url"]) == ("price_pro", "https://app.test/ok?x=1")
    customers = {one["customer"] for one in stub.asked(SESSIONS)}
    assert len(customers) == len(stub.asked("/v1/customers")) == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('{"amount_usd": -5}', "such as 25"),
        ('{"amount_usd": 0}', "above 0"),
        ('{"amount_usd": NaN}', "such as 25"),
        ('{"amount_usd": Infinity}', "such as 25"),
        ('{"amount_usd": 1e300}', "such as 25"),
        ('{"amount_usd": "1_000"}', "such as 25"),
        ('{"amount_usd": true}', "such as 25"),
        ('{"amount_usd": "9.999"}', "whole cents"),
        ('{"amount_usd": 4.99}', "between 5 and 10000"),
        ('{"amount_usd": 10000.01}', "between 5 and 10000"),
        ('{"pack": "huge"}', "there is no pack 'huge'; known: big"),
        ('{"plan": "huge"}', "known: house, pro, team"),
        ('{"pack": "big", "amount_usd": 5}', "exactly one"),
        ("{}", "exactly one"),
        ('{"amount_usd": 5, "success_url": "javascript:alert(1)"}', "success_url"),
    ],
)
async def test_a_bad_order_is_refused_before_stripe_hears_of_it(
    shop: Serving, stub: StripeStub, body: str, complaint: str
) -> None:
    answer = await shop.http.post("/v1/billing/checkout", content=body)
    assert answer.status_code == 400, answer.text
    assert complaint in answer.json()["error"]["message"]
    assert stub.calls == []


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"threshold_usd": 5, "amount_usd": 1}, "amount_usd must be between"),
        ({"threshold_usd": 0, "amount_usd": 10}, "threshold_usd"),
        ({"threshold_usd": 5, "amount_usd": "10.001"}, "whole cents"),
        ({"threshold_usd": 5, "amount_usd": 10, "monthly_limit_usd": 9}, "monthly_limit_usd"),
        ({"threshold_usd": 5}, "amount_usd"),
    ],
)
async def test_a_bad_rule_is_refused(shop: Serving, body: dict[str, Any], complaint: str) -> None:
    answer = await shop.http.put("/v1/billing/auto-top-up", json=body)
    assert answer.status_code == 400, answer.text
    assert complaint in answer.json()["error"]["message"]


async def test_auto_top_up_is_off_until_it_is_put_on(shop: Serving, stub: StripeStub) -> None:
    path = "/v1/billing/auto-top-up"
    assert (await shop.http.get(path)).json() == {"object": "auto_top_up", "enabled": False}
    await shop.http.post("/v1/billing/checkout", json={"amount_usd": 5, "save_payment_method": True})
    assert stub.asked(SESSIONS)[0]["payment_intent_data[setup_future_usage]"] == "off_session"
    rule = {"threshold_usd": 0.5, "amount_usd": 20, "monthly_limit_usd": "100"}
    assert (await shop.http.put(path, json=rule)).json()["error"]["code"] == "no_payment_method"
    stub.saved_cards = ["pm_1"]
    put = (await shop.http.put(path, json=rule)).json()
    assert (put["enabled"], put["threshold_usd"], put["monthly_limit_usd"]) == (True, "0.5", "100.00")
    assert (await shop.http.delete(path)).json()["enabled"] is False
    assert (await shop.http.get(path)).json()["off_reason"] == "switched_off"


async def test_the_portal_is_for_customers(shop: Serving) -> None:
    early = await shop.http.post("/v1/billing/portal")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "no_customer")
    await shop.http.post("/v1/billing/checkout", json={"amount_usd": 5})
    page = await shop.http.post("/v1/billing/portal", json={"return_url": "https://app.test/"})
    assert page.json()["url"].startswith("https://billing.stripe.test/")
    assert (await shop.http.get("/v1/billing/subscription")).json()["status"] == "none"


@pytest.mark.parametrize(
    "body",
    [
        {"id": "evt_1", "type": "some.new.type", "created": 1, "data": {"object": {"id": "x"}}},
        {"id": "evt_2", "type": "charge.succeeded", "created": 1, "data": {"object": {}}},
    ],
)
async def test_events_that_do_not_concern_us_are_taken_and_ignored(
    shop: Serving, body: dict[str, Any]
) -> None:
    answer = await tell(shop, body)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"not json", "not JSON"),
        (b"[]", "documents it"),
        (b'{"x": ' + b"[" * 100_000, "not JSON"),
        (json.dumps(event("refund.created", {"id": "re_1"})).encode(), "amount"),
        (json.dumps(event("invoice.paid", {"id": 7})).encode(), "id"),
        (json.dumps({**event("invoice.paid", {}), "api_version": "2024-06-20"}).encode(), "2025-03-31.basil"),
    ],
)
async def test_a_signed_body_that_is_no_event_is_refused(shop: Serving, body: bytes, complaint: str) -> None:
    answer = await tell(shop, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_stripe_event")
    assert complaint in answer.json()["error"]["message"]


async def test_unsigned_wrongly_signed_and_oversize_bodies_are_refused(shop: Serving) -> None:
    unsigned = await shop.http.post(WEBHOOK, content=b"{}")
    assert (unsigned.status_code, unsigned.json()["error"]["code"]) == (400, "bad_stripe_signature")
    assert (await tell(shop, {}, secret="whsec_other")).status_code == 400
    assert (await tell(shop, b" " * (1024 * 1024 + 1))).status_code == 413


async def test_stripes_own_trouble_is_told_as_such(shop: Serving, stub: StripeStub) -> None:
    stub.fail_with = 500
    answer = await shop.http.post("/v1/billing/checkout", json={"amount_usd": 5})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stripe_unreachable")
    stub.fail_with = 401
    answer = await shop.http.post("/v1/billing/checkout", json={"amount_usd": 5})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "stripe_key_refused")


async def test_paying_needs_the_admin_scope(shop: Serving) -> None:
    key = await shop.mint()
    headers = {"x-api-key": key["secret"]}
    for method, path in (
        ("POST", "/v1/billing/checkout"),
        ("GET", "/v1/billing/checkout/chk_1"),
        ("GET", "/v1/billing/offers"),
        ("GET", "/v1/billing/subscription"),
        ("POST", "/v1/billing/portal"),
        ("GET", "/v1/billing/auto-top-up"),
        ("PUT", "/v1/billing/auto-top-up"),
        ("DELETE", "/v1/billing/auto-top-up"),
    ):
        body = {"amount_usd": 5, "threshold_usd": 5} if method in {"POST", "PUT"} else None
        answer = await shop.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == 403, path
        answer = await shop.http.request(method, path, json=body, headers={"x-api-key": ""})
        assert answer.status_code == 401, path


async def test_another_accounts_checkout_is_not_found(shop: Serving) -> None:
    answer = await shop.http.get("/v1/billing/checkout/chk_of_somebody_else")
    assert answer.status_code == 404


async def test_without_a_key_of_stripes_the_routes_say_what_is_missing(heddle: Serving) -> None:
    for method, path, body in (
        ("POST", "/v1/billing/checkout", {"amount_usd": 5}),
        ("PUT", "/v1/billing/auto-top-up", {"threshold_usd": 5, "amount_usd": 5}),
        ("GET", "/v1/billing/subscription", None),
        ("POST", WEBHOOK, {}),
    ):
        answer = await heddle.http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "stripe_not_configured")
        assert "HEDDLE_STRIPE_SECRET_KEY" in answer.json()["error"]["message"]


async def test_the_pages_after_paying(shop: Serving) -> None:
    for path in ("/billing/paid", "/billing/cancelled"):
        page = await shop.http.get(path, headers={"x-api-key": ""})
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
