"""Tools of the operator that cost money: paid when they answered, and only then, once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.broker.mcp_peers import toolbox
from tests.priced.rig import PRICE, Shop, shop
from tests.serving import heddle

PRICE_MICROS = PRICE // 1000


@pytest.fixture
async def sqlite_shop(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(sqlite_url, tmp_path) as open_shop:
        yield open_shop


async def test_a_turn_pays_for_its_tools_and_every_report_says_so(database_url: str, tmp_path: Path) -> None:
    async with shop(database_url, tmp_path) as open_shop:
        user, key = await open_shop.heddle.mint(end_user_id="ann")
        admin = await open_shop.heddle.client()
        answer = await open_shop.turn(user, "use search__query {} and search__help {} then search__lookup {}")
        message = answer.raise_for_status().json()
        assert [call.get("cost_micros") for call in message["tool_calls"]] == [
            PRICE_MICROS,
            None,
            PRICE_MICROS,
        ]
        assert open_shop.calls[-1:] == ["lookup"] and sorted(open_shop.calls[:2]) == ["help", "query"]
        assert await open_shop.paid() == [PRICE, PRICE]

        events = (await admin.get("/v1/usage/events")).json()["data"]
        of_tools = [event for event in events if event["tool"]]
        assert {
            (event["tool"], event["model"], event["provider"], event["status"]) for event in of_tools
        } == {
            ("search/query", "", "tool", "ok"),
            ("search/lookup", "", "tool", "ok"),
        }
        assert of_tools[0]["breakdown"] == [
            {"unit": "call", "count": 1, "unit_price_usd": "0.01"},
            {"unit": "markup", "rate": "0.07"},
        ]
        assert {event["turn_id"] for event in of_tools} == {message["turn_id"]}
        spent = sum(Decimal(event["cost_usd"]) for event in events)
        turn = (await user.get(f"/v1/threads/{message['thread_id']}/turns/{message['turn_id']}")).json()
        assert turn["cost_micros"] == message["cost_micros"] == round(spent * 10**6)
        stored = (await user.get(f"/v1/threads/{message['thread_id']}/messages")).json()["data"]
        assert sum(row["cost_micros"] for row in stored) == pytest.approx(
            turn["cost_micros"], abs=len(stored)
        )
        balance = (await admin.get("/v1/billing/balance")).json()
        assert Decimal(balance["balance_usd"]) == 5 - spent

        usage = (await admin.get("/v1/usage")).json()
        assert {(row["tool"], row["cost_micros"]) for row in usage["by_tool"]} == {
            ("search/query", PRICE_MICROS),
            ("search/lookup", PRICE_MICROS),
        }
        assert usage["total_cost_micros"] == turn["cost_micros"]
        lines = (await admin.get("/v1/usage.csv")).text.splitlines()
        assert sum(",tool,,search/" in line and ",0.0107,0," in line for line in lines) == 2
        statement = (await admin.get("/v1/end-users/ann/statement")).json()
        line = next(line for line in statement["lines"] if line["tool"] == "search/query")
        unit = {"unit": "call", "count": 1, "unit_cost_usd": "0.0107", "unit_price_usd": "0.0107"}
        assert (line["calls"], line["cost_micros"], line["units"]) == (1, PRICE_MICROS, [unit])
        assert "Tool search/query" in (await admin.get("/v1/end-users/ann/statement?format=html")).text
        used = (await admin.get(f"/v1/keys/{key['id']}/usage")).json()
        assert used["cost_micros"] == turn["cost_micros"]


async def test_only_an_answer_is_paid(sqlite_shop: Shop) -> None:
    user, _ = await sqlite_shop.heddle.mint()
    told: list[tuple[object, ...]] = []
    for how in ("well", "fails", "refuses", "dies"):
        answer = (await sqlite_shop.call(user, how=how)).raise_for_status()
        assert answer.headers["x-heddle-cost-micros"] == str(answer.json()["cost_micros"])
        told.append((how, answer.json()["is_error"], answer.json()["cost_micros"]))
    assert told == [
        ("well", False, PRICE_MICROS),
        ("fails", True, PRICE_MICROS),
        ("refuses", True, 0),
        ("dies", True, 0),
    ]
    events = [(event.status, event.error_code, event.cost_nanos) for event in await sqlite_shop.events()]
    assert events == [
        ("ok", None, PRICE),
        ("error", "tool_error", PRICE),
        ("error", "rpc_error", 0),
        ("error", "broke_off", 0),
    ]
    for tool, arguments in (("search/query", {"how": "badly"}), ("search/help", {})):
        answer = (await sqlite_shop.call(user, tool, **arguments)).raise_for_status()
        assert "cost_micros" not in answer.json()
    assert sqlite_shop.calls == ["query"] * 4 + ["help"]
    assert await sqlite_shop.paid() == [PRICE, PRICE]
    assert len(await sqlite_shop.events()) == 4


async def test_prices_are_listed_with_the_accounts_markup(sqlite_shop: Shop) -> None:
    user, _ = await sqlite_shop.heddle.mint()
    listing = (await user.get("/v1/mcp-servers")).json()
    (server,) = listing["operator_servers"]
    assert (server["name"], listing["data"]) == ("search", [])
    listed = {tool["name"]: tool["price_usd"] for tool in server["tools"]}
    assert listed == {"search/query": "0.0107", "search/lookup": "0.0107", "search/help": None}


async def test_an_accounts_own_server_is_free_whatever_its_name(sqlite_url: str, tmp_path: Path) -> None:
    """Prices are those of the operator's tools, also where an account's server hides the operator's."""
    async with toolbox() as box:
        async with heddle(sqlite_url, tmp_path) as earlier:
            server = {"name": "search", "server_url": box.base_url}
            (await (await earlier.client()).post("/v1/mcp-servers", json=server)).raise_for_status()
        async with shop(sqlite_url, tmp_path) as open_shop:
            admin = await open_shop.heddle.client()
            answer = (await open_shop.call(admin, "search/add", a=2, b=3)).raise_for_status().json()
            assert answer["output"] in (5, {"result": 5})
            assert "cost_micros" not in answer
            listing = (await admin.get("/v1/mcp-servers")).json()
            assert (len(listing["data"]), listing["operator_servers"]) == (1, [])
            assert await open_shop.paid() == []


