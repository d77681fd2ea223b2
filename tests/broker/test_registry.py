"""What is stored of tools and servers, on each database."""

import asyncio

import pytest
from sqlmodel import select

from broker.calls import ToolScope
from broker.models import McpServer, Tool
from broker.tenant_secret import TenantSecret
from connectors.models import Connector
from kit.brief_cache import MAX_AGE_MS
from kit.clock import ManualClock
from kit.errors import Conflict, HeddleError, NotFound
from tests.broker.mcp_peers import Toolbox, toolbox
from tests.broker.rig import ACME, Rig
from vault.models import Secret
from vault.store import SecretNotFound

OTHER = "acc_other"


async def names(rig: Rig, account: str = ACME) -> list[str]:
    return [tool.name for tool in await rig.broker.registry.all(account)]


async def test_a_name_is_taken_once_per_account(stored: Rig) -> None:
    await stored.webhook("weather", "https://example.com/hook")
    with pytest.raises(Conflict, match="there is a tool named weather already"):
        await stored.webhook("weather", "https://example.com/other")
    await stored.webhook("weather", "https://example.com/hook", account=OTHER)
    assert await names(stored) == await names(stored, OTHER) == ["weather"]


async def test_tools_and_servers_share_their_names(stored: Rig) -> None:
    async with toolbox() as box:
        await stored.server("notes", box.base_url)
        with pytest.raises(Conflict, match="an MCP server named notes"):
            await stored.webhook("notes", "https://example.com/hook")
        await stored.webhook("weather", "https://example.com/hook")
        with pytest.raises(Conflict, match="a tool named weather"):
            await stored.server("weather", box.base_url)
        with pytest.raises(Conflict):
            await stored.server("notes", box.base_url)


async def test_of_many_that_want_a_name_at_once_one_gets_it(stored: Rig) -> None:
    async with toolbox() as box:
        wishes = [stored.webhook("notes", "https://example.com/hook") for _ in range(8)]
        servers = [stored.server("notes", box.base_url) for _ in range(4)]
        ended = await asyncio.gather(*wishes, *servers, return_exceptions=True)
    assert sum(not isinstance(end, BaseException) for end in ended) == 1
    assert all(isinstance(end, Conflict) for end in ended if isinstance(end, BaseException))


async def test_renaming_claims_the_new_name(stored: Rig) -> None:
    await stored.webhook("one", "https://example.com/hook")
    await stored.webhook("two", "https://example.com/hook")
    [one, _] = await stored.broker.registry.all(ACME)
    with pytest.raises(Conflict):
        await stored.broker.registry.edit(ACME, one.id, {"name": "two"})
    await stored.broker.registry.edit(ACME, one.id, {"name": "one", "timeout_ms": 7})
    await stored.broker.registry.edit(ACME, one.id, {"name": "three"})
    assert await names(stored) == ["three", "two"]


async def test_another_accounts_tool_is_not_found(stored: Rig) -> None:
    await stored.webhook("weather", "https://example.com/hook")
    [tool] = await stored.broker.registry.all(ACME)
    registry = stored.broker.registry
    for attempt in (
        registry.get(OTHER, tool.id),
        registry.edit(OTHER, tool.id, {"timeout_ms": 1}),
        registry.delete(OTHER, tool.id),
        registry.rotate_secret(OTHER, tool.id, overlap_s=60),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await registry.get(ACME, tool.id)).timeout_ms == 5_000


async def test_secrets_are_sealed_and_go_with_their_tool(stored: Rig) -> None:
    secret = await stored.webhook("weather", "https://example.com/hook")
    [tool] = await stored.broker.registry.all(ACME)
    async with stored.db.session() as session:
        [sealed] = (await session.exec(select(Secret))).all()
    assert secret.encode() not in sealed.sealed and secret not in repr(tool)
    assert (await stored.broker.webhook_targets.recent(ACME, tool.id)).secret == secret

    rotated, _ = await stored.broker.registry.rotate_secret(ACME, tool.id, overlap_s=60)
    assert (await stored.broker.webhook_targets.recent(ACME, tool.id)).secrets == (rotated, secret)

    await stored.broker.registry.delete(ACME, tool.id)
    async with stored.db.session() as session:
        assert (await session.exec(select(Secret))).all() == []
    with pytest.raises(NotFound):
        await stored.broker.webhook_targets.recent(ACME, tool.id)


async def test_an_old_secret_is_good_for_as_long_as_was_asked_for_and_then_gone(
    stored: Rig, clock: ManualClock
) -> None:
    first = await stored.webhook("weather", "https://example.com/hook")
    registry, targets = stored.broker.registry, stored.broker.webhook_targets
    [bound_before] = await registry.all(ACME)

    second, until = await registry.rotate_secret(ACME, bound_before.id, overlap_s=3600)
    assert until == clock.now_ms() + 3_600_000
    assert (await targets.recent(ACME, bound_before.id)).secrets == (second, first)
    clock.advance(seconds=3_599)
    assert (await targets.recent(ACME, bound_before.id)).old_secret == first
    clock.advance(seconds=1)
    assert (await targets.recent(ACME, bound_before.id)).secrets == (second,)
    async with stored.db.session() as session:
        [left] = (await session.exec(select(Secret))).all()
    assert left.id == (await registry.get(ACME, bound_before.id)).secret_id

    third, _ = await registry.rotate_secret(ACME, bound_before.id, overlap_s=3600)
    fourth, _ = await registry.rotate_secret(ACME, bound_before.id, overlap_s=3600)
    assert (await targets.recent(ACME, bound_before.id)).secrets == (fourth, third)
    fifth, until = await registry.rotate_secret(ACME, bound_before.id, overlap_s=0)
    assert (await targets.recent(ACME, bound_before.id)).secrets == (fifth,) and until is None
    async with stored.db.session() as session:
        assert len((await session.exec(select(Secret))).all()) == 1


