"""Whose tools a list shows, how long it holds, and what a 403 for want of scopes leads to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlmodel import select
from starlette.responses import Response

from broker.calls import NeedsConnection, ToolResult, ToolScope, ToolSelection
from broker.models import McpServer, McpTool
from broker.tool_lists import OwnLists
from connectors.models import ConnectSession
from gateway.demo.oauth_mcp import NotebookVendor
from kit.clock import ManualClock
from kit.errors import HeddleError
from tests.broker.mcp_peers import toolbox
from tests.broker.rig import ACME, Rig
from tests.broker.scripted_server import ECHO, Rpc, Scripted, guarded, scripted, user_of


def user(name: str | None) -> ToolScope:
    return ToolScope(ACME, name)


async def shown(rig: Rig, scope: ToolScope, *tools: str) -> list[str]:
    selection = ToolSelection("explicit" if tools else "tenant", tools)
    return [tool.display_name for tool in (await rig.broker.toolset(scope, selection)).tools.values()]


@asynccontextmanager
async def personal(rig: Rig, **listing: Any) -> AsyncIterator[tuple[Scripted, NotebookVendor]]:
    """A server that lists to each user a tool of their own; ada and bob are connected, cyd is not."""
    server = Scripted(listing=listing)
    async with guarded(server) as vendor:

        def tools(rpc: Rpc) -> Response:
            server.tools = [ECHO, {"name": f"of_{user_of(vendor, rpc.headers)}", "inputSchema": {}}]
            return server.answer(rpc)

        server.on["tools/list"] = tools
        await rig.server("personal", server.url, auth_mode="per_user")
        for name in ("ada", "bob"):
            await rig.connect("personal", name, vendor_user=name)
        yield server, vendor


async def stored_server(rig: Rig) -> McpServer:
    [server] = await rig.broker.servers.store.all(ACME)
    return server


async def test_each_end_user_sees_the_tools_listed_to_them_and_nobody_elses(rig: Rig) -> None:
    async with personal(rig) as (server, _):
        for _again in range(2):
            assert await shown(rig, user("ada"), "personal") == ["personal/echo", "personal/of_ada"]
            assert await shown(rig, user("bob")) == ["personal/echo", "personal/of_bob"]
        assert server.methods().count("tools/list") == 2, "each list is kept"
        assert await shown(rig, user("cyd")) == ["personal/connect"]
        toolset = await rig.broker.toolset(user("cyd"), ToolSelection("explicit", ("personal/of_ada",)))
        assert toolset.tools == {} and [need.connector for need in toolset.required] == ["personal"]
        with pytest.raises(HeddleError, match="personal/of_ada"):
            await shown(rig, user("bob"), "personal/of_ada")


async def test_whoever_connects_another_account_gets_that_accounts_tools(rig: Rig) -> None:
    async with personal(rig):
        assert "personal/of_ada" in await shown(rig, user("ada"))
        await rig.connect("personal", "ada", vendor_user="ada_at_work")
        assert await shown(rig, user("ada")) == ["personal/echo", "personal/of_ada_at_work"]
        [row] = await rig.connections.page(ACME, end_user_id="ada", limit=5, before=None)
        await rig.connections.disconnect(row)
        assert await shown(rig, user("ada")) == ["personal/connect"]


async def test_a_list_that_its_server_calls_public_is_everybodys(rig: Rig) -> None:
    server = Scripted(listing={"cacheScope": "public", "ttlMs": 600_000})
    async with guarded(server):
        await rig.server("same", server.url, auth_mode="per_user")
        await rig.connect("same", "ada", vendor_user="ada")
        assert await shown(rig, user("ada")) == ["same/echo"]
        assert await shown(rig, user("cyd")) == ["same/echo"]
        assert isinstance(await rig.ask("same/echo", {}, user("cyd")), NeedsConnection)
    row = await stored_server(rig)
    assert (row.tools_public, row.tools_ttl_ms) == (True, 600_000)


async def test_an_end_users_list_holds_for_its_time_and_longer_while_its_server_is_down(
    rig: Rig, clock: ManualClock
) -> None:
    async with personal(rig, ttlMs=120_000) as (server, _):
        assert len(await shown(rig, user("ada"))) == 2
        clock.advance(seconds=119)
        await shown(rig, user("ada"))
        assert server.methods().count("tools/list") == 1
        clock.advance(seconds=2)
        await shown(rig, user("ada"))
        assert server.methods().count("tools/list") == 2
        clock.advance(seconds=200)
        server.on["tools/list"] = lambda rpc: Response(status_code=500)
        assert await shown(rig, user("ada"), "personal") == ["personal/echo", "personal/of_ada"]


async def test_a_tenants_old_list_is_shown_while_it_is_asked_for_again(rig: Rig, clock: ManualClock) -> None:
    async with scripted(Scripted(listing={"ttlMs": 600_000})) as server:
        await rig.server("srv", server.url)
        server.tools = [ECHO, {"name": "newer", "inputSchema": {}}]
        clock.advance(seconds=599)
        assert await shown(rig, user(None)) == ["srv/echo"]
        assert server.methods().count("tools/list") == 1
        clock.advance(seconds=2)
        assert await shown(rig, user(None)) == ["srv/echo"]
        await until_shown(rig, ["srv/echo", "srv/newer"])
        assert server.methods().count("tools/list") == 2


async def test_a_call_of_a_tool_that_went_away_has_the_list_read_again(rig: Rig, clock: ManualClock) -> None:
    async with scripted(Scripted(listing={"ttlMs": 600_000})) as server:
        await rig.server("srv", server.url)
        server.tools = [{"name": "other", "inputSchema": {}}]
        server.on["tools/call"] = lambda rpc: rpc.error(-32602, "Unknown tool: echo")
        clock.advance(seconds=20)
        gone = await rig.call("srv/echo")
        assert gone.is_error and "Unknown tool: echo" in gone.content[0]["text"]
        await until_shown(rig, ["srv/other"])


async def until_shown(rig: Rig, wanted: list[str]) -> None:
    async with asyncio.timeout(10):
        while await shown(rig, user(None)) != wanted:
            await asyncio.sleep(0.02)


async def test_what_is_listed_without_credentials_stays_so_after_a_users_refresh(stored: Rig) -> None:
    """A user's own list must not replace the one that everybody is shown."""
    async with toolbox() as box:
        made = await stored.server("box", box.base_url, auth_mode="per_user")
        assert made.server.has_shared_tools and box.tokens.count("") == len(box.tokens)
        await stored.broker.servers.refresh(made.server, ToolScope(ACME, "ada"))
        row = await stored_server(stored)
        assert row.has_shared_tools and set(box.tokens) == {""}
        async with stored.db.session() as session:
            assert len((await session.exec(select(McpTool))).all()) == len(made.tools)


