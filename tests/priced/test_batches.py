"""Priced calls within a batch of dynamic mode: each is paid for, kept and repeated by itself."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import select

from gateway.billing.models import Hold
from tests.priced.rig import PRICE, Shop, shop
from tests.priced.test_cut_off_calls import ended, until
from threads.models import ToolCallRow


def batch(*calls: tuple[str, dict[str, Any]]) -> str:
    asked = [{"name": f"search/{name}", "input": given} for name, given in calls]
    return f"use qlaud_multi_execute {json.dumps({'calls': asked})}"


async def begun(open_shop: Shop, user: httpx.AsyncClient, content: str, **fields: Any) -> str:
    """Begin a turn in dynamic mode in the background; returns its path."""
    fields = {"tools": None, "tools_mode": "dynamic", "background": True, **fields}
    turn = (await open_shop.turn(user, content, **fields)).raise_for_status().json()
    return f"/v1/threads/{turn['thread_id']}/turns/{turn['id']}"


async def kept(open_shop: Shop) -> int:
    """How many calls of a batch under way have come to something."""
    async with open_shop.heddle.app.db.session() as session:
        rows = (await session.exec(select(ToolCallRow))).all()
    return sum(len(row.content or []) for row in rows if row.status == "running")


async def test_each_call_of_a_batch_is_paid_for_and_told_of(database_url: str, tmp_path: Path) -> None:
    async with shop(database_url, tmp_path) as open_shop:
        user, _ = await open_shop.heddle.mint()
        path = await begun(
            open_shop,
            user,
            batch(("query", {}), ("help", {}), ("query", {"how": "nonsense"}), ("lookup", {"how": "fails"})),
        )
        turn = await ended(user, path)
        (call,) = turn["tool_calls"]
        results = call["output"]["results"]
        assert [(result["tool"], result["is_error"]) for result in results] == [
            ("search/query", False),
            ("search/help", False),
            ("search/query", True),
            ("search/lookup", True),
        ]
        assert "how" in results[2]["output"]["error"] and "Correct them" in results[2]["output"]["error"]
        told = [(one["tool"], one["status"]) for one in call["dispatch"]["calls"]]
        assert told == [
            ("search/query", "ok"),
            ("search/help", "ok"),
            ("search/query", "invalid_arguments"),
            ("search/lookup", "tool_error"),
        ]
        assert call["cost_micros"] == 2 * PRICE // 1000
        assert await open_shop.paid() == [PRICE, PRICE]
        spent = sum(event.cost_nanos for event in await open_shop.events())
        assert turn["cost_micros"] >= spent // 1000 == 2 * PRICE // 1000


async def test_after_a_crash_no_call_of_a_batch_is_made_or_paid_twice(tmp_path: Path) -> None:
    """The database is copied as a crash would leave it: two calls are done and paid, two are under way."""
    content = batch(
        ("query", {"mark": "one", "after_s": 0.1}),
        ("query", {"mark": "cut", "after_s": 9}),
        ("query", {"mark": "two", "after_s": 0.1}),
        ("lookup", {"mark": "again", "after_s": 9}),
    )
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    async with shop(f"sqlite:///{before / 'heddle.db'}", before) as first:
        user, key = await first.heddle.mint()
        path = await begun(first, user, content)
        await until(lambda: len(first.calls) == 4)
        async with asyncio.timeout(10):
            while await kept(first) < 2:
                await asyncio.sleep(0.01)
        with sqlite3.connect(before / "heddle.db") as live, sqlite3.connect(after / "heddle.db") as copy:
            live.backup(copy)
        after.joinpath(first.log.name).write_text(first.log.read_text())
        async with first.heddle.app.db.session() as session:
            assert len((await session.exec(select(Hold))).all()) == 2
    async with shop(f"sqlite:///{after / 'heddle.db'}", after) as second:
        user = await second.heddle.client(key["secret"])
        turn = await ended(user, path)
        assert turn["status"] == "completed"
        (call,) = turn["tool_calls"]
        assert second.calls[4:] == ["lookup again"]
        outputs = [result["output"] for result in call["output"]["results"]]
        assert (outputs[0], outputs[2], outputs[3]) == ("found", "found", "found")
        assert "unknown" in outputs[1]["error"]
        assert call["cost_micros"] == 3 * PRICE // 1000
        assert await second.paid() == [PRICE] * 3
        entries = await second.heddle.app.billing.ledger_page(
            await second.account_id(), limit=100, before_seq=None
        )
        spent = -sum(entry.amount_nanos for entry in entries if entry.amount_nanos < 0)
        assert turn["cost_micros"] == round(spent / 1000)


async def test_whoever_cancels_a_turn_pays_for_the_calls_under_way(sqlite_url: str, tmp_path: Path) -> None:
    async with shop(sqlite_url, tmp_path) as open_shop:
        user, _ = await open_shop.heddle.mint()
        path = await begun(open_shop, user, batch(("query", {"after_s": 9}), ("query", {"after_s": 9})))
        await until(lambda: open_shop.calls == ["query", "query"])
        turn = (await user.post(f"{path}/cancel")).json()
        assert (turn["status"], turn["tool_calls"][0]["cost_micros"]) == ("cancelled", 2 * PRICE // 1000)
        assert await open_shop.paid() == [PRICE, PRICE]


async def test_a_batch_stays_within_what_its_turn_may_spend(sqlite_url: str, tmp_path: Path) -> None:
    async with shop(sqlite_url, tmp_path) as open_shop:
        user, _ = await open_shop.heddle.mint()
        path = await begun(open_shop, user, batch(*[("query", {})] * 4), max_cost_usd="0.03")
        turn = await ended(user, path)
        results = turn["tool_calls"][0]["output"]["results"]
        assert sum(result["is_error"] for result in results) == 2
        refused = [result["output"]["error"] for result in results if result["is_error"]]
        assert all("turn_budget_reached" in error for error in refused)
        assert await open_shop.paid() == [PRICE, PRICE] and open_shop.calls == ["query", "query"]


async def test_a_request_pays_for_each_of_its_calls(sqlite_url: str, tmp_path: Path) -> None:
    async with shop(sqlite_url, tmp_path) as open_shop:
        user, _ = await open_shop.heddle.mint(rpm=2)
        calls = [{"tool": "search/query", "args": {}}, {"name": "search/help"}, {"name": "search/lookup"}]
        calls.append({"name": "search/query"})
        answer = await user.post("/v1/tools/execute", json={"calls": calls})
        results = answer.raise_for_status().json()["results"]
        assert [result.get("cost_micros") for result in results[:3]] == [PRICE // 1000, None, PRICE // 1000]
        assert results[3]["is_error"] and "rate_limit_requests" in results[3]["output"]["error"]
        assert await open_shop.paid() == [PRICE, PRICE]
