"""Priced calls that are cut off: by a crash, a shutdown, a cancellation, a lease that was lost."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import col, select, update

from gateway.billing.models import Hold
from tests.priced.rig import PRICE, Shop, shop
from threads.models import ToolCallRow, Turn


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def begun(shop: Shop, user: httpx.AsyncClient, content: str) -> str:
    """Begin a turn in the background; returns its path."""
    turn = (await shop.turn(user, content, background=True)).raise_for_status().json()
    return f"/v1/threads/{turn['thread_id']}/turns/{turn['id']}"


async def ended(user: httpx.AsyncClient, path: str) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            turn: dict[str, Any] = (await user.get(path)).raise_for_status().json()
            if turn["status"] != "running":
                return turn
            await asyncio.sleep(0.02)


async def done_calls(shop: Shop) -> int:
    query = select(ToolCallRow.id).where(col(ToolCallRow.status) == "done")
    async with shop.heddle.app.db.session() as session:
        return len((await session.exec(query)).all())


async def test_after_a_crash_nothing_is_paid_twice(tmp_path: Path) -> None:
    """The database is copied as a crash would leave it: two calls are done and paid, two are under way."""
    content = (
        'use search__query {"mark":"one","after_s":0.1} and search__query {"mark":"two","after_s":0.1} '
        'and search__query {"mark":"cut","after_s":9} and search__lookup {"mark":"again","after_s":9}'
    )
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    async with shop(f"sqlite:///{before / 'heddle.db'}", before) as first:
        user, key = await first.heddle.mint()
        path = await begun(first, user, content)
        await until(lambda: len(first.calls) == 4)
        async with asyncio.timeout(5):
            while await done_calls(first) < 2:
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
        by_mark = {call["input"]["mark"]: call for call in turn["tool_calls"]}
        assert second.calls[4:] == ["lookup again"]
        costs = [by_mark[mark].get("cost_micros") for mark in ("one", "two", "cut", "again")]
        assert costs == [10_700, 10_700, None, 10_700]
        assert "unknown" in by_mark["cut"]["output"]["error"]
        assert await second.paid() == [PRICE] * 3
        spent = sum(
            -entry.amount_nanos
            for entry in await second.heddle.app.billing.ledger_page(
                await second.account_id(), limit=100, before_seq=None
            )
            if entry.amount_nanos < 0
        )
        assert turn["cost_micros"] == round(spent / 1000)


async def test_a_call_that_a_shutdown_cut_off_is_paid_by_whoever_finishes_it(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with shop(sqlite_url, tmp_path) as first:
        user, key = await first.heddle.mint()
        path = await begun(first, user, 'use search__lookup {"mark":"again","after_s":9}')
        await until(lambda: first.calls == ["lookup again"])
    async with shop(sqlite_url, tmp_path) as second:
        turn = await ended(await second.heddle.client(key["secret"]), path)
        assert (turn["status"], turn["tool_calls"][0]["cost_micros"]) == ("completed", 10_700)
        assert second.calls == ["lookup again", "lookup again"]
        assert await second.paid() == [PRICE]


async def test_whoever_cancels_a_turn_pays_for_the_call_under_way(sqlite_url: str, tmp_path: Path) -> None:
    async with shop(sqlite_url, tmp_path) as open_shop:
        user, _ = await open_shop.heddle.mint()
        path = await begun(open_shop, user, 'use search__query {"after_s":9}')
        await until(lambda: open_shop.calls == ["query"])
        turn = (await user.post(f"{path}/cancel")).json()
        assert (turn["status"], turn["tool_calls"][0]["cost_micros"]) == ("cancelled", 10_700)
        assert await open_shop.paid() == [PRICE]
        (event,) = await open_shop.events()
        assert (event.status, event.error_code) == ("cancelled", "cut_off")
        assert turn["cost_micros"] > 10_700


async def test_a_process_that_lost_its_lease_neither_records_nor_charges(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with shop(sqlite_url, tmp_path) as open_shop:
        user, _ = await open_shop.heddle.mint()
        path = await begun(open_shop, user, 'use search__query {"after_s":0.5}')
        await until(lambda: open_shop.calls == ["query"])
        taken = update(Turn).values(lease_owner="another", lease_until=2**60, attempt=Turn.attempt + 1)
        await open_shop.heddle.app.db.write(lambda session: session.exec(taken))
        async with asyncio.timeout(5):
            while not await open_shop.events():
                await asyncio.sleep(0.02)
        assert await open_shop.paid() == []
        (event,) = await open_shop.events()
        assert (event.status, event.error_code, event.cost_nanos) == ("error", "not_recorded", 0)
        (call,) = (await user.get(path)).json()["tool_calls"]
        assert (call["status"], call["output"]) == ("running", None)
