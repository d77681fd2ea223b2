"""The developer's tools that a dying turn calls: two webhooks and two tools of an MCP server, of each kind
one that may be called again and one that may not."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import mcp_types
from mcp.server.mcpserver import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.loopback import served

REPEATABLE = ("loom", "mill__measure")
ONCE_ONLY = ("ship", "mill__dye")
"""As the model calls them."""
TOOLS = [*REPEATABLE, *ONCE_ONLY]
SELECTED = ["loom", "ship", "mill/measure", "mill/dye"]


@dataclass(frozen=True)
class Use:
    """A call as it arrived. ``key`` is its ``webhook-id``; MCP has none."""

    tool: str
    subject: str
    round: int
    key: str = ""


@dataclass
class Workshop:
    """``on_use`` is awaited before a webhook is answered."""

    webhook_url: str = ""
    mcp_url: str = ""
    uses: list[Use] = field(default_factory=list)
    on_use: Callable[[Use], Awaitable[None]] | None = None

    def of(self, subject: str) -> list[Use]:
        return [use for use in self.uses if use.subject == subject]

    async def register(self, admin: httpx.AsyncClient) -> None:
        for name, idempotent in (("loom", True), ("ship", False)):
            tool = {"name": name, "webhook_url": self.webhook_url, "idempotent": idempotent}
            (await admin.post("/v1/tools", json=tool)).raise_for_status()
        mill = {"name": "mill", "server_url": self.mcp_url}
        (await admin.post("/v1/mcp-servers", json=mill)).raise_for_status()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = json.loads(await request.body())
        given = body["input"]
        use = Use(body["name"], given["subject"], given["round"], request.headers["webhook-id"])
        self.uses.append(use)
        if self.on_use is not None:
            await self.on_use(use)
        await JSONResponse({"output": "done"})(scope, receive, send)

    def mill(self, _url: str) -> ASGIApp:
        server = MCPServer("mill", log_level="CRITICAL")

        @server.tool(annotations=mcp_types.ToolAnnotations(read_only_hint=True))
        def measure(subject: str, round: int) -> str:
            """Measures the cloth."""
            self.uses.append(Use("mill__measure", subject, round))
            return "done"

        @server.tool()
        def dye(subject: str, round: int) -> str:
            """Dyes the cloth."""
            self.uses.append(Use("mill__dye", subject, round))
            return "done"

        app: Any = server.streamable_http_app()
        return app  # type: ignore[no-any-return]


@asynccontextmanager
async def workshop() -> AsyncIterator[Workshop]:
    found = Workshop()
    async with (
        served(lambda _: found, lifespan=False) as webhook_url,
        served(found.mill) as mcp_url,
    ):
        found.webhook_url, found.mcp_url = webhook_url, f"{mcp_url}/mcp"
        yield found
