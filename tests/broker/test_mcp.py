"""MCP servers that work, fail, hang, restart and ask for credentials; both ages of the protocol."""

import asyncio
import base64
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp_types import ToolAnnotations
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.calls import NeedsConnection, ToolResult, ToolScope, ToolSelection
from broker.server_store import NewServer
from gateway.demo.oauth_mcp import NotebookVendor
from gateway.demo.story import approve_in_browser
from gateway.loopback import served
from kit.errors import Conflict, InvalidRequest, UpstreamFailed
from tests.broker.served_broker import ACCOUNT, Bench

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
calls: list[str] = []


def build_server() -> MCPServer:
    server = MCPServer("test", log_level="ERROR")
    calls.clear()

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def greet(name: str) -> str:
        """Greet somebody."""
        return f"hello {name}"

    @server.tool()
    def explode() -> str:
        raise RuntimeError("boom")

    @server.tool()
    async def hang() -> str:
        calls.append("hang")
        await asyncio.sleep(30)
        return "late"

    @server.tool()
    def picture() -> Image:
        return Image(data=PIXEL, format="png")

    @server.tool()
    def flood(megabytes: int) -> str:
        return "x" * megabytes * 1024 * 1024

    @server.tool()
    async def header(ctx: Context) -> str:
        request: Any = ctx.request_context.request
        return str(request.headers.get("x-team", "none"))

    return server


async def serve(bench: Bench, app: ASGIApp | None = None) -> str:
    built = app or build_server().streamable_http_app()
    return await bench.stack.enter_async_context(served(lambda _: built)) + "/mcp"


async def test_tools_are_discovered_and_called(bench: Bench) -> None:
    await bench.server(await serve(bench))
    scope = ToolScope(ACCOUNT)
    toolset = await bench.broker.toolset(scope, ToolSelection("explicit", ("srv",)))
    assert [definition["name"] for definition in toolset.definitions] == sorted(
        f"srv__{name}" for name in ("add", "explode", "flood", "greet", "hang", "header", "picture")
    )
    bound = toolset.find("srv__greet")
    assert bound is not None and bound.retry_safe
    assert not toolset.tools["srv__add"].retry_safe
    result = await bench.result("srv/add", {"a": 2, "b": 3})
    assert result.output == {"result": 5}
    assert result.content == [{"type": "text", "text": "5"}]
    assert result.record["status"] == "ok"


async def test_an_image_becomes_an_image_block(bench: Bench) -> None:
    await bench.server(await serve(bench))
    block = (await bench.result("srv/picture")).content[0]
    assert block["type"] == "image"
    assert base64.b64decode(block["source"]["data"]) == PIXEL
    assert block["source"]["media_type"] == "image/png"


async def test_a_tool_that_raises_is_an_error_result(bench: Bench) -> None:
    await bench.server(await serve(bench))
    result = await bench.result("srv/explode")
    assert result.is_error


async def test_arguments_are_checked_before_they_are_sent(bench: Bench) -> None:
    await bench.server(await serve(bench))
    result = await bench.result("srv/add", {"a": "two"})
    assert result.is_error
    assert result.record["status"] == "invalid_arguments"
    assert "b" in result.content[0]["text"]


async def test_a_hanging_tool_is_given_up_and_its_server_still_answers(bench: Bench) -> None:
    await bench.server(await serve(bench))
    hanging, quick = await asyncio.gather(bench.result("srv/hang"), bench.result("srv/greet", {"name": "x"}))
    assert hanging.is_error
    assert "in time" in hanging.content[0]["text"]
    assert "not known" in hanging.content[0]["text"]
    assert quick.content[0]["text"] == "hello x"
    assert calls == ["hang"]
    assert (await bench.result("srv/greet", {"name": "y"})).content[0]["text"] == "hello y"


async def test_a_flood_is_bounded(bench: Bench) -> None:
    await bench.server(await serve(bench))
    result = await bench.result("srv/flood", {"megabytes": 100})
    assert result.is_error
    some = await bench.result("srv/flood", {"megabytes": 1})
    assert len(some.content[0]["text"]) < 110_000
    assert (await bench.result("srv/greet", {"name": "z"})).content[0]["text"] == "hello z"


