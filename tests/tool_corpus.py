"""Tool schemas of servers that nobody here wrote, listed live from the published packages.

They are kept in ``.cache`` under the packages' versions, so that a run lists them once and no schema of
others is copied into the repository.
"""

import asyncio
import fcntl
import hashlib
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_pool import McpPool
from broker.mcp_stdio import StdioServer
from kit.outbound import OutboundPolicy
from tests.node_peers import CACHE, HERE, NODE, node_modules

PYTHON_SERVERS = {"mcp-server-time": ("--local-timezone=UTC",), "mcp-server-git": (), "mcp-server-fetch": ()}
NODE_SERVERS: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "@modelcontextprotocol/server-everything": ("dist/index.js", (), {}),
    "@modelcontextprotocol/server-memory": ("dist/index.js", (), {}),
    "@modelcontextprotocol/server-filesystem": ("dist/index.js", ("/tmp",), {}),
    "@notionhq/notion-mcp-server": ("bin/cli.mjs", (), {"NOTION_TOKEN": "ntn_none"}),
    "@playwright/mcp": ("cli.js", ("--caps=vision,pdf,testing,tracing",), {}),
    "@upstash/context7-mcp": ("dist/index.js", (), {}),
    "@hubspot/mcp-server": ("dist/index.js", (), {"PRIVATE_APP_ACCESS_TOKEN": "pat-none"}),
    "@brave/brave-search-mcp-server": ("dist/index.js", ("--transport", "stdio"), {"BRAVE_API_KEY": "none"}),
    "firecrawl-mcp": ("dist/index.js", (), {"FIRECRAWL_API_KEY": "fc-none"}),
    "tavily-mcp": ("build/index.js", (), {"TAVILY_API_KEY": "none"}),
}
"""Each package's entry, arguments and environment; none of them needs the network to list its tools."""
SERVERS = (*PYTHON_SERVERS, *NODE_SERVERS)


@dataclass(frozen=True)
class CorpusTool:
    server: str
    name: str
    schema: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.server}/{self.name}"


def corpus() -> list[CorpusTool]:
    """Every tool of every server. Raises AssertionError naming a server that lists none, or a tool whose
    schema is refused."""
    lock = (HERE / "package-lock.json").read_bytes()
    python = "".join(f"{name}=={version(name)}\n" for name in PYTHON_SERVERS)
    ours = Path(__file__).read_bytes()
    digest = hashlib.sha256(b"\0".join((lock, python.encode(), ours))).hexdigest()
    kept = CACHE.parent / "tool_schemas" / f"{digest[:32]}.json"
    modules = node_modules()
    with (CACHE.parent / "tool_schemas.lock").open("w") as one_at_a_time:  # tests run in several processes
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not kept.exists():
            listed = asyncio.run(_list_all(modules))
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(msgspec.json.encode(listed))
    tools = msgspec.json.decode(kept.read_bytes(), type=list[CorpusTool])
    assert {tool.server for tool in tools} == set(SERVERS)
    return tools


async def _list_all(modules: Path) -> list[CorpusTool]:
    pool = McpPool(OutboundPolicy())
    caller = McpCaller(pool, call_timeout_s=90)
    try:
        listings = await asyncio.gather(*(_list(caller, modules, name) for name in SERVERS))
    finally:
        await pool.close()
    return [tool for listing in listings for tool in listing]


async def _list(caller: McpCaller, modules: Path, name: str) -> list[CorpusTool]:
    listing = await caller.list_tools(McpTarget((f"operator:{name}", ""), stdio=_command(modules, name)))
    assert listing.tools, f"{name} lists no tools"
    assert not listing.skipped, f"{name}: {listing.skipped}"
    return [CorpusTool(name, tool.name, tool.input_schema) for tool in listing.tools]


def _command(modules: Path, name: str) -> StdioServer:
    if name in PYTHON_SERVERS:
        return StdioServer(sys.executable, ("-m", name.replace("-", "_"), *PYTHON_SERVERS[name]))
    entry, args, env = NODE_SERVERS[name]
    return StdioServer(str(NODE), (str(modules / name / entry), *args), env)
