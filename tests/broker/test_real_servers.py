"""MCP servers that nobody here wrote: the reference `everything` server and `mcp-server-time`."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from broker.calls import ToolCall, ToolScope, ToolSelection
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_pool import McpPool
from broker.mcp_stdio import StdioServer
from kit.db import Database
from kit.outbound import OutboundPolicy
from tests.broker.mcp_peers import call_tool
from tests.broker.rig import free
from tests.broker.served_broker import ACCOUNT, Bench, bench_on
from tests.node_peers import NODE, node_modules


@pytest.fixture(scope="module")
def everything() -> Iterator[str]:
    """The npm package's Streamable HTTP server, as a process of its own."""
    entry = node_modules() / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [str(NODE), str(entry), "streamableHttp"],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, "server-everything did not start"
        import time

        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/mcp"
    process.terminate()
    process.wait(10)


async def test_the_everything_server(bench: Bench, everything: str) -> None:
    await bench.server(everything, name="everything")
    scope = ToolScope(ACCOUNT)
    toolset = await bench.broker.toolset(scope, ToolSelection("explicit", ("everything",)))
    names = {tool.display_name.partition("/")[2] for tool in toolset.tools.values()}
    assert {"echo", "get-sum", "get-tiny-image"} <= names
    assert (await bench.result("everything/echo", {"message": "hi"})).content[0]["text"] == "Echo: hi"
    total = await bench.result("everything/get-sum", {"a": 2, "b": 40})
    assert "42" in total.content[0]["text"]
    picture = await bench.result("everything/get-tiny-image")
    assert "image" in {block["type"] for block in picture.content}
    wrong = await bench.result("everything/get-sum", {"a": "x"})
    assert wrong.is_error
    many = await asyncio.gather(*(bench.result("everything/echo", {"message": str(n)}) for n in range(20)))
    assert [result.content[0]["text"] for result in many] == [f"Echo: {n}" for n in range(20)]


async def test_the_time_server_over_stdio() -> None:
    pool = McpPool(OutboundPolicy())
    caller = McpCaller(pool)
    target = McpTarget(("time", ""), stdio=StdioServer(sys.executable, ("-m", "mcp_server_time")))
    try:
        listed = await caller.list_tools(target)
        assert {"get_current_time", "convert_time"} <= {tool.name for tool in listed.tools}
        arguments = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        result = await call_tool(caller, target, "convert_time", arguments, retry_safe=True)
        assert not result.is_error
        assert "21:00" in result.content[0]["text"]
    finally:
        await pool.close()


async def test_a_server_that_the_operator_runs_is_everybodys(sqlite_db: Database) -> None:
    servers = {"time": StdioServer(sys.executable, ("-m", "mcp_server_time"))}
    async with bench_on(sqlite_db, servers) as bench:
        scope = ToolScope("any account")
        selection = ToolSelection("explicit", ("time/get_current_time",))
        toolset = await bench.broker.toolset(scope, selection)
        call = ToolCall("toolu_1", "time__get_current_time", {"timezone": "Europe/Oslo"}, created_at=7)
        result = await bench.broker.dispatch(scope, toolset, call, free())
        assert "Oslo" in str(result)
        tenant = await bench.broker.toolset(scope, ToolSelection("tenant"))
        assert set(tenant.tools) == {"time__get_current_time", "time__convert_time"}
