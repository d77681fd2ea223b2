"""Servers of other makes: the Node.js reference server over HTTP, the PyPI time server over stdio."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]
import pytest

from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_pool import McpPool
from broker.mcp_stdio import StdioServer
from tests.broker.mcp_peers import call_tool, everything
from tests.broker.rig import LOOPBACK

TIME = McpTarget(
    ("operator:time", ""),
    stdio=StdioServer(sys.executable, ("-m", "mcp_server_time", "--local-timezone=UTC")),
)


@pytest.fixture
async def pool() -> AsyncIterator[McpPool]:
    pool = McpPool(LOOPBACK)
    yield pool
    await pool.close()


@pytest.fixture
def caller(pool: McpPool) -> McpCaller:
    return McpCaller(pool, call_timeout_s=20)


async def test_the_reference_server_over_http(caller: McpCaller) -> None:
    async with everything() as url:
        target = McpTarget(("everything", ""), url)
        listing = await caller.list_tools(target)
        names = {tool.name for tool in listing.tools}
        assert {"echo", "get-sum", "get-tiny-image", "get-structured-content"} <= names
        assert listing.skipped == []

        echo = await call_tool(caller, target, "echo", {"message": "hej"}, retry_safe=False)
        assert (echo.output, echo.is_error) == ("Echo: hej", False)
        image = await call_tool(caller, target, "get-tiny-image", {}, retry_safe=False)
        assert [block["type"] for block in image.content] == ["text", "image", "text"]
        weather = await call_tool(
            caller, target, "get-structured-content", {"location": "Chicago"}, retry_safe=False
        )
        assert set(weather.output) == {"temperature", "conditions", "humidity"}
        links = await call_tool(caller, target, "get-resource-links", {"count": 2}, retry_safe=False)
        assert sum("demo://resource" in block["text"] for block in links.content) == 2
        wrong = await call_tool(caller, target, "get-sum", {"a": "x", "b": 1}, retry_safe=False)
        assert wrong.is_error and "expected number" in wrong.content[0]["text"]


async def test_progress_of_the_reference_server(caller: McpCaller) -> None:
    told: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    async with everything() as url:
        result = await call_tool(
            caller,
            McpTarget(("everything", ""), url),
            "trigger-long-running-operation",
            {"duration": 0.4, "steps": 4},
            retry_safe=False,
            on_progress=on_progress,
        )
    assert not result.is_error and told == [1, 2, 3, 4]


async def test_a_lost_session_is_opened_again(caller: McpCaller, pool: McpPool) -> None:
    """The handshake revisions keep sessions in the server's memory; this one answers 400 to a lost one."""
    async with everything() as url:
        target = McpTarget(("everything", ""), url)
        await call_tool(caller, target, "echo", {"message": "before"}, retry_safe=False)
    async with everything(port=urlsplit(url).port or 0):
        echoes = await asyncio.gather(
            *(call_tool(caller, target, "echo", {"message": str(n)}, retry_safe=False) for n in range(4))
        )
        assert [echo.output for echo in echoes] == [f"Echo: {n}" for n in range(4)]
        assert len(pool) == 1


async def test_the_time_server_over_stdio(caller: McpCaller) -> None:
    listing = await caller.list_tools(TIME)
    assert {tool.name for tool in listing.tools} == {"get_current_time", "convert_time"}
    now = await call_tool(caller, TIME, "get_current_time", {"timezone": "Europe/Oslo"}, retry_safe=True)
    assert not now.is_error and "Europe/Oslo" in now.content[0]["text"]
    assert now.record["target"] == "stdio"


async def test_a_killed_process_is_started_again(caller: McpCaller) -> None:
    before = children()
    await caller.list_tools(TIME)
    [pid] = children() - before
    os.kill(pid, signal.SIGKILL)
    now = await call_tool(caller, TIME, "get_current_time", {"timezone": "UTC"}, retry_safe=True)
    assert not now.is_error


async def test_processes_end_with_the_pool() -> None:
    before = children()
    pool = McpPool(LOOPBACK)
    await McpCaller(pool).list_tools(TIME)
    assert len(children() - before) == 1
    await pool.close()
    assert children() <= before


async def test_a_command_that_does_not_exist_is_an_error_result(caller: McpCaller) -> None:
    missing = McpTarget(("operator:missing", ""), stdio=StdioServer("heddle-no-such-command"))
    result = await call_tool(caller, missing, "x", {}, retry_safe=True)
    assert result.is_error and "cannot be reached" in result.content[0]["text"]


def children() -> set[int]:
    return {
        process.pid
        for process in psutil.Process().children()
        if process.status() != psutil.STATUS_ZOMBIE and "mcp_server_time" in process.cmdline()
    }
