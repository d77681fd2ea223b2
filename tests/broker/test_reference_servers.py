"""Reference and vendor servers of other makes, started over stdio as an operator would; all offline."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from broker.calls import ToolResult
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_pool import McpPool
from broker.mcp_stdio import StdioServer
from tests.broker.mcp_peers import call_tool
from tests.broker.rig import LOOPBACK
from tests.node_peers import NODE, node_modules


@pytest.fixture
async def pool() -> AsyncIterator[McpPool]:
    pool = McpPool(LOOPBACK)
    yield pool
    await pool.close()


@pytest.fixture
def caller(pool: McpPool) -> McpCaller:
    return McpCaller(pool, call_timeout_s=30, list_timeout_s=30)


def node(package: str, *arguments: str, **env: str) -> McpTarget:
    """A server of the npm packages, by its entry point."""
    server = StdioServer(str(NODE), (str(node_modules() / package), *arguments), env)
    return McpTarget((f"operator:{package.split('/')[1]}", ""), stdio=server)


def module(name: str, *arguments: str) -> McpTarget:
    return McpTarget((f"operator:{name}", ""), stdio=StdioServer(sys.executable, ("-m", name, *arguments)))


async def call(caller: McpCaller, target: McpTarget, name: str, **arguments: object) -> ToolResult:
    return await call_tool(caller, target, name, arguments, retry_safe=False)


async def version_of(pool: McpPool, target: McpTarget) -> str:
    async with pool.lend(target) as connection:
        return (await connection.client({})).protocol_version


async def test_the_memory_server_remembers_over_its_own_death(
    caller: McpCaller, pool: McpPool, tmp_path: Path
) -> None:
    """A handshake-era process: killed amid its work, it is started again and answers."""
    entry = "@modelcontextprotocol/server-memory/dist/index.js"
    target = node(entry, MEMORY_FILE_PATH=str(tmp_path / "memory.json"))
    ada = {"name": "Ada", "entityType": "person", "observations": ["likes tea"]}
    assert not (await call(caller, target, "create_entities", entities=[ada])).is_error
    assert await version_of(pool, target) == "2025-11-25"
    [process] = [
        child
        for child in psutil.Process().children()
        if any("server-memory" in part for part in child.cmdline())
    ]
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    graph = await call_tool(caller, target, "read_graph", {}, retry_safe=True)
    assert graph.output["entities"] == [ada], "structured content is the output"
    wrong = await call(caller, target, "create_entities", entities=7)
    assert wrong.is_error and "array" in wrong.content[0]["text"]


async def test_the_filesystem_server_keeps_to_its_folder(caller: McpCaller, tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "shared"
    folder.mkdir()
    (folder / "note.txt").write_text("hej")
    target = node("@modelcontextprotocol/server-filesystem/dist/index.js", str(folder))
    listing = await caller.list_tools(target)
    assert {tool.name for tool in listing.tools if tool.retry_safe} >= {"read_text_file", "list_directory"}
    assert listing.skipped == []
    read = await call(caller, target, "read_text_file", path=str(folder / "note.txt"))
    assert read.content == [{"type": "text", "text": "hej"}]
    outside = await call(caller, target, "read_text_file", path="/etc/hostname")
    assert outside.is_error and outside.record["status"] == "tool_error" and outside.answered


async def test_the_git_server_speaks_the_stateless_revision(
    caller: McpCaller, pool: McpPool, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path)], check=True)
    (tmp_path / "new.txt").write_text("x")
    target = module("mcp_server_git", "--repository", str(tmp_path))
    status = await call(caller, target, "git_status", repo_path=str(tmp_path))
    assert not status.is_error and "new.txt" in status.content[0]["text"]
    assert await version_of(pool, target) == "2026-07-28"
    elsewhere = await call(caller, target, "git_status", repo_path="/")
    assert elsewhere.is_error


async def test_what_the_fetch_server_refuses_is_its_own_answer(caller: McpCaller) -> None:
    target = module("mcp_server_fetch", "--ignore-robots-txt")
    assert [tool.name for tool in (await caller.list_tools(target)).tools] == ["fetch"]
    refused = await call(caller, target, "fetch", url="http://127.0.0.1:9/page")
    assert refused.is_error and refused.answered and "127.0.0.1" in refused.content[0]["text"]


async def test_a_vendors_server_lists_its_tools_offline(caller: McpCaller) -> None:
    """Notion's: two dozen tools generated from an API description, with references within their schemas."""
    target = node("@notionhq/notion-mcp-server/bin/cli.mjs", NOTION_TOKEN="ntn_none")
    listing = await caller.list_tools(target)
    assert len(listing.tools) + len(listing.skipped) == 24
    assert "API-post-search" in {tool.name for tool in listing.tools}
    assert [skipped.name for skipped in listing.skipped] == []
