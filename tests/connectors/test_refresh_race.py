"""Two hundred tool calls at once meet an expired token. Its vendor rotates refresh tokens, and ends the
grant if one comes twice."""

import asyncio

import pytest

from tests.connectors.browsing import connect
from tests.connectors.conftest import ACCOUNT, Desk
from tests.connectors.leasing import Leasing, Order, Setup

CALLS = 200


@pytest.mark.timeout(240)
async def test_two_hundred_calls_of_several_processes_refresh_once_and_none_fails(desk: Desk) -> None:
    processes = 4 if desk.db.dialect == "postgresql" else 1
    vendor = await desk.vendor()
    await connect(await desk.browser(), (await desk.link()).connect_url)
    setup = Setup(
        desk.db.url.render_as_string(hide_password=False),
        ACCOUNT,
        f"{desk.url}/connect/callback",
        f"{vendor.base_url}/mcp",
    )
    workers = [Leasing(setup) for _ in range(processes)]

    async def all_call(now_ms: int) -> tuple[set[int], list[str]]:
        order = Order(CALLS // processes, now_ms)
        told = await asyncio.gather(*(worker.do(order) for worker in workers))
        assert [failure for one in told for failure in one.failures] == []
        answers = [answer for one in told for answer in one.answers]
        assert len(answers) == CALLS
        assert [answer for answer in answers if "ada has 0 notes" not in answer] == []
        return {generation for one in told for generation in one.generations}, answers

    try:
        now = desk.clock.now_ms()
        await asyncio.gather(*(worker.do(Order(1, now)) for worker in workers))  # all have it in memory
        vendor.expire_access()
        assert (await all_call(now))[0] == {2}, "all were told 401, and waited for the one refresh"
        assert (await all_call(now + 3_600_000))[0] == {3}, "none uses a token past its time"
        assert (vendor.refreshes, vendor.reuses) == (2, 0)
    finally:
        for worker in workers:
            worker.close()
