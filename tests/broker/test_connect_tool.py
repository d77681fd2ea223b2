"""Before an end user has connected a server that lists to each user, a tool to connect it stands for it."""

from typing import Any

import pytest

from broker.calls import NeedsConnection, Outcome, ToolCall, ToolResult, ToolScope, ToolSelection
from broker.connect_tool import connect_tool
from broker.models import McpServer
from broker.names import MODEL_NAME
from broker.server_store import EITHER, PER_USER, TENANT, NewServer
from broker.toolset import Toolset
from connectors.catalog import Catalog
from gateway.demo.oauth_mcp import NotebookVendor
from kit.ids import new_id
from tests.broker.rig import ACME, Rig, free
from tests.broker.scripted_server import ECHO, Scripted, guarded, said

EVERYTHING = ToolSelection("tenant")
OWN_CONNECT = {"name": "connect", "description": "Dials a number", "inputSchema": {"type": "object"}}
SAFE = "personal__connect"


def user(name: str | None) -> ToolScope:
    return ToolScope(ACME, name)


async def toolset(rig: Rig, name: str | None) -> Toolset:
    return await rig.broker.toolset(user(name), EVERYTHING)


async def call(rig: Rig, name: str, tool: str, **arguments: Any) -> Outcome:
    """A call by the model-safe name, in the toolset of this moment."""
    tools = await toolset(rig, name)
    made = ToolCall(new_id("call"), tool, arguments, created_at=7)
    return await rig.broker.dispatch(user(name), tools, made, free())


async def personal(rig: Rig, server: Scripted, **rules: Any) -> None:
    policy: dict[str, Any] = {"tool_rules": rules} if rules else {}
    await rig.broker.servers.create(ACME, NewServer("personal", server.url, PER_USER, policy=policy))


async def test_who_has_not_connected_is_shown_how_to_and_then_the_tools(rig: Rig) -> None:
    server = Scripted()
    async with guarded(server):
        await personal(rig, server)
        before = await toolset(rig, "ada")
        [definition] = before.definitions
        assert definition["name"] == SAFE and "connect their personal account" in definition["description"]
        assert definition["input_schema"] == {
            "type": "object", "properties": {}, "additionalProperties": False,
        }  # fmt: skip
        need = await call(rig, "ada", SAFE)
        assert isinstance(need, NeedsConnection)
        assert (need.connector, need.display_name) == ("personal", "personal")
        await rig.approve(need.connect_url, vendor_user="ada")

        after = await toolset(rig, "ada")
        assert list(after.tools) == ["personal__echo"]
        told = await call(rig, "ada", SAFE)
        assert isinstance(told, ToolResult) and not told.is_error
        assert told.output == {"connected": True, "server": "personal", "tools": ["personal__echo"]}
        assert "personal__echo" in told.content[0]["text"]
        assert told.record["untrusted"] is True, "a server chooses the names of its tools"
        assert server.methods().count("tools/call") == 0


async def test_without_an_end_user_there_is_nobody_to_connect(rig: Rig) -> None:
    server = Scripted()
    async with guarded(server):
        await personal(rig, server)
        nobody = await toolset(rig, None)
        assert nobody.tools == {} and nobody.answered == {}


async def test_a_connection_that_has_ended_is_to_be_made_again(rig: Rig) -> None:
    server = Scripted()
    async with guarded(server) as vendor:
        await personal(rig, server)
        await rig.connect("personal", "ada", vendor_user="ada")
        assert list((await toolset(rig, "ada")).tools) == ["personal__echo"]
        await end_connection(rig, vendor)
        assert list((await toolset(rig, "ada")).tools) == [SAFE]
        need = await call(rig, "ada", SAFE)
        assert isinstance(need, NeedsConnection)
        await rig.approve(need.connect_url, vendor_user="ada")
        assert list((await toolset(rig, "ada")).tools) == ["personal__echo"]


async def end_connection(rig: Rig, vendor: NotebookVendor) -> None:
    """The vendor has revoked the grant, and a call found out."""
    vendor.revoke_user("ada")
    need = await call(rig, "ada", "personal__echo")
    assert isinstance(need, NeedsConnection)


async def test_a_call_made_before_the_connection_never_reaches_a_tool_that_is_called_so(rig: Rig) -> None:
    server = Scripted(tools=[ECHO, OWN_CONNECT])
    server.on["tools/call"] = lambda rpc: rpc.result(**said("dialled"), resultType="complete")
    async with guarded(server):
        await personal(rig, server)
        await rig.connect("personal", "ada", vendor_user="ada")
        tools = await toolset(rig, "ada")
        [own] = [name for name, tool in tools.tools.items() if tool.display_name == "personal/connect"]
        assert own != SAFE and MODEL_NAME.fullmatch(own)
        told = await call(rig, "ada", SAFE)
        assert isinstance(told, ToolResult) and told.output["tools"] == [own, "personal__echo"]
        assert server.methods().count("tools/call") == 0
        dialled = await call(rig, "ada", own)
        assert isinstance(dialled, ToolResult) and dialled.output == "dialled"
        assert (await rig.call("personal/connect", {}, user("ada"))).output == "dialled"


