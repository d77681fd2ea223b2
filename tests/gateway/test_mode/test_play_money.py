"""The play wallet: set to any amount, never overdrawn, explained by its ledger, apart from real money."""

import asyncio
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest
from sqlmodel import Session, select

from gateway.accounts.models import Account
from gateway.billing.ledger import LedgerFault, verify_account
from gateway.billing.models import Hold, Wallet
from gateway.demo.webhook import WeatherHook, build_weather_hook
from gateway.loopback import served
from kit.errors import PermissionDenied
from kit.money import Nanos
from tests.serving import Served, heddle

PATH = "/v1/billing/test-balance"


def call(text: str = "hello") -> dict[str, Any]:
    return {"model": "sim-small", "max_tokens": 20, "messages": [{"role": "user", "content": text}]}


async def a_test_admin(heddle: Served) -> httpx.AsyncClient:
    live = await heddle.client()
    key = (await live.post("/v1/keys", json={"name": "t", "mode": "test", "scope": "admin"})).json()
    return await heddle.client(key["secret"])


async def balance(client: httpx.AsyncClient) -> Decimal:
    return Decimal((await client.get("/v1/billing/balance")).json()["balance_usd"])


async def put(client: httpx.AsyncClient, amount: Any) -> httpx.Response:
    return await client.put(PATH, json={"balance_usd": amount})


async def test_a_developer_tries_an_empty_wallet(served_heddle: Served) -> None:
    live, test = await served_heddle.client(), await a_test_admin(served_heddle)
    assert [await balance(live), await balance(test)] == [5, 1000]
    assert (await test.post("/v1/messages", json=call())).status_code == 200
    assert await balance(live) == 5 and await balance(test) < 1000

    answer = await put(test, "0")
    assert (answer.status_code, answer.json()["balance_usd"], answer.json()["mode"]) == (200, "0", "test")
    refused = await test.post("/v1/messages", json=call())
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "wallet_empty")
    assert (await put(test, 0.5)).json()["balance_usd"] == "0.5"
    assert (await put(test, "0.50")).status_code == 200  # nothing changes, nothing is written
    entries = (await test.get("/v1/billing/ledger")).json()["data"]
    assert [entry["kind"] for entry in entries] == ["adjustment", "adjustment", "debit", "credit"]
    assert [entry["kind"] for entry in (await live.get("/v1/billing/ledger")).json()["data"]] == ["credit"]
    await the_ledgers_are_sound(served_heddle)


def faults_of(session: Session, account_id: str) -> list[LedgerFault]:
    return list(verify_account(session, account_id))


async def the_ledgers_are_sound(heddle: Served) -> None:
    async with heddle.app.db.session() as session:
        accounts = [wallet.account_id for wallet in (await session.exec(select(Wallet))).all()]
    assert len(accounts) == 2
    for account_id in accounts:
        assert await heddle.app.db.write(partial(faults_of, account_id=account_id)) == []


@pytest.mark.parametrize("amount", [-1, "-0.01", "NaN", "1e3", 1_000_001, "ten", None, True, "0.0000000001"])
async def test_an_amount_that_no_wallet_holds_is_refused(sqlite_heddle: Served, amount: Any) -> None:
    test = await a_test_admin(sqlite_heddle)
    answer = await put(test, amount)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "balance_usd")
    assert await balance(test) == 1000


async def test_it_is_never_set_below_what_running_calls_hold(served_heddle: Served) -> None:
    test = await a_test_admin(served_heddle)
    running = asyncio.create_task(test.post("/v1/messages", json=call("hi [sim: latency=1500ms]")))
    while not await holds(served_heddle):
        await asyncio.sleep(0.02)
    refused = await put(test, "0")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "balance_held")
    held = (await test.get("/v1/billing/balance")).json()["held_usd"]
    assert (await put(test, held)).status_code == 200
    assert (await running).status_code == 200
    assert await balance(test) >= 0
    await the_ledgers_are_sound(served_heddle)


async def holds(heddle: Served) -> list[Hold]:
    async with heddle.app.db.session() as session:
        return list((await session.exec(select(Hold))).all())


async def test_calls_and_settings_at_once_never_overdraw(served_heddle: Served) -> None:
    test = await a_test_admin(served_heddle)
    await put(test, "0.002")

    async def spend() -> int:
        return (await test.post("/v1/messages", json=call())).status_code

    async def change(amount: str) -> int:
        return (await put(test, amount)).status_code

    answers = await asyncio.gather(
        *(spend() for _ in range(40)), *(change(f"0.000{number}") for number in range(10))
    )
    assert set(answers[:40]) <= {200, 402} and 200 in answers[:40]
    assert set(answers[40:]) <= {200, 409}
    assert await balance(test) >= 0
    assert await holds(served_heddle) == []
    await the_ledgers_are_sound(served_heddle)


async def test_real_money_and_play_money_have_their_own_routes(sqlite_url: str, tmp_path: Any) -> None:
    token = "operator-token-0123"
    async with heddle(sqlite_url, tmp_path, operator_token=token) as served_here:
        live, test = await served_here.client(), await a_test_admin(served_here)
        refused = await put(live, "7")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "test_key_required")
        standard, _ = await served_here.mint(mode="test")
        assert (await put(standard, "7")).json()["error"]["code"] == "admin_required"
        for method, path in (
            ("POST", "/v1/billing/checkout"),
            ("GET", "/v1/billing/checkout/c_1"),
            ("GET", "/v1/billing/offers"),
            ("GET", "/v1/billing/subscription"),
            ("POST", "/v1/billing/portal"),
            ("GET", "/v1/billing/auto-top-up"),
            ("PUT", "/v1/billing/auto-top-up"),
            ("DELETE", "/v1/billing/auto-top-up"),
        ):
            body = {"amount_usd": 5, "threshold_usd": 1} if method in {"POST", "PUT"} else None
            answer = await test.request(method, path, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "live_key_required"), path

        async with served_here.app.db.session() as session:
            accounts = (await session.exec(select(Account))).all()
        of = {account.mode: account.id for account in accounts}
        headers = {"authorization": f"Bearer {token}", "idempotency-key": "k"}
        grant = {"account_id": of["test"], "amount_usd": 5}
        answer = await live.post("/v1/billing/credits", json=grant, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "test_account")
        with pytest.raises(PermissionDenied):
            await served_here.app.billing.set_play_balance(of["live"], Nanos(0))
        assert [await balance(live), await balance(test)] == [5, 1000]


async def test_a_turn_spends_play_money_and_its_tools_are_really_called(sqlite_heddle: Served) -> None:
    live, test = await sqlite_heddle.client(), await a_test_admin(sqlite_heddle)
    hook = WeatherHook()
    url = await sqlite_heddle.stack.enter_async_context(served(lambda _: build_weather_hook(hook)))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"name": "get_weather", "description": "Weather", "input_schema": schema}
    made = (await test.post("/v1/tools", json={**tool, "webhook_url": f"{url}/weather"})).json()
    hook.secret = made["secret"]
    thread = (await test.post("/v1/threads", json={})).json()["id"]
    turn = {"model": "sim-small", "content": 'use get_weather {"city": "Oslo"}', "tools": [made["id"]]}
    answer = (await test.post(f"/v1/threads/{thread}/messages", json=turn)).json()
    assert "snow" in answer["content"][-1]["text"] and len(hook.seen) == 1
    spent = 1_000_000 * (1000 - await balance(test))
    assert abs(spent - answer["cost_micros"]) < 1
    assert await balance(live) == 5
