"""Turns that wait for money, keep what they have done, and go on when there is some."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from gateway.billing.free_funds import FreeFunds
from kit.money import Nanos
from tests.serving import Served, heddle, read_events, types_of
from tests.threads.waiting.rig import act, ended, leaves_nothing, new_thread, post, turn_when, webhooks
from threads.funds import WAVE
from threads.model_client import Spender
from threads.models import Message, PendingAction

FOR_ONE_STEP_MICROS = 120
"""What the first step of such a turn costs, about; so what it needs and this do not cover another one."""


async def raise_cap(heddle: Served, key: dict[str, Any], usd: float) -> None:
    admin = await heddle.client()
    (await admin.patch(f"/v1/keys/{key['id']}", json={"max_spend_usd": usd})).raise_for_status()


async def test_a_parked_turn_keeps_what_it_has_done_and_goes_on_when_the_cap_is_raised(
    database_url: str, tmp_path: Path
) -> None:
    async with webhooks() as tools:
        async with heddle(database_url, tmp_path) as before:
            await tools.register(before)
            user, key = await before.mint(max_spend_usd=0)
            thread = await new_thread(user)
            fields = {"tools": ["note"], "max_tokens": 50, "background": True}
            begun = await post(user, thread, 'use note {"a":1}', **fields)
            path = f"{thread}/turns/{begun['id']}"
            (action,) = (await turn_when(user, path, "requires_action"))["actions"]
            needed = action["error"]["details"]["needed_micros"] + FOR_ONE_STEP_MICROS
            await raise_cap(before, key, needed / 1e6)
            async with asyncio.timeout(30):
                while not (parked := await turn_when(user, path, "requires_action"))["iterations"]:
                    await asyncio.sleep(0.03)
            (action,) = parked["actions"]
            assert (action["kind"], action["code"], action["default"]) == ("funds", "key_cap_reached", "fail")
            assert (parked["iterations"], parked["cost_micros"] > 0, len(tools.calls)) == (1, True, 1)
            impatient = await act(user, path, {"id": action["id"], "type": "funds"})
            assert impatient["error"] is None
            (again,) = (await turn_when(user, path, "requires_action"))["actions"]
            assert again["id"] != action["id"]  # it tried, in vain
            await leaves_nothing(before)
        async with heddle(database_url, tmp_path) as after:
            user = await after.client(key["secret"])
            await asyncio.sleep(0.1)
            assert (await user.get(path)).json()["status"] == "requires_action"
            await raise_cap(after, key, 1)
            turn = await ended(user, path)
            assert (turn["status"], turn["iterations"], len(tools.calls)) == ("completed", 2, 1)
            events = await read_events(user, "GET", f"{path}/events")
            assert types_of(events).count("message_start") == 2
            assert events[-1].get("incomplete") is None
            usage = (await user.get(f"{thread}/messages")).json()["data"]
            assert len(usage) == 4
            await leaves_nothing(after)


async def test_a_turn_fails_for_lack_of_money_unless_it_parks(sqlite_heddle: Served) -> None:
    user, key = await sqlite_heddle.mint(max_spend_usd=0)
    thread = await new_thread(user)
    body = {"model": "sim-small", "content": "hi", "background": True, "on_insufficient_funds": "fail"}
    refused = await user.post(f"{thread}/messages", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "key_cap_reached")
    parking: dict[str, Any] = {"on_insufficient_funds": "park", "action_timeout_ms": 1000}
    events = await read_events(
        user,
        "POST",
        f"{thread}/messages",
        json={"model": "sim-small", "content": "one", "stream": True, **parking},
    )
    assert types_of(events) == ["qlaud.requires_action", "qlaud.done"]
    path = f"{thread}/turns/{events[0]['turn_id']}"
    expired = await ended(user, path)
    assert (expired["status"], expired["error"]["code"]) == ("failed", "key_cap_reached")
    told = await read_events(
        user, "GET", f"{path}/events", headers={"last-event-id": str(events[-1]["__id"])}
    )
    assert types_of(told) == ["qlaud.error", "qlaud.done"]
    assert told[0]["status"] == 402
    parked = await post(user, thread, "two", on_insufficient_funds="park")
    assert parked["stop_reason"] == "requires_action"
    path = f"{thread}/turns/{parked['turn_id']}"
    denied = await act(user, path, {"id": parked["actions"][0]["id"], "type": "deny"})
    assert (denied["status"], denied["actions"]) == ("failed", [])
    over = await post(user, thread, "three", on_insufficient_funds="park", max_cost_usd="0.0000001")
    assert over["actions"][0]["code"] == "key_cap_reached"
    await raise_cap(sqlite_heddle, key, 1)
    turn = await ended(user, f"{thread}/turns/{over['turn_id']}")
    assert turn["error"]["code"] == "turn_budget_reached"  # no money of others can raise that


@pytest.mark.parametrize("way", ["credit", "budget"])
async def test_money_that_comes_by_another_process(postgres_url: str, tmp_path: Path, way: str) -> None:
    async with heddle(postgres_url, tmp_path) as one, heddle(postgres_url, tmp_path) as other:
        admin, elsewhere = await one.client(), await other.client()
        if way == "credit":
            made = await admin.post("/v1/keys", json={"name": "t", "scope": "admin", "mode": "test"})
            user = await one.client(made.raise_for_status().json()["secret"])
            owner = await other.client(made.json()["secret"])
            (await user.put("/v1/billing/test-balance", json={"balance_usd": "0"})).raise_for_status()
        else:
            user, owner = admin, elsewhere
            nothing = {"budget_usd": 0}
            (await admin.put("/v1/end-users/ada", json=nothing)).raise_for_status()
        thread = await new_thread(user, end_user_id="ada")
        parked = await post(user, thread, "hello", background=True)
        path = f"{thread}/turns/{parked['id']}"
        code = {"credit": "wallet_empty", "budget": "end_user_budget_reached"}[way]
        assert (await turn_when(user, path, "requires_action"))["actions"][0]["code"] == code
        if way == "credit":
            (await owner.put("/v1/billing/test-balance", json={"balance_usd": "5"})).raise_for_status()
        else:
            (await owner.put("/v1/end-users/ada", json={"budget_usd": 5})).raise_for_status()
        assert (await ended(owner, path))["status"] == "completed"
        for app in (one, other):
            await leaves_nothing(app)


async def test_money_for_many_turns_lets_them_go_on_in_waves(
    sqlite_heddle: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, key = await sqlite_heddle.mint(max_spend_usd=0)
    engine = sqlite_heddle.app.engine
    count = 2 * WAVE + 10
    paths = []
    for _ in range(count):
        thread = await new_thread(user)
        turn = await post(user, thread, "[sim: latency=100ms] hi", background=True)
        paths.append(f"{thread}/turns/{turn['id']}")
    asked: list[int] = []
    free = engine.funds._funds.free

    async def counted(spenders: Any) -> Any:
        asked.append(len(spenders))
        return await free(spenders)

    monkeypatch.setattr(engine.funds._funds, "free", counted)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(engine._running))
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    await raise_cap(sqlite_heddle, key, 1)
    engine.funds.money_came()
    turns = [await ended(user, path) for path in paths]
    watching.cancel()
    assert {turn["status"] for turn in turns} == {"completed"}
    assert most < count
    assert set(asked) == {1}  # once for all turns of a key
    await leaves_nothing(sqlite_heddle)


async def test_what_is_free_is_the_least_of_all_limits(served_heddle: Served, tmp_path: Path) -> None:
    app = served_heddle.app
    admin = await served_heddle.client()
    user, key = await served_heddle.mint(max_spend_usd="2", cap_period="day")
    _, without = await served_heddle.mint()
    (await admin.put("/v1/end-users/ada", json={"budget_usd": "1.5"})).raise_for_status()
    account = (await app.keys.authenticate(key["secret"])).account_id
    balance = (await app.billing.wallet(account)).balance_nanos
    mine, anybody = Spender(account, key["id"], None), Spender(account, without["id"], None)
    adas = Spender(account, key["id"], "ada")
    funds = FreeFunds(app.db, app.clock)
    free = await funds.free([mine, adas, anybody])
    assert free == {mine: 2_000_000_000, adas: 1_500_000_000, anybody: balance}
    thread = await new_thread(user, end_user_id="ada")
    cost = (await post(user, thread, "hi"))["cost_micros"]
    after = await funds.free([mine, adas])
    for spender in (mine, adas):
        assert abs(free[spender] - after[spender] - cost * 1000) <= 500
    assert await funds.free([Spender("acct_none", "key_none", None)]) == {
        Spender("acct_none", "key_none", None): Nanos(0)
    }


async def test_a_turn_that_is_not_covered_stores_one_message(sqlite_heddle: Served) -> None:
    """However often it tries, a waiting turn is one message, and asks for one thing at a time."""
    user, _ = await sqlite_heddle.mint(max_spend_usd=0)
    thread = await new_thread(user)
    turn = await post(user, thread, "hi", background=True)
    path = f"{thread}/turns/{turn['id']}"
    for _ in range(3):
        waiting = await turn_when(user, path, "requires_action")
        await act(user, path, {"id": waiting["actions"][0]["id"], "type": "funds"})
    await turn_when(user, path, "requires_action")
    async with sqlite_heddle.app.db.session() as session:
        assert len((await session.exec(select(Message))).all()) == 1
        actions = (await session.exec(select(PendingAction))).all()
    assert [action.status for action in actions].count("open") == 1
    cancelled: httpx.Response = await user.post(f"{path}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert (await user.get(f"{thread}/messages")).json()["data"][0]["content"] == "hi"
