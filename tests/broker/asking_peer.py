"""An MCP server (official SDK, 2026-07-28) whose tools ask, become tasks, tell how far they are, and have a
user interface."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types
from mcp.server.apps import Apps
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import InputRequiredResult
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.loopback import served

UI = "ui://desk/seats"
HTML = "<!doctype html><p>Seats</p>"
SEAT_FORM = {
    "type": "object",
    "properties": {
        "seat": {"type": "string", "enum": ["aisle", "window"]},
        "bags": {"type": "integer", "minimum": 0, "maximum": 3, "default": 1},
    },
    "required": ["seat"],
}


@dataclass
class Desk:
    """What happened at the server, and what it does next."""

    url: str = ""
    rounds: list[tuple[str | None, Any]] = field(default_factory=list)
    """Of each call of ``book``: the state that came back, and the answers."""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    polls: int = 0
    updates: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)


class Quick(BaseModel):
    really: bool


class _TaskParams(mcp_types.RequestParams):
    model_config = ConfigDict(extra="allow")
    task_id: str
    input_responses: dict[str, Any] | None = None


class _Raw(mcp_types.Result):
    model_config = ConfigDict(extra="allow")


def _form(message: str, schema: dict[str, Any] = SEAT_FORM) -> mcp_types.ElicitRequest:
    params = mcp_types.ElicitRequestFormParams(message=message, requested_schema=schema)
    return mcp_types.ElicitRequest(params=params)


class TasksOf(Extension):
    """Calls of ``travel`` become tasks, which work until the test says otherwise."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def intercept_tool_call(
        self,
        params: mcp_types.CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        if params.name != "travel":
            return await call_next(ctx)
        task_id = f"task-{len(self.desk.tasks) + 1}"
        self.desk.tasks[task_id] = {"status": "working", "statusMessage": "packing"}
        return self._shown(task_id, "task")

    def methods(self) -> Sequence[MethodBinding]:
        named = {"tasks/get": self._get, "tasks/update": self._update, "tasks/cancel": self._cancel}
        return [MethodBinding(name, _TaskParams, handler) for name, handler in named.items()]

    async def _get(self, _ctx: Any, params: _TaskParams) -> HandlerResult:
        self.desk.polls += 1
        if params.task_id not in self.desk.tasks:
            raise mcp_types_error("Task not found")
        return self._shown(params.task_id, "complete")

    async def _update(self, _ctx: Any, params: _TaskParams) -> HandlerResult:
        self.desk.updates.append(params.input_responses or {})
        return _Raw.model_validate({"resultType": "complete"})

    async def _cancel(self, _ctx: Any, params: _TaskParams) -> HandlerResult:
        self.desk.cancelled.append(params.task_id)
        return _Raw.model_validate({"resultType": "complete"})

    def _shown(self, task_id: str, result_type: str) -> HandlerResult:
        times = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z"}
        task = {"taskId": task_id, "ttlMs": None, "pollIntervalMs": 1, **times, **self.desk.tasks[task_id]}
        return _Raw.model_validate({"resultType": result_type, **task})


def mcp_types_error(message: str) -> Exception:
    from mcp import MCPError

    return MCPError(code=mcp_types.INVALID_PARAMS, message=message)