def test_kept_lists_are_bounded_and_equal_ones_are_kept_once() -> None:
    def tools(name: str) -> list[McpTool]:
        return [
            McpTool(
                id="t", account_id=ACME, server_id="s", name=name, description="d" * 1000, input_schema={},
                definition_sha256=name, created_at=1,
            )
        ]  # fmt: skip

    lists = OwnLists(max_lists=50, max_bytes=4_000)
    for number in range(100):
        lists.put(("s", f"c{number}", 1), tools("same"), ttl_ms=None, now_ms=1)
    assert len(lists) == 50
    for number in range(10):
        lists.put(("s", f"d{number}", 1), tools(f"own{number}"), ttl_ms=None, now_ms=1)
    assert len(lists) < 10 and lists.get(("s", "d9", 1)) is not None and lists.get(("s", "d0", 1)) is None
    lists.forget("s")
    assert len(lists) == 0


# --- more rights -------------------------------------------------------------------------------------


def wants_more(*scopes: str) -> Response:
    told = f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'
    return Response(status_code=403, headers={"www-authenticate": told})


async def test_a_403_for_want_of_scopes_asks_the_end_user_for_all_of_them_once(rig: Rig) -> None:
    async with personal(rig) as (server, vendor):
        await rig.call("personal/echo", {}, user("ada"))
        server.on["tools/call"] = lambda rpc: wants_more("notes:write", "notes:share")
        need = await rig.ask("personal/echo", {}, user("ada"))
        assert isinstance(need, NeedsConnection) and need.connector == "personal"
        for client in vendor.clients.values():
            client.scope = f"{client.scope} notes:write notes:share"
        asked = await rig.approve(need.connect_url, vendor_user="ada")
        assert asked == {"notes", "notes:write", "notes:share"}

        still = await rig.ask("personal/echo", {}, user("ada"))
        assert isinstance(still, ToolResult) and still.is_error, "asking again would go on for ever"
        assert "lacks a right (notes:write notes:share)" in still.content[0]["text"]
        assert still.record["status"] == "mcp_forbidden"
        del server.on["tools/call"]
        assert not (await rig.call("personal/echo", {}, user("ada"))).is_error
    async with rig.db.session() as session:
        links = (await session.exec(select(ConnectSession))).all()
    assert [link.scopes for link in links if link.scopes] == [["notes", "notes:write", "notes:share"]]


async def test_a_403_on_the_developers_own_credentials_is_an_error_result(rig: Rig) -> None:
    async with scripted() as server:
        await rig.server("srv", server.url)
        server.on["tools/call"] = lambda rpc: wants_more("admin")
        refused = await rig.call("srv/echo")
        assert refused.is_error and "lacks a right (admin)" in refused.content[0]["text"]
        server.on["tools/call"] = lambda rpc: Response(status_code=403)
        assert (await rig.call("srv/echo")).record["status"] == "403"


async def test_a_server_that_lists_only_with_more_rights_says_so(rig: Rig) -> None:
    async with scripted() as server:
        server.on["tools/list"] = lambda rpc: wants_more("tools")
        with pytest.raises(HeddleError, match="401 or 403"):
            await rig.server("srv", server.url)


async def test_listing_asks_for_more_rights_too(rig: Rig) -> None:
    async with personal(rig) as (server, _):
        server.on["tools/list"] = lambda rpc: wants_more("tools:list")
        toolset = await rig.broker.toolset(user("ada"), ToolSelection("explicit", ("personal",)))
        [need] = toolset.required
        session, _target = await rig.sessions.look_up(need.connect_url.rpartition("/")[2])
        assert session.scopes is not None and set(session.scopes) == {"notes", "tools:list"}
