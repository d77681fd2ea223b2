"""Connections are kept, bounded in number, and closed when nobody needs them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget, McpUnavailable
from broker.mcp_pool import McpPool
from tests.broker.mcp_peers import Toolbox, call_tool, toolbox
from tests.broker.rig import LOOPBACK


@asynccontextmanager
async def pooled(
    *, max_connections: int = 500, idle_s: float = 300
) -> AsyncIterator[tuple[McpPool, McpCaller]]:
    pool = McpPool(LOOPBACK, max_connections=max_connections, idle_s=idle_s)
    try:
        yield pool, McpCaller(pool, call_timeout_s=5)
    finally:
        await pool.close()


def at(box: Toolbox, credential: str) -> McpTarget:
    return McpTarget(("server", credential), box.base_url, {"authorization": f"Bearer {credential}"})


async def add(caller: McpCaller, target: McpTarget) -> None:
    assert not (await call_tool(caller, target, "add", {"a": 1, "b": 1}, retry_safe=True)).is_error


async def test_the_least_recently_used_makes_room() -> None:
    async with toolbox() as box, pooled(max_connections=2) as (pool, caller):
        for user in ("ada", "bob", "ada", "cyd"):
            await add(caller, at(box, user))
        assert len(pool) == 2
        async with pool.lend(at(box, "ada")) as kept, pool.lend(at(box, "cyd")) as newest:
            assert kept.calls == 2 and newest.calls == 1
        await add(caller, at(box, "bob"))
        async with pool.lend(at(box, "bob")) as again:
            assert again.calls == 1 and len(pool) == 2


async def test_a_connection_in_use_does_not_make_room() -> None:
    async with toolbox() as box, pooled(max_connections=1) as (pool, caller):
        slow = asyncio.create_task(
            call_tool(caller, at(box, "ada"), "slow", {"seconds": 0.3}, retry_safe=False)
        )
        while not box.calls:
            await asyncio.sleep(0.01)
        with pytest.raises(McpUnavailable, match="too many"):
            async with pool.lend(at(box, "bob")):
                pass
        refused = await call_tool(caller, at(box, "bob"), "add", {"a": 1, "b": 1}, retry_safe=True)
        assert refused.is_error
        assert (await slow).output == {"result": "done"}


async def test_an_account_takes_only_its_own_places() -> None:
    def of(account: str, user: str) -> McpTarget:
        return McpTarget(("server", f"{account}-{user}"), box.base_url, account_id=account)

    pool = McpPool(LOOPBACK, max_connections=10, max_per_account=2)
    caller = McpCaller(pool, call_timeout_s=20)
    async with toolbox() as box:
        for target in (of("acme", "ada"), of("zeta", "zoe"), of("acme", "bob"), of("acme", "cyd")):
            await add(caller, target)
        assert len(pool) == 3
        async with pool.lend(of("zeta", "zoe")) as kept, pool.lend(of("acme", "ada")) as opened_again:
            assert kept.calls == 1 and opened_again.calls == 0
            async with pool.lend(of("acme", "bob")):
                with pytest.raises(McpUnavailable, match="this account has too many"):
                    async with pool.lend(of("acme", "dan")):
                        pass
        await pool.close()


async def test_idle_connections_are_closed_and_busy_ones_kept() -> None:
    async with toolbox() as box, pooled(idle_s=0) as (pool, caller):
        await add(caller, at(box, "ada"))
        slow = asyncio.create_task(
            call_tool(caller, at(box, "bob"), "slow", {"seconds": 0.3}, retry_safe=False)
        )
        while "slow" not in box.calls:
            await asyncio.sleep(0.01)
        pool.sweep()
        assert len(pool) == 1
        assert (await slow).output == {"result": "done"}


async def test_a_retired_connection_is_closed_after_its_last_call() -> None:
    async with toolbox() as box, pooled() as (pool, caller):
        slow = asyncio.create_task(
            call_tool(caller, at(box, "ada"), "slow", {"seconds": 0.3}, retry_safe=False)
        )
        while not box.calls:
            await asyncio.sleep(0.01)
        pool.retire_server("server")
        assert len(pool) == 0
        assert (await slow).output == {"result": "done"}
        await add(caller, at(box, "ada"))
        async with pool.lend(at(box, "ada")) as fresh:
            assert fresh.calls == 1


async def test_closing_the_pool_ends_calls_that_run() -> None:
    async with toolbox() as box, pooled() as (pool, caller):
        slow = asyncio.create_task(
            call_tool(caller, at(box, "ada"), "slow", {"seconds": 30}, retry_safe=False)
        )
        while not box.calls:
            await asyncio.sleep(0.01)
        await pool.close()
        assert (await asyncio.wait_for(slow, 5)).is_error


async def test_credentials_are_in_no_repr() -> None:
    async with toolbox() as box, pooled() as (pool, _):
        target = at(box, "s3cret")
        async with pool.lend(target) as connection:
            client = await connection.client(target.headers)
            assert "s3cret" not in f"{target!r}".replace("'server', 's3cret'", "")
            assert "Bearer" not in f"{connection!r}{connection.__dict__!r}{client!r}"