async def test_a_server_keeps_its_tools_and_seals_its_credentials(stored: Rig) -> None:
    async with toolbox(Toolbox(bearer="s3cret")) as box:
        made = await stored.server("box", box.base_url, headers={"authorization": "Bearer s3cret"})
        assert "add" in [tool.name for tool in made.tools]
        async with stored.db.session() as session:
            [sealed] = (await session.exec(select(Secret))).all()
            [server] = (await session.exec(select(McpServer))).all()
        assert b"s3cret" not in sealed.sealed and "s3cret" not in repr(server)
        await stored.broker.servers.delete(server)
    async with stored.db.session() as session:
        for table in (Secret, McpServer, Tool):
            assert (await session.exec(select(table))).all() == []
    assert await stored.broker.servers.tools(server) == []


async def test_a_server_that_cannot_be_asked_is_not_stored(stored: Rig) -> None:
    async with toolbox(Toolbox(bearer="right")) as box:
        with pytest.raises(HeddleError) as refused:
            await stored.server("box", box.base_url, headers={"authorization": "Bearer wrong"})
        assert (refused.value.status, refused.value.code) == (400, "mcp_unauthorized")
    with pytest.raises(HeddleError) as down:
        await stored.server("box", box.base_url)
    assert (down.value.status, down.value.code) == (502, "mcp_unreachable")
    assert await stored.broker.servers.store.all(ACME) == []


async def test_a_refresh_tells_what_changed(stored: Rig) -> None:
    async with toolbox() as box:
        made = await stored.server("box", box.base_url)
        port = int(box.base_url.split(":")[2].split("/")[0])
        before = {tool.name: tool.definition_sha256 for tool in made.tools}
    scope = ToolScope(ACME)
    async with toolbox(Toolbox(description="Adds two numbers.", extra=True), port=port):
        changes, _ = await stored.broker.servers.refresh(made.server, scope)
        assert (changes.added, changes.removed, changes.changed) == (["subtract"], [], ["add"])
        again, _ = await stored.broker.servers.refresh(made.server, scope)
        assert (again.added, again.removed, again.changed) == ([], [], [])
    after = {tool.name: tool.definition_sha256 for tool in await stored.broker.servers.tools(made.server)}
    assert [name for name in before if before[name] != after[name]] == ["add"]
    async with toolbox(port=port):
        changes, _ = await stored.broker.servers.refresh(made.server, scope)
        assert (changes.removed, changes.changed) == (["subtract"], ["add"])


async def test_two_discoveries_at_once_store_the_tools_once(stored: Rig) -> None:
    async with toolbox() as box:
        made = await stored.server("box", box.base_url)
        await stored.broker.servers.store.store_tools(made.server, [])
        refreshes = [stored.broker.servers.refresh(made.server, ToolScope(ACME)) for _ in range(5)]
        changes = [change for change, _ in await asyncio.gather(*refreshes)]
    assert sorted(len(change.added) for change in changes) == [0, 0, 0, 0, len(made.tools)]


async def test_a_per_user_server_is_a_connector_as_long_as_it_exists(stored: Rig) -> None:
    async with toolbox() as box:
        made = await stored.server("notes", box.base_url, auth_mode="per_user")
    async with stored.db.session() as session:
        [connector] = (await session.exec(select(Connector))).all()
    assert (connector.name, connector.server_url) == ("notes", box.base_url)
    await stored.broker.servers.delete(made.server)
    async with stored.db.session() as session:
        assert (await session.exec(select(Connector))).all() == []


async def test_a_servers_headers_are_opened_once_in_seconds_and_end_with_a_change(
    stored: Rig, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with toolbox(Toolbox(bearer="s3cret")) as box:
        made = await stored.server("box", box.base_url, headers={"authorization": "Bearer s3cret"})
        servers, before = stored.broker.servers, made.server
        opened, really = [], servers.store.credentials

        async def counted(server: McpServer) -> TenantSecret:
            opened.append(server.id)
            return await really(server)

        monkeypatch.setattr(servers.store, "credentials", counted)
        for _ in range(3):
            assert (await servers.tenant.of(before)).headers == {"authorization": "Bearer s3cret"}
        assert len(opened) == 1
        clock.advance(seconds=MAX_AGE_MS / 1000)
        await servers.tenant.of(before)
        assert len(opened) == 2
        after = await servers.edit(before, {}, {"authorization": "Bearer other"})
        assert (await servers.tenant.of(after)).headers == {"authorization": "Bearer other"}
        with pytest.raises(SecretNotFound):
            await servers.tenant.of(before)
