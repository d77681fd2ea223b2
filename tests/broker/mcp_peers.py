"""MCP servers that the tests talk to: one built with the official SDK, and the Node.js reference server."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import mcp_types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.calls import Progress, ToolResult, ToolScope
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_exchange import McpToolCall
from broker.metering import Payment
from broker.tool import CallContext
from gateway.loopback import served
from tests.node_peers import HERE, NODE, node_modules

READ_ONLY = mcp_types.ToolAnnotations(read_only_hint=True)


async def call_tool(
    caller: McpCaller,
    target: McpTarget,
    name: str,
    arguments: dict[str, Any],
    *,
    retry_safe: bool,
    on_progress: Progress | None = None,
    timeout_s: float | None = None,
    input_schema: Mapping[str, Any] | None = None,
    trace: Mapping[str, str] | None = None,
) -> ToolResult:
    """Call a tool that comes to its result at once, for nobody in particular."""
    context = CallContext(ToolScope("acc_1"), Payment("call_1", "key_1"), on_progress)
    call = McpToolCall(
        "peer",
        name,
        arguments,
        retry_safe,
        timeout_s=timeout_s,
        input_schema=input_schema,
        trace=trace,
    )
    result = await caller.call_tool(target, call, context)
    assert isinstance(result, ToolResult), result
    return result


@dataclass
class Toolbox:
    """What happened at the SDK-built server, and switches for how it behaves."""

    bearer: str | None = None
    calls: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    description: str = "Adds."
    extra: bool = False
    base_url: str = ""


def build_toolbox(box: Toolbox) -> ASGIApp:
    server = MCPServer("toolbox", log_level="CRITICAL")

    @server.tool(description=box.description, annotations=READ_ONLY)
    def add(a: int, b: int) -> int:
        box.calls.append("add")
        return a + b

    @server.tool()
    async def slow(seconds: float) -> str:
        """Takes its time."""
        box.calls.append("slow")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            box.cancelled.append("slow")
            raise
        return "done"

    @server.tool()
    def fail() -> str:
        """Always fails."""
        raise ToolError("the printer is on fire")

    @server.tool()
    async def count(to: int, ctx: Context[Any, Any]) -> str:
        """Counts, telling how far it is."""
        for number in range(1, to + 1):
            await ctx.report_progress(number, to, f"at {number}")
        return "counted"

    @server.tool()
    async def grow(ctx: Context[Any, Any]) -> str:
        """Says that the list of tools changed."""
        await ctx.notify_tools_changed()
        return "grown"

    @server.tool()
    def flood(size: int) -> str:
        """A long text."""
        return "x" * size

    @server.tool(structured_output=False)
    def kinds() -> list[Any]:
        """Every kind of content."""
        pixel = base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()
        page = mcp_types.TextResourceContents(uri="doc://page", text="page text", mime_type="text/plain")
        return [
            mcp_types.TextContent(text="hello"),
            mcp_types.ImageContent(data=pixel, mime_type="image/jpeg"),
            mcp_types.AudioContent(data=pixel, mime_type="audio/wav"),
            mcp_types.ResourceLink(name="report", uri="doc://report", description="all of it"),
            mcp_types.EmbeddedResource(resource=page),
        ]

    if box.extra:

        @server.tool()
        def subtract(a: int, b: int) -> int:
            """Subtracts."""
            return a - b

    return _Watched(server.streamable_http_app(), box)


class _Watched:
    """Writes down methods and tokens; wants the bearer token if there is one."""

    def __init__(self, app: Starlette, box: Toolbox) -> None:
        self._app = app
        self._box = box

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        token = request.headers.get("authorization", "")
        self._box.methods.append(f"{request.method} {request.headers.get('mcp-method', '')}".strip())
        self._box.tokens.append(token)
        if self._box.bearer is not None and token != f"Bearer {self._box.bearer}":
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
            await Response(status_code=401, headers=challenge)(scope, receive, send)
            return
        await self._app(scope, receive, send)


@asynccontextmanager
async def toolbox(box: Toolbox | None = None, *, port: int = 0) -> AsyncIterator[Toolbox]:
    """The SDK-built server while the block runs; its endpoint is ``base_url``/mcp."""
    box = box or Toolbox()
    async with served(lambda _: build_toolbox(box), port=port) as url:
        box.base_url = f"{url}/mcp"
        yield box


@asynccontextmanager
async def everything(*, port: int = 0) -> AsyncIterator[str]:
    """The Node.js reference server (handshake revision, sessions); yields its endpoint."""
    package = node_modules() / "@modelcontextprotocol" / "server-everything"
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        str(HERE / "everything.mjs"),
        str(package / "dist" / "transports" / "streamableHttp.js"),
        str(port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = b""
            while not line.startswith(b"listening "):
                line = await process.stdout.readline()
                assert line, "the everything server did not start"
        draining = asyncio.create_task(_drain(process.stdout))
        try:
            yield f"http://127.0.0.1:{int(line.split()[1])}/mcp"
        finally:
            draining.cancel()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        pass