def build_desk(desk: Desk) -> ASGIApp:
    apps = Apps()
    apps.add_html_resource(UI, HTML, title="Seats")

    @apps.tool(resource_uri=UI)
    def seats() -> mcp_types.CallToolResult:
        """The free seats."""
        return mcp_types.CallToolResult(
            content=[mcp_types.TextContent(text="two seats are free")],
            structured_content={"free": ["1A", None]},
            _meta={"desk/plan": "A320"},
        )

    @apps.tool(resource_uri=UI, visibility=["app"])
    def take_seat(seat: str) -> str:
        """Only the plan of the seats calls this."""
        return f"took {seat}"

    server = MCPServer("desk", log_level="CRITICAL", extensions=[apps, TasksOf(desk)])

    @server.tool()
    async def book(ctx: Context[Any, Any], times: int = 1) -> str | InputRequiredResult:
        """Asks for a seat, as many times as it is told."""
        desk.rounds.append((ctx.request_state, ctx.input_responses))
        asked = int((ctx.request_state or "asked 0").split()[1])
        if asked < times:
            return InputRequiredResult(
                input_requests={"seat": _form(f"Which seat, {asked}?")},
                request_state=f"asked {asked + 1} \u00fc",
            )
        answer = (ctx.input_responses or {})["seat"]
        assert isinstance(answer, mcp_types.ElicitResult)
        return f"{answer.action}: {sorted((answer.content or {}).items())}"

    @server.tool()
    async def both(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Asks two things at once: one by a form, one behind a URL."""
        if ctx.input_responses is None:
            page = mcp_types.ElicitRequestURLParams(message="Pay here", url="https://pay.example/now?id=1")
            requests = {"form": _form("Which seat?"), "page": mcp_types.ElicitRequest(params=page)}
            return InputRequiredResult(input_requests=requests)
        said = {key: one.model_dump(include={"action"}) for key, one in ctx.input_responses.items()}
        return str(sorted((key, one["action"]) for key, one in said.items()))

    @server.tool()
    async def snoop(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Asks for a secret by a form."""
        schema = {"type": "object", "properties": {"apiKey": {"type": "string"}}}
        return InputRequiredResult(input_requests={"k": _form("Your key?", schema)}, request_state="s")

    @server.tool()
    async def hasty(ctx: Context[Any, Any]) -> str:
        """Asks while it is under way (handshake revisions), and soon does not want to know any more."""
        with anyio.move_on_after(0.5):
            await ctx.elicit("Quick?", Quick)
        return "went on"

    @server.tool()
    async def patient(ctx: Context[Any, Any]) -> str:
        """Asks while it is under way, and waits."""
        answer = await ctx.elicit("Whenever?", Quick)
        return str(answer.action)

    @server.tool()
    async def ponder(ctx: Context[Any, Any], words: int = 2) -> str | InputRequiredResult:
        """Has a model called: by its result, or while it is under way."""
        params = mcp_types.CreateMessageRequestParams(
            messages=[mcp_types.SamplingMessage(role="user", content=mcp_types.TextContent(text="seven?"))],
            system_prompt="brief " * words,
            max_tokens=50,
        )
        if ctx.protocol_version != "2026-07-28":
            made = await ctx.session.create_message(
                params.messages, max_tokens=50, related_request_id=ctx.request_id
            )
            assert isinstance(made.content, mcp_types.TextContent)
            return f"{made.model}: {made.content.text}"
        if ctx.input_responses is None:
            request = mcp_types.CreateMessageRequest(params=params)
            return InputRequiredResult(input_requests={"m": request}, request_state="asked")
        made_then = ctx.input_responses["m"]
        assert isinstance(made_then, mcp_types.CreateMessageResult)
        assert isinstance(made_then.content, mcp_types.TextContent)
        return f"{made_then.model}: {made_then.content.text}"

    @server.tool()
    async def wait_there(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Asks nothing, but to be called again."""
        if ctx.request_state is None:
            return InputRequiredResult(request_state="once")
        return f"after {ctx.request_state}"

    @server.tool()
    def travel(to: str) -> str:
        """Takes days."""
        raise AssertionError("it is a task")

    @server.tool()
    async def chatter(ctx: Context[Any, Any], times: int) -> str:
        """Tells how far it is, all the time."""
        for number in range(1, times + 1):
            await ctx.report_progress(number, times, f"at {number}")
        return "told"

    @server.tool()
    async def dawdle(ctx: Context[Any, Any]) -> str:
        """Never ends by itself."""
        await ctx.report_progress(0, None, "began")
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            desk.stopped.append("dawdle")
            raise
        return "at last"

    return server.streamable_http_app()


class HandshakeOnly:
    """The server as one that does not know 2026-07-28."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if headers.get("mcp-protocol-version") == "2026-07-28":
            await Response("what is this?", status_code=400)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@asynccontextmanager
async def asking_peer(*, handshake: bool = False) -> AsyncIterator[Desk]:
    """``handshake``: it speaks the earlier revisions only."""
    desk = Desk()

    def build(_: str) -> ASGIApp:
        app = build_desk(desk)
        return HandshakeOnly(app) if handshake else app

    async with served(build) as url:
        desk.url = f"{url}/mcp"
        yield desk
