"""A server that lists to each end user alone, to MCP clients whose user has not connected it."""

from typing import Any

import mcp_types
import pytest
import pytest_asyncio
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError

from tests.gateway.mcp_server.rig import (
    ERAS,
    LEGACY,
    MODERN,
    Mall,
    Opener,
    client,
    listening,
    text_of,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONNECT = "diary__connect"


@pytest_asyncio.fixture(loop_scope="module")
async def mall(shared_mall: Mall) -> Mall:
    servers = (await shared_mall.admin.get("/v1/mcp-servers")).json()["data"]
    if "diary" not in {server["name"] for server in servers}:
        body = {
            "name": "diary", "server_url": f"{shared_mall.notebook.base_url}/mcp", "auth_mode": "per_user",
        }  # fmt: skip
        (await shared_mall.admin.post("/v1/mcp-servers", json=body)).raise_for_status()
    return shared_mall


async def of_diary(connected: Any) -> list[str]:
    tools = (await connected.list_tools(cache_mode="refresh")).tools
    return [tool.name for tool in tools if tool.name.startswith("diary__")]


@pytest.mark.parametrize("era", ERAS)
async def test_it_is_listed_until_the_account_is_connected(mall: Mall, era: str) -> None:
    name = f"lister {era}"
    async with client(mall, await mall.key(end_user_id=name), era) as connected:
        (tool,) = [one for one in (await connected.list_tools()).tools if one.name == CONNECT]
        assert tool.title == "Connect diary" and "connect their diary account" in (tool.description or "")
        assert tool.annotations is not None and not tool.annotations.destructive_hint
        where = await connected.call_tool(CONNECT, {})
        assert where.is_error
        url = text_of(where).partition("open ")[2].partition(" ")[0]
        await mall.connect(url, "ada")
        assert await of_diary(connected) == ["diary__add_note", "diary__list_notes"]
        told = await connected.call_tool(CONNECT, {})
        assert not told.is_error and "diary__add_note, diary__list_notes" in text_of(told)


async def test_a_client_that_opens_pages_goes_on_with_the_same_call(mall: Mall) -> None:
    async def in_the_browser(url: str) -> None:
        await mall.connect(url, "eve")

    user = Opener(on_url=in_the_browser)
    key = await mall.key(end_user_id="eve")
    async with client(mall, key, MODERN, elicitation_callback=user) as connected:
        told = await connected.call_tool(CONNECT, {})
        added = await connected.call_tool("diary__add_note", {"text": "eggs"})
    assert told.structured_content == {
        "connected": True,
        "server": "diary",
        "tools": ["diary__add_note", "diary__list_notes"],
    }
    assert text_of(added) == "Noted for eve: eggs" and len(user.asked) == 1


async def test_an_older_client_that_opens_pages_is_told_by_an_error(mall: Mall) -> None:
    key = await mall.key(end_user_id="lea")
    async with client(mall, key, LEGACY, elicitation_callback=Opener()) as connected:
        with pytest.raises(MCPError) as raised:
            await connected.call_tool(CONNECT, {})
        assert raised.value.code == mcp_types.URL_ELICITATION_REQUIRED
        (asked,) = UrlElicitationRequiredError.from_error(raised.value.error).elicitations
        await mall.connect(asked.url, "lea")
        assert not (await connected.call_tool(CONNECT, {})).is_error


@pytest.mark.parametrize("era", ERAS)
async def test_clients_hear_of_the_tools_that_a_connection_brings_and_of_its_end(
    mall: Mall, era: str
) -> None:
    changes = 0

    async def hears(message: Any) -> None:
        nonlocal changes
        changes += isinstance(getattr(message, "root", message), mcp_types.ToolListChangedNotification)

    name = f"hearer {era}"
    key = await mall.key(end_user_id=name)
    async with client(mall, key, era, message_handler=hears) as connected:
        if era == MODERN:
            await stream(mall, connected, name)
            return
        await listening(mall)
        await connect_diary(mall, name)
        await until(lambda: changes == 1)
        await end_diary(mall, name)
        await until(lambda: changes == 2)
        assert await of_diary(connected) == [CONNECT]


async def stream(mall: Mall, connected: Any, name: str) -> None:
    """The same on ``subscriptions/listen``."""
    async with connected.listen(tools_list_changed=True) as changes:
        heard = aiter(changes)
        await connect_diary(mall, name)
        await anext(heard)
        assert await of_diary(connected) == ["diary__add_note", "diary__list_notes"]
        await end_diary(mall, name)
        await anext(heard)
        assert await of_diary(connected) == [CONNECT]


async def connect_diary(mall: Mall, name: str) -> None:
    body = {"connector": "diary", "end_user_id": name}
    link = (await mall.admin.post("/v1/connections/sessions", json=body)).raise_for_status().json()
    await mall.connect(link["connect_url"], name)


async def end_diary(mall: Mall, name: str) -> None:
    """The vendor has revoked the grant, and a call finds out."""
    mall.notebook.revoke_user(name)
    body = {"name": "diary/list_notes", "input": {}, "end_user_id": name}
    refused = await mall.admin.post("/v1/tools/call", json=body)
    assert refused.json()["error"]["code"] == "connection_required", refused.text


async def test_nobody_is_shown_nothing(mall: Mall) -> None:
    async with client(mall, await mall.key(), MODERN) as connected:
        assert await of_diary(connected) == []
        with pytest.raises(MCPError, match="Unknown tool"):
            await connected.call_tool(CONNECT, {})
