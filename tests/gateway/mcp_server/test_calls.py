"""Calls under way: progress, calling them off, and what they cost."""

import asyncio
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError

from tests.gateway.mcp_server.rig import (
    ERAS,
    LEGACY,
    MODERN,
    Mall,
    client,
    mall,
    open_session,
    request,
    text_of,
    until,
)
from tests.priced.rig import PRICE

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("era", ERAS)
async def test_progress_is_passed_on(shared_mall: Mall, era: str) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with client(shared_mall, mode=era) as connected:
        result = await connected.call_tool("toolbox__count", {"to": 3}, progress_callback=on_progress)
    assert text_of(result) == "counted"
    assert told == [(1, 3, "at 1"), (2, 3, "at 2"), (3, 3, "at 3")]


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_its_client_gives_up_is_cancelled_at_the_tool(shared_mall: Mall, era: str) -> None:
    box = shared_mall.box
    called, cancelled = box.calls.count("slow"), len(box.cancelled)
    async with client(shared_mall, mode=era) as connected:
        call = asyncio.create_task(connected.call_tool("toolbox__slow", {"seconds": 60}))
        await until(lambda: box.calls.count("slow") > called)
        call.cancel()
        await until(lambda: len(box.cancelled) > cancelled)
        assert text_of(await connected.call_tool("toolbox__add", {"a": 1, "b": 1})) == "2"
    await until(lambda: len(shared_mall.shop.heddle.app.mcp.running) == 0)


async def test_a_cancellation_needs_the_session_of_the_call(shared_mall: Mall) -> None:
    """A notification with another session, even of the same key, calls nothing off."""
    mall, box = shared_mall, shared_mall.box
    called, cancelled = box.calls.count("slow"), len(box.cancelled)
    async with mall.http() as http:
        mine, other = await open_session(http), await open_session(http)
        body = request("tools/call", 7, name="toolbox__slow", arguments={"seconds": 60})
        call = asyncio.create_task(http.post("/mcp", json=body, headers=mine))
        await until(lambda: box.calls.count("slow") > called)
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        for headers in (other, {}):
            assert (await http.post("/mcp", json=cancel, headers=headers)).status_code == 202
        assert len(box.cancelled) == cancelled and not call.done()
        assert (await http.post("/mcp", json=cancel, headers=mine)).status_code == 202
        answer = await asyncio.wait_for(call, 20)
        await until(lambda: len(box.cancelled) > cancelled)
    assert "Request cancelled" in answer.text


@pytest.mark.parametrize("era", ERAS)
async def test_a_priced_call_is_charged_once_and_says_what_it_cost(shared_mall: Mall, era: str) -> None:
    before = await shared_mall.shop.paid()
    async with client(shared_mall, mode=era) as connected:
        result = await connected.call_tool("search__query", {"mark": f"paid {era}"})
    assert text_of(result) == "found"
    assert result.meta is not None and result.meta["heddle/cost_micros"] == PRICE // 1000
    assert await shared_mall.shop.paid() == [*before, PRICE]


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_not_covered_is_not_called_and_the_model_is_told(shared_mall: Mall, era: str) -> None:
    before, calls = await shared_mall.shop.paid(), len(shared_mall.shop.calls)
    key = await shared_mall.key(max_spend_usd="0.005")
    async with client(shared_mall, key, era) as connected:
        result = await connected.call_tool("search__query", {"mark": "dear"})
        free = await connected.call_tool("search__help", {"mark": "free"})
    assert result.is_error and "key_cap_reached" in text_of(result)
    assert result.structured_content["error"]["code"] == "key_cap_reached"
    assert not free.is_error
    assert len(shared_mall.shop.calls) == calls + 1
    assert await shared_mall.shop.paid() == before


@pytest.mark.parametrize("era", ERAS)
async def test_the_keys_rate_counts_priced_calls(shared_mall: Mall, era: str) -> None:
    key = await shared_mall.key(rpm=1)
    async with client(shared_mall, key, era) as connected:
        first = await connected.call_tool("search__query", {"mark": f"first {era}"})
        second = await connected.call_tool("search__query", {"mark": f"second {era}"})
    assert not first.is_error
    assert second.is_error and "rate_limit" in text_of(second)


@pytest.mark.parametrize("era", ERAS)
async def test_a_priced_call_that_is_called_off_is_paid(shared_mall: Mall, era: str) -> None:
    """It had been sent: as with a turn that is cancelled, its payer pays."""
    shop = shared_mall.shop
    before, mark = await shop.paid(), f"off-{era}"
    async with client(shared_mall, mode=era) as connected:
        arguments = {"mark": mark, "after_s": 60}
        call = asyncio.create_task(connected.call_tool("search__lookup", arguments))
        await until(lambda: f"lookup {mark}" in shop.calls)
        call.cancel()
        async with asyncio.timeout(20):
            while len(await shop.events()) <= len(before):
                await asyncio.sleep(0.05)
    assert await shop.paid() == [*before, PRICE]


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol(shared_mall: Mall) -> None:
    for era in (MODERN, LEGACY):
        async with client(shared_mall, mode=era) as connected:
            with pytest.raises(MCPError, match="Unknown tool: nothing__here"):
                await connected.call_tool("nothing__here", {})


async def test_nobody_pays_for_a_call_that_the_servers_end_broke_off(tmp_path: Path) -> None:
    async with mall(f"sqlite:///{tmp_path / 'heddle.db'}", tmp_path) as place, place.http() as http:
        arguments = {"mark": "cut", "after_s": 60}
        body = request("tools/call", 1, name="search__query", arguments=arguments)
        call = asyncio.create_task(http.post("/mcp", json=body))
        await until(lambda: "query cut" in place.shop.calls)
        await place.shop.heddle.app.mcp.close()
        await asyncio.wait({call}, timeout=20)
        assert await place.shop.paid() == []
