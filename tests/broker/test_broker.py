"""Which tools there are for whom, and calling them as the right end user."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlmodel import Session, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from broker.calls import NeedsConnection, ToolCall, ToolResult, ToolScope, ToolSelection
from broker.mcp_stdio import StdioServer
from connectors.models import Connection
from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served
from kit.clock import ManualClock
from kit.db import Database
from kit.errors import Conflict, HeddleError, InvalidRequest
from tests.broker.mcp_peers import Toolbox, toolbox
from tests.broker.rig import ACME, Rig, free, rigged
from vault.models import Secret

TIME = StdioServer(sys.executable, ("-m", "mcp_server_time", "--local-timezone=UTC"))
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@asynccontextmanager
async def echo_hook() -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
    received: list[dict[str, Any]] = []

    async def echo(request: Request) -> JSONResponse:
        received.append(await request.json())
        return JSONResponse({"output": received[-1]["input"]})

    app = Starlette(routes=[Route("/hook", echo, methods=["POST"])])
    async with served(lambda _: app) as url:
        yield received, f"{url}/hook"


@asynccontextmanager
async def notebook() -> AsyncIterator[NotebookVendor]:
    vendor = NotebookVendor("")

    async with served(vendor.build):
        yield vendor


def user(end_user_id: str | None, account: str = ACME) -> ToolScope:
    return ToolScope(account, end_user_id)


async def shown(rig: Rig, scope: ToolScope, *tools: str) -> list[str]:
    mode = "explicit" if tools else "tenant"
    toolset = await rig.broker.toolset(scope, ToolSelection(mode, tools))  # type: ignore[arg-type]
    return [tool.display_name for tool in toolset.tools.values()]


async def test_a_selection_names_tools_servers_and_ids(rig: Rig) -> None:
    await rig.webhook("weather", "https://example.com/hook")
    [tool] = await rig.broker.registry.all(ACME)
    async with toolbox() as box:
        made = await rig.server("box", box.base_url)
    everything = [f"box/{name}" for name in ("add", "count", "fail", "flood", "grow", "kinds", "slow")]
    scope = user(None)
    assert await shown(rig, scope, "weather") == await shown(rig, scope, tool.id) == ["weather"]
    assert await shown(rig, scope, "box") == await shown(rig, scope, made.server.id) == everything
    assert await shown(rig, scope, "box/add", "weather") == ["box/add", "weather"]
    assert await shown(rig, scope, f"{made.server.id}/add", "box/add") == ["box/add"]
    assert await shown(rig, scope) == [*everything, "weather"]
    assert await rig.broker.toolset(scope, ToolSelection("none")) is not None


async def test_definitions_are_safe_for_models_and_keep_their_order(rig: Rig) -> None:
    await rig.webhook("weather", "https://example.com/hook", input_schema=CITY, description="The weather.")
    async with toolbox() as box:
        await rig.server("box", box.base_url)
    selection = ToolSelection("explicit", ("weather", "box/fail", "box/add"))
    definitions = (await rig.broker.toolset(user(None), selection)).definitions
    assert [definition["name"] for definition in definitions] == ["box__add", "box__fail", "weather"]
    assert definitions[2] == {"name": "weather", "description": "The weather.", "input_schema": CITY}


@pytest.mark.parametrize("name", ["nothing", "tool_0", "box/nothing", "nothing/add", "", "/"])
async def test_an_unknown_tool_is_named(rig: Rig, name: str) -> None:
    async with toolbox() as box:
        await rig.server("box", box.base_url)
    with pytest.raises(InvalidRequest) as refused:
        await shown(rig, user(None), name)
    assert refused.value.code == "unknown_tool" and name in refused.value.message


async def test_another_accounts_tools_do_not_exist(rig: Rig) -> None:
    await rig.webhook("weather", "https://example.com/hook", account="acc_other")
    async with toolbox() as box:
        made = await rig.server("box", box.base_url, account="acc_other")
    [tool] = await rig.broker.registry.all("acc_other")
    for name in ("weather", tool.id, "box", "box/add", made.server.id, f"{made.server.id}/add"):
        with pytest.raises(InvalidRequest):
            await shown(rig, user(None), name)
    assert await shown(rig, user(None)) == []


async def test_arguments_that_do_not_fit_never_reach_the_tool(rig: Rig) -> None:
    async with echo_hook() as (received, url):
        await rig.webhook("weather", url, input_schema=CITY)
        wrong = await rig.call("weather", {"town": "Oslo"})
        assert wrong.is_error and received == []
        assert '"city" is a required property' in wrong.output["error"]
        assert "'town' was unexpected" in wrong.output["error"]
        right = await rig.call("weather", {"city": "Oslo"})
        assert (right.output, len(received)) == ({"city": "Oslo"}, 1)


async def test_a_name_that_the_model_made_up_is_answered_with_the_real_ones(rig: Rig) -> None:
    await rig.webhook("weather", "https://example.com/hook")
    toolset = await rig.broker.toolset(user(None), ToolSelection("tenant"))
    call = ToolCall("toolu_1", "whether", {}, created_at=7)
    result = await rig.broker.dispatch(user(None), toolset, call, free())
    assert isinstance(result, ToolResult) and result.is_error
    assert "no tool named whether" in result.output["error"] and "weather" in result.output["error"]


async def test_a_tool_that_was_deleted_meanwhile_is_an_error_result(rig: Rig) -> None:
    await rig.webhook("weather", "https://example.com/hook")
    async with toolbox(Toolbox(bearer="x")) as box:
        made = await rig.server("box", box.base_url, headers={"authorization": "Bearer x"})
        toolset = await rig.broker.toolset(user(None), ToolSelection("tenant"))
        [tool] = await rig.broker.registry.all(ACME)
        await rig.broker.registry.delete(ACME, tool.id)
        await rig.broker.servers.delete(made.server)
        for name in ("weather", "box__fail"):
            result = await rig.broker.dispatch(
                user(None), toolset, ToolCall("toolu_1", name, {}, created_at=7), free()
            )
            assert isinstance(result, ToolResult) and result.is_error
            assert "deleted meanwhile" in result.output["error"]


async def test_a_secret_that_was_tampered_with_is_not_used(rig: Rig) -> None:
    async with echo_hook() as (received, url):
        await rig.webhook("weather", url)

        def tamper(session: Session) -> None:
            row = session.exec(select(Secret)).one()
            row.sealed = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])
            session.add(row)

        await rig.db.write(tamper)
        result = await rig.call("weather")
    assert result.is_error and "cannot be opened" in result.output["error"] and received == []


async def test_the_developers_own_credentials_are_used_for_everybody(rig: Rig) -> None:
    async with toolbox(Toolbox(bearer="tenant-token")) as box:
        await rig.server("box", box.base_url, headers={"authorization": "Bearer tenant-token"})
        for scope in (user(None), user("ada")):
            result = await rig.call("box/add", {"a": 1, "b": 2}, scope)
            assert result.output == {"result": 3}
            assert "tenant-token" not in repr(result)
        box.bearer = "another"
        refused = await rig.call("box/add", {"a": 1, "b": 2})
    assert refused.is_error and "does not accept the configured credentials" in refused.output["error"]


async def test_each_end_user_sees_their_own_data(rig: Rig) -> None:
    async with notebook() as vendor:
        made = await rig.server("notes", f"{vendor.base_url}/mcp", auth_mode="per_user")
        assert made.tools == []

        needed = await rig.ask("notes", scope=user("u1"))
        assert isinstance(needed, NeedsConnection)
        assert needed.connector == "notes" and "/connect/" in needed.connect_url
        assert needed.connect_url not in repr(needed)

        await rig.connect("notes", "u1", vendor_user="ada")
        assert await shown(rig, user("u1"), "notes") == ["notes/add_note", "notes/list_notes"]
        await rig.connect("notes", "u2", vendor_user="bob")
        await rig.call("notes/add_note", {"text": "milk"}, user("u1"))
        await rig.call("notes/add_note", {"text": "nails"}, user("u2"))
        ada = await rig.call("notes/list_notes", {}, user("u1"))
        bob = await rig.call("notes/list_notes", {}, user("u2"))
    assert ada.content[0]["text"] == "ada has 1 notes: milk"
    assert bob.content[0]["text"] == "bob has 1 notes: nails"


async def test_tools_that_all_users_share_need_a_connection_only_when_called(rig: Rig) -> None:
    async with notebook() as vendor:
        await rig.server("notes", f"{vendor.base_url}/mcp", auth_mode="per_user", shared_tools=True)
        await rig.connect("notes", "u1", vendor_user="ada")
        await rig.call("notes/list_notes", {}, user("u1"))
        assert await shown(rig, user("u2"), "notes") == ["notes/add_note", "notes/list_notes"]
        first, second = [await rig.ask("notes/list_notes", {}, user("u2")) for _ in range(2)]
    assert isinstance(first, NeedsConnection) and isinstance(second, NeedsConnection)
    assert first.connect_url != second.connect_url


async def test_a_token_that_ran_out_is_renewed_within_the_call(rig: Rig) -> None:
    async with notebook() as vendor:
        await rig.server("notes", f"{vendor.base_url}/mcp", auth_mode="per_user")
        await rig.connect("notes", "u1", vendor_user="ada")
        await rig.call("notes/add_note", {"text": "milk"}, user("u1"))
        vendor.expire_access()
        again = await rig.call("notes/list_notes", {}, user("u1"))
        assert again.content[0]["text"] == "ada has 1 notes: milk" and vendor.refreshes == 1
        await rig.call("notes/list_notes", {}, user("u1"))
        assert vendor.refreshes == 1


async def test_a_connection_that_the_vendor_ended_must_be_made_again(rig: Rig) -> None:
    async with notebook() as vendor:
        await rig.server("notes", f"{vendor.base_url}/mcp", auth_mode="per_user")
        await rig.connect("notes", "u1", vendor_user="ada")
        await rig.connect("notes", "u2", vendor_user="bob")
        await rig.call("notes/list_notes", {}, user("u1"))
        vendor.revoke_user("ada")
        needed = await rig.ask("notes/list_notes", {}, user("u1"))
        assert isinstance(needed, NeedsConnection)
        assert not (await rig.call("notes/list_notes", {}, user("u2"))).is_error
        await rig.connect("notes", "u1", vendor_user="ada")
        assert not (await rig.call("notes/list_notes", {}, user("u1"))).is_error


async def test_without_an_end_user_a_per_user_tool_cannot_be_used(rig: Rig) -> None:
    async with notebook() as vendor:
        await rig.server("notes", f"{vendor.base_url}/mcp", auth_mode="per_user")
        with pytest.raises(InvalidRequest) as refused:
            await shown(rig, user(None), "notes")
        assert refused.value.code == "end_user_required"
        assert await shown(rig, user(None)) == []


async def test_either_acts_as_the_end_user_who_connected_and_else_as_the_developer(rig: Rig) -> None:
    async with notebook() as vendor:
        url = f"{vendor.base_url}/mcp"
        await rig.server("mine", url, auth_mode="per_user")
        await rig.connect("mine", "developer", vendor_user="boss")
        row = await rig.sessions.connections.find(ACME, "mine", "developer")
        assert row is not None
        opened = await rig.sessions.connections.opened(row.id)
        assert opened is not None
        token = opened[1]["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        await rig.server("notes", url, auth_mode="either", headers=headers)

        async def whose(end_user_id: str | None) -> str:
            result = await rig.call("notes/list_notes", {}, user(end_user_id))
            return str(result.content[0]["text"]).partition(" ")[0]

        assert [await whose(None), await whose("u1")] == ["boss", "boss"]
        await rig.connect("notes", "u1", vendor_user="ada")
        assert [await whose("u1"), await whose("u2"), await whose(None)] == ["ada", "boss", "boss"]
        vendor.revoke_user("ada")
        # Whoever has connected is not acted for with the developer's rights when that has ended.
        assert isinstance(await rig.ask("notes/list_notes", {}, user("u1")), NeedsConnection)


async def test_the_whole_account_leaves_out_what_cannot_be_used(rig: Rig) -> None:
    await rig.webhook("weather", "https://example.com/hook")
    async with notebook() as vendor:
        await rig.server("notes", f"{vendor.base_url}/mcp", auth_mode="per_user")
        assert await shown(rig, user("u1")) == ["notes/connect", "weather"]
        assert await shown(rig, user(None)) == ["weather"]
        await rig.connect("notes", "u1", vendor_user="ada")
        assert await shown(rig, user("u1")) == ["notes/add_note", "notes/list_notes", "weather"]


async def test_a_server_that_comes_under_an_old_name_gets_no_old_token(rig: Rig) -> None:
    async with notebook() as vendor:
        made = await rig.server("notes", f"{vendor.base_url}/mcp", auth_mode="per_user")
        await rig.connect("notes", "u1", vendor_user="ada")
    await rig.broker.servers.delete(made.server)
    async with toolbox() as box:
        await rig.server("notes", box.base_url, auth_mode="per_user")
        box.tokens.clear()
        needed = await rig.ask("notes/add", {"a": 1, "b": 1}, user("u1"))
        assert isinstance(needed, NeedsConnection) and box.tokens == []
    async with rig.db.session() as session:
        assert [row.status for row in (await session.exec(select(Connection))).all()] == ["expired"]


async def test_the_operators_servers_are_there_for_everybody(sqlite_db: Database, clock: ManualClock) -> None:
    servers = {"time": TIME, "broken": StdioServer("heddle-no-such-command")}
    async with rigged(sqlite_db, clock, operator_servers=servers, call_timeout_s=20) as rig:
        assert await shown(rig, user(None)) == ["time/convert_time", "time/get_current_time"]
        for account in (ACME, "acc_other"):
            result = await rig.call("time/get_current_time", {"timezone": "UTC"}, user("ada", account))
            assert "UTC" in result.content[0]["text"] and result.record["status"] == "ok"
        with pytest.raises(HeddleError) as broken:
            await shown(rig, user(None), "broken")
        assert broken.value.status == 503
        with pytest.raises(Conflict, match="of the operator"):
            await rig.webhook("time", "https://example.com/hook")


async def test_a_server_that_went_away_is_an_error_result_of_its_tools(rig: Rig) -> None:
    async with toolbox() as box:
        await rig.server("box", box.base_url)
    result = await rig.call("box/add", {"a": 1, "b": 2})
    assert result.is_error and "cannot be reached" in result.output["error"]
