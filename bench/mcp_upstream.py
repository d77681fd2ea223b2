"""The MCP server that ``bench.mcp_dispatch`` calls: one that adds, and waits, in the official SDK.

``python -m bench.mcp_upstream`` listens on a loopback port of its own, speaks both ages of the protocol (with
sessions in the older one), and says where: ``listens on http://…``.
"""

import asyncio
import socket

import uvicorn
from mcp.server.mcpserver import MCPServer


def build() -> MCPServer:
    server = MCPServer("bench", log_level="ERROR")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    @server.tool()
    async def wait(seconds: float) -> str:
        """Waits."""
        await asyncio.sleep(seconds)
        return "waited"

    return server


def main() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        print(f"listens on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(build().streamable_http_app(), log_level="error", lifespan="on")
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
