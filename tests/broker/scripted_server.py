"""An MCP server that does what a test tells it, down to the bytes: for rules on the wire, and hostility."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.mcp_connection import McpTarget
from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served

MODERN, NEWEST_HANDSHAKE = "2026-07-28", "2025-11-25"
ECHO = {"name": "echo", "inputSchema": {"type": "object"}}


@dataclass
class Rpc:
    """One message that came."""

    http: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def method(self) -> str:
        return str(self.body.get("method", ""))

    @property
    def params(self) -> dict[str, Any]:
        return self.body.get("params") or {}

    def result(self, **fields: Any) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": self.body.get("id"), "result": fields})

    def error(self, code: int, message: str, *, status: int = 200, **data: Any) -> Response:
        error = {"code": code, "message": message, "data": data}
        return JSONResponse({"jsonrpc": "2.0", "id": self.body.get("id"), "error": error}, status)


Handler = Callable[[Rpc], Response]


@dataclass
class Scripted:
    """``on`` replaces what is answered to a method; ``handshake`` makes it a server of before 2026-07-28."""

    handshake: bool = False
    tools: list[dict[str, Any]] = field(default_factory=lambda: [ECHO])
    listing: dict[str, Any] = field(default_factory=dict)
    capabilities: dict[str, Any] = field(default_factory=lambda: {"tools": {}})
    on: dict[str, Handler] = field(default_factory=dict)
    seen: list[Rpc] = field(default_factory=list)
    url: str = ""

    def target(self, credential: str = "", **headers: str) -> McpTarget:
        return McpTarget(("scripted", credential), self.url, headers)

    def methods(self) -> list[str]:
        return [rpc.method or rpc.http for rpc in self.seen]

    def calls(self) -> list[Rpc]:
        return [rpc for rpc in self.seen if rpc.method == "tools/call"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        raw = await request.body()
        rpc = Rpc(request.method, dict(request.headers), json.loads(raw) if raw else {})
        self.seen.append(rpc)
        handler = self.on.get(rpc.method or rpc.http, self.answer)
        await handler(rpc)(scope, receive, send)

    def answer(self, rpc: Rpc) -> Response:
        if rpc.http != "POST":
            return Response(status_code=405)
        if rpc.method.startswith("notifications/"):
            return Response(status_code=202)
        if self.handshake and rpc.headers.get("mcp-protocol-version", "") >= "2026":
            return rpc.error(-32000, "Bad Request: no session", status=400)
        if rpc.method == "server/discover":
            return rpc.result(
                supportedVersions=[MODERN],
                capabilities=self.capabilities,
                resultType="complete",
                ttlMs=0,
                cacheScope="private",
            )
        if rpc.method == "initialize":
            info = {"name": "scripted", "version": "1"}
            response = rpc.result(
                protocolVersion=NEWEST_HANDSHAKE, capabilities=self.capabilities, serverInfo=info
            )
            response.headers["mcp-session-id"] = "s1"
            return response
        if rpc.method == "tools/list":
            hints = {} if self.handshake else {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
            return rpc.result(**{"tools": self.tools, **hints, **self.listing})
        return rpc.result(**said("ok"), **({} if self.handshake else {"resultType": "complete"}))


def said(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}]}


@asynccontextmanager
async def scripted(server: Scripted | None = None) -> AsyncIterator[Scripted]:
    server = server or Scripted()
    async with served(lambda _: server, lifespan=False) as url:
        server.url = f"{url}/mcp"
        yield server


@asynccontextmanager
async def guarded(server: Scripted) -> AsyncIterator[NotebookVendor]:
    """The scripted server behind the demo vendor's OAuth, for end users who connect to it."""
    vendor = NotebookVendor("")

    def build(url: str) -> ASGIApp:
        server.url = f"{url}/mcp"
        notebook = vendor.build(url)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            signed_in = scope["type"] == "http" and user_of(vendor, Request(scope).headers) is not None
            await (server if signed_in and scope["path"] == "/mcp" else notebook)(scope, receive, send)

        return app

    async with served(build):
        yield vendor


def user_of(vendor: NotebookVendor, headers: Mapping[str, str]) -> str | None:
    """Who is signed in at the vendor."""
    token = vendor.access.get(headers.get("authorization", "").removeprefix("Bearer "))
    return None if token is None else token.subject