async def test_its_name_does_not_take_anothers(rig: Rig) -> None:
    server = Scripted()
    async with guarded(server):
        await rig.webhook(SAFE, "https://example.com/hook")
        await personal(rig, server)
        tools = await toolset(rig, "ada")
        assert tools.tools[SAFE].display_name == SAFE
        [other] = set(tools.tools) - {SAFE}
        assert tools.tools[other].display_name == "personal/connect" and MODEL_NAME.fullmatch(other)
        await rig.connect("personal", "ada", vendor_user="ada")
        connected = await toolset(rig, "ada")
        assert connected.tools[SAFE].display_name == SAFE and list(connected.answered) == [other]


@pytest.mark.parametrize(
    ("rules", "shown"),
    [
        ({}, True),
        ({"allow": ["echo"]}, True),
        ({"allow": []}, False),
        ({"deny": ["connect"]}, False),
        ({"deny": ["*"]}, False),
        ({"allow": ["connect"], "deny": ["con*"]}, False),
    ],
)
async def test_what_the_developer_denies_is_not_shown(rig: Rig, rules: dict[str, Any], shown: bool) -> None:
    server = Scripted()
    async with guarded(server):
        await personal(rig, server, **rules)
        assert list((await toolset(rig, "ada")).tools) == ([SAFE] if shown else [])
        if not shown:
            gone = await call(rig, "ada", SAFE)
            assert isinstance(gone, ToolResult) and gone.is_error and "no tool named" in str(gone.output)


async def test_only_tools_that_the_rules_allow_are_named_afterwards(rig: Rig) -> None:
    server = Scripted(tools=[ECHO, {"name": "erase", "inputSchema": {"type": "object"}}])
    async with guarded(server):
        await personal(rig, server, allow=["echo"])
        await rig.connect("personal", "ada", vendor_user="ada")
        told = await call(rig, "ada", SAFE)
        assert isinstance(told, ToolResult) and told.output["tools"] == ["personal__echo"]


async def test_arguments_are_refused_and_a_server_that_is_down_says_so(rig: Rig) -> None:
    server = Scripted()
    async with guarded(server):
        await personal(rig, server)
        wrong = await call(rig, "ada", SAFE, account="mine")
        assert isinstance(wrong, ToolResult) and wrong.is_error and "account" in str(wrong.output)
        await rig.connect("personal", "ada", vendor_user="ada")
        server.on["tools/list"] = lambda rpc: rpc.error(-32603, "out of order")
        down = await call(rig, "ada", SAFE)
        assert isinstance(down, ToolResult) and down.is_error and "could not be asked" in str(down.output)


async def test_it_may_be_named_too(rig: Rig) -> None:
    server = Scripted()
    async with guarded(server):
        await personal(rig, server)
        need = await rig.ask("personal/connect", {}, user("ada"))
        assert isinstance(need, NeedsConnection)
        await rig.approve(need.connect_url, vendor_user="ada")
        assert (await rig.call("personal/connect", {}, user("ada"))).output["tools"] == ["personal__echo"]


async def test_tools_that_all_share_are_shown_instead_and_the_call_still_asks(rig: Rig) -> None:
    server = Scripted()
    async with guarded(server):
        await rig.server("personal", server.url, auth_mode=PER_USER, shared_tools=True)
        assert list((await toolset(rig, "ada")).tools) == [SAFE], "nobody has seen them yet"
        await rig.connect("personal", "bob", vendor_user="bob")
        assert list((await toolset(rig, "bob")).tools) == ["personal__echo"]
        assert list((await toolset(rig, "ada")).tools) == ["personal__echo"]
        assert isinstance(await call(rig, "ada", SAFE), NeedsConnection)


def test_the_catalogue_says_what_connecting_gives(rig: Rig) -> None:
    entry = Catalog.load().get("notion")
    assert entry is not None
    server = _row(PER_USER)
    tool = connect_tool(rig.broker.servers, server, entry)
    assert tool is not None
    assert "Notion account (documents)" in tool.description and tool.details["title"] == "Connect Notion"
    assert connect_tool(rig.broker.servers, _row(TENANT), entry) is None
    assert connect_tool(rig.broker.servers, _row(EITHER), entry) is not None


def test_the_servers_approval_holds_for_it_unless_its_own_policy_says_otherwise(rig: Rig) -> None:
    def approval(**columns: Any) -> str:
        tool = connect_tool(rig.broker.servers, _row(PER_USER, **columns), None)
        assert tool is not None
        return tool.approval

    own = {"policies": {"connect": {"approval": "never"}}}
    assert approval() == "never"
    assert approval(approval="always") == "always"
    assert approval(approval="always", tool_rules=own) == "never"


def _row(auth_mode: str, **columns: Any) -> McpServer:
    columns = {"tool_rules": {}, **columns}
    return McpServer(
        id="mcp_1", account_id=ACME, name="wiki", server_url="https://x.test/mcp", auth_mode=auth_mode,
        created_at=1, updated_at=1, **columns,
    )  # fmt: skip
