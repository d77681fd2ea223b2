"""``/v1/end-users``: what is kept of them, and that nobody else sees it."""

import json

import pytest

from gateway.accounts.end_users import EndUsers, EndUserSettings
from gateway.accounts.models import Account
from kit.clock import SystemClock
from tests.gateway.serving import Serving

BODY = {"model": "sim-small", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


async def test_what_is_put_is_what_is_kept(heddle: Serving) -> None:
    put = await heddle.http.put(
        "/v1/end-users/ann@example.com",
        json={"budget_usd": "2.50", "budget_period": "month", "markup": 0.2, "metadata": {"plan": "pro"}},
    )
    assert put.status_code == 200, put.text
    kept = put.json()
    assert (kept["id"], kept["object"], kept["budget_micros"]) == ("ann@example.com", "end_user", 2_500_000)
    assert (kept["budget_period"], kept["markup"], kept["metadata"]) == ("month", 0.2, {"plan": "pro"})
    assert (await heddle.http.get("/v1/end-users/ann@example.com")).json() == kept
    bare = (await heddle.http.put("/v1/end-users/ann@example.com", json={})).json()
    assert (bare["budget_usd"], bare["markup"], bare["metadata"]) == (None, None, {})
    assert bare["created_at"] == kept["created_at"]


async def test_they_are_listed_by_name_in_pages(heddle: Serving) -> None:
    for name in ("carol", "ann", "bob"):
        await heddle.http.put(f"/v1/end-users/{name}", json={})
    first = (await heddle.http.get("/v1/end-users", params={"limit": 2})).json()
    assert ([row["id"] for row in first["data"]], first["has_more"]) == (["ann", "bob"], True)
    rest = await heddle.http.get("/v1/end-users", params={"limit": 2, "cursor": first["next_cursor"]})
    assert [row["id"] for row in rest.json()["data"]] == ["carol"]


async def test_a_budget_bounds_calls_at_once_and_its_refusal_tells_the_numbers(heddle: Serving) -> None:
    key = await heddle.mint(end_user_id="ann")
    headers = {"x-api-key": key["secret"]}
    assert (await heddle.http.post("/v1/messages", json=BODY, headers=headers)).status_code == 200
    await heddle.http.put("/v1/end-users/ann", json={"budget_usd": 0})
    refused = await heddle.http.post("/v1/messages", json=BODY, headers=headers)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (402, "end_user_budget_reached")
    assert error["end_user_id"] == "ann"
    assert error["spent_micros"] > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("budget_usd", -1),
        ("budget_usd", "NaN"),
        ("budget_usd", 10**12),
        ("budget_period", "decade"),
        ("markup", -0.1),
        ("markup", 11),
        ("markup", "0.12345678"),
        ("metadata", []),
        ("metadata", {"long": "x" * 20_000}),
    ],
)
async def test_a_bad_field_is_named(heddle: Serving, field: str, value: object) -> None:
    refused = await heddle.http.put("/v1/end-users/ann", content=json.dumps({field: value}))
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].split(".")[0] == field
    assert (await heddle.http.get("/v1/end-users/ann")).status_code == 404


async def test_nobody_else_sees_them(heddle: Serving) -> None:
    other = Account(id="acct_other", name="other", created_at=1)
    await heddle.app.db.write(lambda session: session.add(other.model_copy()))
    theirs = EndUsers(heddle.app.db, SystemClock())
    await theirs.put(other.id, "zoe", EndUserSettings(1, "lifetime", None, {}))
    assert (await heddle.http.get("/v1/end-users/zoe")).status_code == 404
    assert (await heddle.http.get("/v1/end-users")).json()["data"] == []
    key = await heddle.mint()
    for request in (
        heddle.http.get("/v1/end-users", headers={"x-api-key": key["secret"]}),
        heddle.http.put("/v1/end-users/ann", json={}, headers={"x-api-key": key["secret"]}),
    ):
        assert (await request).status_code == 403


async def test_a_cap_below_what_is_spent_is_refused_and_changes_nothing(heddle: Serving) -> None:
    key = await heddle.mint()
    await heddle.http.post("/v1/messages", json=BODY, headers={"x-api-key": key["secret"]})
    (event,) = await heddle.usage_events()
    assert event.cost_nanos > 0
    refused = await heddle.http.patch(f"/v1/keys/{key['id']}", json={"max_spend_usd": "0.000000001"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "max_spend_usd")
    assert (await heddle.http.get(f"/v1/keys/{key['id']}")).json()["cap_micros"] is None
    raised = await heddle.http.patch(f"/v1/keys/{key['id']}", json={"max_spend_usd": 1, "rpm": 5})
    assert (raised.status_code, raised.json()["cap_micros"], raised.json()["rpm"]) == (200, 1_000_000, 5)


async def test_limits_are_told_in_headers_and_their_refusal_says_when(heddle: Serving) -> None:
    key = await heddle.mint(rpm=2, tpm=100_000)
    headers = {"x-api-key": key["secret"]}
    first = await heddle.http.post("/v1/messages", json=BODY, headers=headers)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100_000
    await heddle.http.post("/v1/messages", json=BODY, headers=headers)
    refused = await heddle.http.post("/v1/chat/completions", json=BODY, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_requests")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert len(await heddle.usage_events()) == 2
