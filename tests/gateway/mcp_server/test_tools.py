"""Tools listed and called by the official client, in both ages of the protocol."""

import pytest
from mcp.shared.exceptions import MCPError
from sqlmodel import Session, select

from broker.models import McpTool
from tests.gateway.mcp_server.rig import ERAS, Mall, client, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("era", ERAS)
async def test_tools_are_listed_with_safe_names_titles_and_hints(shared_mall: Mall, era: str) -> None:
    async with client(shared_mall, mode=era) as connected:
        tools = {tool.name: tool for tool in (await connected.list_tools()).tools}
    assert {"toolbox__add", "toolbox__count", "search__query"} <= set(tools)
    assert not any(name.startswith("notes") for name in tools)  # there is no end user
    add = tools["toolbox__add"]
    assert (add.title, add.description) == ("toolbox/add", "Adds.")
    assert add.annotations is not None and add.annotations.idempotent_hint is True
    assert tools["toolbox__slow"].annotations is not None
    assert tools["toolbox__slow"].annotations.idempotent_hint is None
    assert add.annotations.read_only_hint is True
    assert set(add.input_schema["properties"]) == {"a", "b"}


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_answers_with_content_and_structured_content(shared_mall: Mall, era: str) -> None:
    async with client(shared_mall, mode=era) as connected:
        added = await connected.call_tool("toolbox__add", {"a": 2, "b": 3})
        kinds = await connected.call_tool("toolbox__kinds", {})
        failed = await connected.call_tool("toolbox__fail", {})
        wrong = await connected.call_tool("toolbox__add", {"a": "two"})
    assert (text_of(added), added.structured_content) == ("5", {"result": 5})
    assert not added.is_error
    types = ["text", "image", "audio", "resource_link", "resource"]
    assert sorted(block.type for block in kinds.content) == sorted(types)
    assert failed.is_error and "the printer is on fire" in text_of(failed)
    assert wrong.is_error and "do not fit the tool's schema" in text_of(wrong)


async def test_what_the_developer_rules_is_listed_and_kept(shared_mall: Mall) -> None:
    """A tool that turns ask about is called destructive; one that was denied, or has drifted, is not."""
    admin, box = shared_mall.admin, shared_mall.box
    body = {"name": "ruled", "server_url": box.base_url, "auth_mode": "tenant"}
    rules = {"tools": {"deny": ["flood"], "policies": {"add": {"approval": "always"}}}}
    made = (await admin.post("/v1/mcp-servers", json={**body, **rules})).raise_for_status().json()
    async with client(shared_mall) as connected:
        tools = {tool.name: tool for tool in (await connected.list_tools()).tools}
        hints = tools["ruled__add"].annotations
        assert hints is not None and (hints.destructive_hint, hints.read_only_hint) == (True, False)
        assert "ruled__flood" not in tools and "ruled__slow" in tools
        with pytest.raises(MCPError, match="Unknown tool"):
            await connected.call_tool("ruled__flood", {"size": 3})

        def drift(session: Session) -> None:
            named = (McpTool.server_id == made["id"], McpTool.name == "slow")
            session.exec(select(McpTool).where(*named)).one().approved_sha256 = "another"

        (await admin.patch(f"/v1/mcp-servers/{made['id']}", json={"pin": True})).raise_for_status()
        await shared_mall.shop.heddle.app.db.write(drift)
        listed = await connected.list_tools(cache_mode="refresh")
        assert "ruled__slow" not in {tool.name for tool in listed.tools}
        refused = await connected.call_tool("ruled__slow", {"seconds": 0})
        assert refused.is_error and "cannot be used" in text_of(refused)
    (await admin.delete(f"/v1/mcp-servers/{made['id']}")).raise_for_status()