async def test_play_money_pays_for_no_tool(sqlite_shop: Shop) -> None:
    user, _ = await sqlite_shop.heddle.mint(mode="test")
    direct = await sqlite_shop.call(user)
    assert (direct.status_code, direct.json()["error"]["code"]) == (403, "live_key_required")
    message = (await sqlite_shop.turn(user, "use search__query {} and search__help {}")).json()
    told = {call["name"]: call["output"] for call in message["tool_calls"]}
    assert "in test mode it is not called" in told["search__query"]["error"]
    assert told["search__help"] == "found"
    assert sqlite_shop.calls == ["help"]
    assert await sqlite_shop.events() == []


async def test_a_turn_hears_that_a_tool_is_not_covered_and_goes_on(sqlite_shop: Shop) -> None:
    """Calls side by side do not pass the turn's budget together."""
    user, _ = await sqlite_shop.heddle.mint()
    four = " and ".join(['search__query {"after_s":0.1}'] * 4)
    message = (await sqlite_shop.turn(user, f"use {four}", max_cost_usd="0.024")).raise_for_status().json()
    assert message["status"] == "completed"
    usage = (await (await sqlite_shop.heddle.client()).get("/v1/usage")).json()
    assert message["cost_micros"] == usage["total_cost_micros"] <= 24_000
    refused = [call for call in message["tool_calls"] if call["is_error"]]
    assert len(refused) == 2
    for call in refused:
        assert "search/query was not called" in call["output"]["error"]
        assert "turn_budget_reached" in call["output"]["error"]
        assert call["dispatch"] == {"target": "search/query", "status": "turn_budget_reached"}
        assert "cost_micros" not in call
    assert sqlite_shop.calls == ["query", "query"]
    assert await sqlite_shop.paid() == [PRICE, PRICE]


async def test_the_tools_of_a_turn_do_not_count_against_the_rates_of_its_key(sqlite_shop: Shop) -> None:
    user, _ = await sqlite_shop.heddle.mint(rpm=2, max_concurrent=1)
    calls = " and ".join(["search__query {}"] * 3)
    message = (await sqlite_shop.turn(user, f"use {calls}")).raise_for_status().json()
    assert [call["is_error"] for call in message["tool_calls"]] == [False] * 3
    direct = await sqlite_shop.call(user)
    assert (direct.status_code, direct.json()["error"]["code"]) == (429, "rate_limit_requests")
    assert len(sqlite_shop.calls) == 3


async def test_exactly_what_is_afforded_is_called_and_paid(database_url: str, tmp_path: Path) -> None:
    """By a key's cap, then by an end user's budget, then by what is left in the wallet."""
    limits = {"key_cap_reached": 12, "end_user_budget_reached": 9, "wallet_empty": 15}
    credit = Decimal(sum(limits.values()) * PRICE) / 10**9
    async with shop(database_url, tmp_path, starter_credit_usd=credit) as open_shop:
        admin = await open_shop.heddle.client()
        budget = {"budget_usd": str(Decimal(limits["end_user_budget_reached"] * PRICE) / 10**9)}
        (await admin.put("/v1/end-users/ann", json=budget)).raise_for_status()
        cap = str(Decimal(limits["key_cap_reached"] * PRICE) / 10**9)
        users = {
            "key_cap_reached": await open_shop.heddle.mint(max_spend_usd=cap),
            "end_user_budget_reached": await open_shop.heddle.mint(end_user_id="ann"),
            "wallet_empty": await open_shop.heddle.mint(),
        }
        for code, (user, _) in users.items():
            answers = await asyncio.gather(*(open_shop.call(user, after_s=0.02) for _ in range(60)))
            told = [answer.json().get("error", {}).get("code") for answer in answers]
            assert Counter(told) == {None: limits[code], code: 60 - limits[code]}
        afforded = sum(limits.values())
        assert len(open_shop.calls) == afforded
        assert await open_shop.paid() == [PRICE] * afforded
        wallet = await open_shop.heddle.app.billing.wallet(await open_shop.account_id())
        assert wallet.balance_nanos == 0