async def test_a_server_that_is_down_is_refused_at_registration(bench: Bench) -> None:
    with pytest.raises(UpstreamFailed, match="cannot be reached"):
        await bench.server("http://127.0.0.1:9/mcp")


async def test_something_that_is_not_an_mcp_server_is_refused(bench: Bench) -> None:
    async def website(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<h1>hello</h1>"})

    url = await bench.stack.enter_async_context(served(lambda _: website, lifespan=False))
    with pytest.raises(UpstreamFailed):
        await bench.server(f"{url}/mcp")


class Restartable:
    """A server on a fixed port that can be stopped and started."""

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    async def start(self) -> None:
        config = uvicorn.Config(
            self._build(), port=self.port, log_level="critical", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        from contextlib import nullcontext

        self._server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        await self._task


@pytest.mark.parametrize("age", ["modern", "legacy"])
async def test_a_restarted_server_is_found_again(bench: Bench, age: str) -> None:
    def build() -> ASGIApp:
        app = build_server().streamable_http_app()
        return app if age == "modern" else _only_handshake(app)

    server = Restartable(build)
    await server.start()
    await bench.server(server.url)
    assert (await bench.result("srv/greet", {"name": "a"})).content[0]["text"] == "hello a"
    await server.stop()
    down = await bench.result("srv/greet", {"name": "b"})
    assert down.is_error
    assert "cannot be reached" in down.content[0]["text"]
    await server.start()
    again = await bench.result("srv/greet", {"name": "c"})
    assert again.content[0]["text"] == "hello c"
    await server.stop()


def _only_handshake(app: Starlette) -> ASGIApp:
    """A server of an earlier age: it knows nothing of the stateless protocol."""

    async def old(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            version = dict(scope["headers"]).get(b"mcp-protocol-version", b"")
            if version >= b"2026":
                await send({"type": "http.response.start", "status": 400, "headers": []})
                await send({"type": "http.response.body", "body": b"Bad Request"})
                return
        await app(scope, receive, send)

    return old


async def test_concurrent_calls_share_one_client(bench: Bench) -> None:
    await bench.server(await serve(bench))
    bench.broker._caller._call_timeout_s = 30.0  # fifty at once take their time on a busy machine
    results = await asyncio.gather(*(bench.result("srv/add", {"a": n, "b": n}) for n in range(50)))
    assert [result.output["result"] for result in results] == [2 * n for n in range(50)]


async def test_a_tenants_headers_are_sent(bench: Bench) -> None:
    url = await serve(bench)
    await bench.server(url, credentials={"x-team": "blue"})
    assert (await bench.result("srv/header")).content[0]["text"] == "blue"


@pytest.mark.parametrize(
    ("tools", "complaint"), [(("nope",), "no tool nope"), (("srv/nope",), "srv/nope"), (("mcp_1",), "mcp_1")]
)
async def test_unknown_tools_are_named(bench: Bench, tools: tuple[str, ...], complaint: str) -> None:
    await bench.server(await serve(bench))
    with pytest.raises(InvalidRequest, match=complaint):
        await bench.broker.toolset(ToolScope(ACCOUNT), ToolSelection("explicit", tools))


async def test_another_accounts_tools_do_not_exist(bench: Bench) -> None:
    await bench.server(await serve(bench))
    with pytest.raises(InvalidRequest, match="srv"):
        await bench.broker.toolset(ToolScope("acct_2"), ToolSelection("explicit", ("srv",)))
    assert (await bench.broker.toolset(ToolScope("acct_2"), ToolSelection("tenant"))).definitions == []


async def test_a_server_name_is_taken_once(bench: Bench) -> None:
    url = await serve(bench)
    await bench.server(url)
    with pytest.raises(Conflict):
        await bench.server(url)


async def test_a_changed_definition_is_reported(bench: Bench) -> None:
    first, second = build_server(), MCPServer("test", log_level="ERROR")

    @second.tool()
    def add(a: int, b: int, c: int) -> int:
        """Add three numbers."""
        return a + b + c

    current: list[Any] = [first.streamable_http_app()]
    other = second.streamable_http_app()

    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(served(lambda _: current[0]))
        two = await stack.enter_async_context(served(lambda _: other))
        await bench.server(f"{one}/mcp")
        server = (await bench.broker.servers.store.all(ACCOUNT))[0]
        moved = server.model_copy(update={"server_url": f"{two}/mcp", "id": server.id})
        changes, _ = await bench.broker.servers.refresh(moved, ToolScope(ACCOUNT))
        assert changes.changed == ["add"]
        assert "greet" in changes.removed
        assert changes.added == []


# --- end users' own credentials ---------------------------------------------------------------------


async def notebook(bench: Bench) -> NotebookVendor:
    vendor = NotebookVendor("")

    url = await bench.stack.enter_async_context(served(vendor.build))
    await bench.server(f"{url}/mcp", name="notebook", auth_mode="per_user")
    return vendor


async def connect(bench: Bench, end_user_id: str, user: str) -> None:
    need = await bench.call("notebook/list_notes", {}, end_user_id)
    assert isinstance(need, NeedsConnection)
    await approve_in_browser(need.connect_url, user=user)


async def test_each_end_user_acts_with_its_own_account(bench: Bench) -> None:
    await notebook(bench)
    await connect(bench, "user_1", "ada")
    await connect(bench, "user_2", "grace")
    await asyncio.gather(
        bench.call("notebook/add_note", {"text": "mine"}, "user_1"),
        bench.call("notebook/add_note", {"text": "hers"}, "user_2"),
    )
    for end_user, expected in (("user_1", "ada has 1 notes: mine"), ("user_2", "grace has 1 notes: hers")):
        result = await bench.call("notebook/list_notes", {}, end_user)
        assert isinstance(result, ToolResult)
        assert result.content[0]["text"] == expected
    stranger = await bench.call("notebook/list_notes", {}, "user_3")
    assert isinstance(stranger, NeedsConnection)
    assert stranger.connector == "notebook"


async def test_without_an_end_user_a_personal_tool_is_refused_clearly(bench: Bench) -> None:
    await notebook(bench)
    with pytest.raises(InvalidRequest, match="end_user_id") as refusal:
        await bench.call("notebook/list_notes", {})
    assert refusal.value.code == "end_user_required"


async def test_an_expired_token_is_refreshed_once_for_many_calls(bench: Bench) -> None:
    vendor = await notebook(bench)
    await connect(bench, "user_1", "ada")
    vendor.expire_access()
    results = await asyncio.gather(*(bench.call("notebook/list_notes", {}, "user_1") for _ in range(20)))
    assert all(isinstance(result, ToolResult) and not result.is_error for result in results)
    assert vendor.refreshes == 1


async def test_a_grant_that_the_vendor_revoked_asks_to_connect_again(bench: Bench) -> None:
    vendor = await notebook(bench)
    await connect(bench, "user_1", "ada")
    vendor.revoke_user("ada")
    need = await bench.call("notebook/list_notes", {}, "user_1")
    assert isinstance(need, NeedsConnection)
    rows = await bench.connections.page(ACCOUNT, end_user_id="user_1", limit=5, before=None)
    assert [(row.status, row.status_reason) for row in rows] == [("revoked", "grant_refused")]
    await approve_in_browser(need.connect_url, user="ada")
    again = await bench.call("notebook/list_notes", {}, "user_1")
    assert isinstance(again, ToolResult) and not again.is_error


async def test_a_tenant_server_that_wants_credentials_says_so(bench: Bench) -> None:
    vendor = NotebookVendor("")

    url = await bench.stack.enter_async_context(served(vendor.build))
    with pytest.raises(InvalidRequest, match="401"):
        await bench.broker.servers.create(ACCOUNT, NewServer("x", f"{url}/mcp", "tenant"))
