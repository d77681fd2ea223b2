"""Two servers on one PostgreSQL: a client may meet either with each request."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.gateway.mcp_server.rig import (
    MODERN,
    Mall,
    client,
    listening,
    mall,
    open_session,
    register,
    request,
    until,
)
from tests.priced.rig import shop


@dataclass
class Pair:
    here: Mall
    there: Mall


@pytest_asyncio.fixture
async def pair(postgres_url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
    async with mall(postgres_url, folders[0]) as here:
        (folders[1] / "vault.key").write_bytes((folders[0] / "vault.key").read_bytes())
        (folders[1] / "vault.key").chmod(0o600)
        async with shop(postgres_url, folders[1]) as other:
            yield Pair(here, Mall(other, here.box, here.notebook, await other.heddle.client(), here.stack))


async def test_sessions_cancellations_and_changes_cross_over(pair: Pair) -> None:
    here, there, box = pair.here, pair.there, pair.here.box
    async with here.http() as near, there.http() as far, client(there, mode=MODERN) as modern:
        session = await open_session(near)
        assert "toolbox__add" in (await far.post("/mcp", json=request("tools/list", 1), headers=session)).text

        body = request("tools/call", 2, name="toolbox__slow", arguments={"seconds": 60})
        call = asyncio.create_task(near.post("/mcp", json=body, headers=session))
        await until(lambda: "slow" in box.calls)
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}
        assert (await far.post("/mcp", json=cancel, headers=session)).status_code == 202
        await until(lambda: box.cancelled == ["slow"])
        assert "Request cancelled" in (await asyncio.wait_for(call, 20)).text

        async with modern.listen(tools_list_changed=True) as subscription:
            await listening(there)
            await register(here, "hook_far")
            event = await asyncio.wait_for(anext(aiter(subscription)), 20)
            assert type(event).__name__ == "ToolsListChanged"
            assert "hook_far" in {tool.name for tool in (await modern.list_tools()).tools}


@pytest.mark.parametrize("age", ["handshake", "modern"])
async def test_a_stopping_server_ends_its_streams(sqlite_url: str, tmp_path: Path, age: str) -> None:
    async with mall(sqlite_url, tmp_path) as place:
        endpoint = place.shop.heddle.app.mcp
        async with client(place, mode=MODERN if age == "modern" else "legacy") as connected:
            if age == "modern":
                async with connected.listen(tools_list_changed=True) as subscription:
                    await listening(place)
                    endpoint.stop_streams()
                    assert [event async for event in subscription] == []
            else:
                await until(lambda: len(endpoint.watch) == 1)
                endpoint.stop_streams()
            await until(lambda: len(endpoint.watch) == 0)
