"""What goes over the wire: which age of the protocol is spoken, which headers, which trace."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.responses import Response

from broker.calls import ToolCall, ToolScope
from broker.mcp_call import McpCaller
from broker.mcp_changes import ListChanges
from broker.mcp_connection import McpTarget
from broker.mcp_pool import McpPool
from broker.trace_context import trace_of
from kit.trace_context import TraceContext
from tests.broker.mcp_peers import call_tool, toolbox
from tests.broker.rig import LOOPBACK
from tests.broker.scripted_server import MODERN, Rpc, Scripted, said, scripted

REGION = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "where": {"type": "object", "properties": {"zone": {"type": "integer", "x-mcp-header": "Zone"}}},
    },
}


@pytest.fixture
async def pool() -> AsyncIterator[McpPool]:
    pool = McpPool(LOOPBACK)
    yield pool
    await pool.close()


@pytest.fixture
def caller(pool: McpPool) -> McpCaller:
    return McpCaller(pool, call_timeout_s=5.0, list_timeout_s=5.0)


async def echo(caller: McpCaller, target: McpTarget, **options: object) -> str:
    result = await call_tool(caller, target, "echo", {}, retry_safe=False, **options)  # type: ignore[arg-type]
    return str(result.content[0]["text"])


# --- ages of the protocol ----------------------------------------------------------------------------


async def test_a_servers_age_is_asked_once_for_all_its_users(caller: McpCaller) -> None:
    async with scripted() as server:
        for user in ("ada", "bob", "cyd"):
            assert await echo(caller, server.target(user)) == "ok"
        assert server.methods() == ["server/discover", *["tools/call"] * 3]


async def test_a_server_of_before_is_not_probed_again(caller: McpCaller) -> None:
    async with scripted(Scripted(handshake=True)) as server:
        for user in ("ada", "bob"):
            assert await echo(caller, server.target(user)) == "ok"
        assert server.methods().count("server/discover") == 1
        assert server.methods().count("initialize") == 2


@pytest.mark.parametrize("before", [False, True])
async def test_a_server_that_changes_its_age_is_asked_anew(
    caller: McpCaller, pool: McpPool, before: bool
) -> None:
    """A roll-back to an older release, or an upgrade: no call is lost, none is made twice."""
    async with scripted(Scripted(handshake=before)) as server:
        assert await echo(caller, server.target("ada")) == "ok"
        server.handshake = not before
        if before:
            server.on["initialize"] = lambda rpc: rpc.error(
                -32022, "Unsupported protocol version", status=400, supported=[MODERN], requested="2025-11-25"
            )
            pool.retire_server("scripted")
        server.seen.clear()
        assert await echo(caller, server.target("bob")) == "ok"
        answered = [rpc for rpc in server.calls() if (rpc.headers["mcp-protocol-version"] < MODERN) != before]
        assert len(answered) == 1


async def test_a_call_refused_for_its_version_is_made_at_one_that_the_server_names(caller: McpCaller) -> None:
    async with scripted() as server:
        assert await echo(caller, server.target()) == "ok"

        def refuse(rpc: Rpc) -> Response:
            if rpc.headers["mcp-protocol-version"] >= MODERN:
                return rpc.error(-32022, "Unsupported protocol version", status=400, supported=["2025-11-25"])
            return rpc.result(**said("at the older one"))

        server.on["tools/call"] = server.on["server/discover"] = refuse
        server.handshake = True
        assert await echo(caller, server.target()) == "at the older one"


async def test_a_handshake_is_made_again_at_a_version_that_the_server_names(caller: McpCaller) -> None:
    async with scripted(Scripted(handshake=True)) as server:

        def picky(rpc: Rpc) -> Response:
            if rpc.params["protocolVersion"] != "2025-03-26":
                return rpc.error(
                    -32602, "Unsupported protocol version", supported=["2024-11-05", "2025-03-26"]
                )
            info = {"name": "old", "version": "1"}
            return rpc.result(protocolVersion="2025-03-26", capabilities={"tools": {}}, serverInfo=info)

        server.on["initialize"] = picky
        assert await echo(caller, server.target()) == "ok"
        assert server.calls()[0].headers["mcp-protocol-version"] == "2025-03-26"


# --- headers and trace -------------------------------------------------------------------------------


async def test_a_call_names_itself_in_headers_and_carries_its_trace(caller: McpCaller) -> None:
    call = ToolCall("toolu_1", "x", {}, created_at=1)
    began = TraceContext("a" * 32, "b" * 16, "00", "congo=t61")
    trace = trace_of(ToolScope("acc", turn_id="turn_1", trace=began), call)
    async with scripted() as server:
        await echo(caller, server.target("ada", authorization="Bearer t"), trace=trace)
        [rpc] = server.calls()
    wanted = {"mcp-method": "tools/call", "mcp-name": "echo", "authorization": "Bearer t"}
    assert wanted.items() <= rpc.headers.items() and rpc.headers["accept-encoding"] == "identity"
    sent = rpc.params["_meta"]
    assert sent["traceparent"] == trace["traceparent"] and sent["tracestate"] == "congo=t61"
    version, trace_id, span, flags = sent["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", "a" * 32, "00") and span != "b" * 16


def test_calls_of_one_turn_are_spans_of_one_trace() -> None:
    first, second = (ToolCall(f"toolu_{n}", "x", {}, created_at=1) for n in (1, 2))
    turn = ToolScope("acc", turn_id="turn_1")

    def parent(scope: ToolScope, call: ToolCall) -> str:
        (name, value), *more = trace_of(scope, call).items()
        assert name == "traceparent" and more == []
        return value

    version, trace, span, flags = parent(turn, first).split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert parent(turn, second).split("-")[1] == trace != parent(ToolScope("acc"), first).split("-")[1]
    assert parent(turn, second) != parent(turn, first) == parent(turn, first)


async def test_marked_arguments_are_mirrored_by_a_client_that_never_listed(caller: McpCaller) -> None:
    arguments = {"region": "nördlich", "where": {"zone": 7}}
    async with scripted() as server:
        await call_tool(caller, server.target(), "echo", arguments, retry_safe=False, input_schema=REGION)
        [rpc] = server.calls()
    assert rpc.headers["mcp-param-zone"] == "7"
    assert rpc.headers["mcp-param-region"] == "=?base64?bsO2cmRsaWNo?="


async def test_a_header_mismatch_lists_again_and_sends_once_more(caller: McpCaller) -> None:
    def strict(rpc: Rpc) -> Response:
        if "mcp-param-region" not in rpc.headers:
            return rpc.error(-32020, "header mismatch", status=400)
        return rpc.result(**said(rpc.headers["mcp-param-region"]), resultType="complete")

    async with scripted() as server:
        server.on["tools/call"] = strict
        server.tools = [{"name": "echo", "inputSchema": REGION}]
        stale = {"type": "object"}
        result = await call_tool(
            caller, server.target(), "echo", {"region": "eu"}, retry_safe=False, input_schema=stale
        )
        assert result.output == "eu"
        assert server.methods() == ["server/discover", "tools/call", "tools/list", "tools/call"]
        server.on["tools/call"] = lambda rpc: rpc.error(-32020, "header mismatch", status=400)
        server.seen.clear()
        never = await call_tool(caller, server.target(), "echo", {"region": "eu"}, retry_safe=False)
        assert never.is_error and "header mismatch" in never.content[0]["text"]
        assert len(server.calls()) == 2


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        ({"a": {"type": "array", "x-mcp-header": "A"}}, "integer/string/boolean"),
        ({"a": {"type": "string", "x-mcp-header": "A b"}}, "token"),
        ({n: {"type": "string", "x-mcp-header": "Same"} for n in ("a", "b")}, "duplicates"),
        ({"a": {"items": {"type": "string", "x-mcp-header": "A"}}}, "not reachable"),
    ],
)
async def test_tools_with_impossible_headers_are_left_out_and_named(
    caller: McpCaller, properties: dict[str, object], complaint: str
) -> None:
    bad = {"name": "bad", "inputSchema": {"type": "object", "properties": properties}}
    async with scripted(Scripted(tools=[bad, {"name": "good", "inputSchema": REGION}])) as server:
        listing = await caller.list_tools(server.target())
    assert [tool.name for tool in listing.tools] == ["good"]
    assert [tool.name for tool in listing.skipped] == ["bad"] and complaint in listing.skipped[0].reason


# --- lists that change -------------------------------------------------------------------------------


async def test_a_server_that_announces_changes_is_listened_to_while_it_is_used() -> None:
    heard: list[tuple[str, str]] = []
    pool = McpPool(LOOPBACK, changes=ListChanges(max_listened_to=1, listen_after_s=0))
    pool.on_change(heard.append)
    caller = McpCaller(pool, call_timeout_s=5)
    async with toolbox() as box:
        targets = [McpTarget((name, "tenant"), box.base_url) for name in ("first", "second")]
        for target in targets:
            await call_tool(caller, target, "add", {"a": 1, "b": 1}, retry_safe=True)
        async with asyncio.timeout(10):
            while "POST subscriptions/listen" not in box.methods:
                await asyncio.sleep(0.01)
            while not heard:
                await call_tool(caller, targets[0], "grow", {}, retry_safe=True)
                await asyncio.sleep(0.05)
        assert set(heard) == {("first", "tenant")}
        assert box.methods.count("POST subscriptions/listen") == 1, "more listeners than there is room for"
        await pool.close()
