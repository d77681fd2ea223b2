"""MCP servers that lie, flood, stall and break off: bounded in time and memory, and told of."""

import asyncio
import gzip
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import RedirectResponse, Response, StreamingResponse

from broker.calls import ToolResult
from broker.mcp_call import McpCaller
from broker.mcp_failures import McpCallFailed
from broker.mcp_listing import MAX_TOOLS
from broker.mcp_pool import McpPool
from broker.mcp_transport import MAX_BODY_BYTES
from tests.broker.mcp_peers import call_tool
from tests.broker.rig import LOOPBACK
from tests.broker.scripted_server import ECHO, Rpc, Scripted, said, scripted

TIMEOUT_S = 2.0


@pytest.fixture
async def caller() -> AsyncIterator[McpCaller]:
    pool = McpPool(LOOPBACK)
    yield McpCaller(pool, call_timeout_s=TIMEOUT_S, list_timeout_s=8.0)
    await pool.close()


async def call(caller: McpCaller, server: Scripted, name: str = "echo") -> ToolResult:
    """Call with a secret in hand, which must be in nothing that comes out."""
    target = server.target(authorization="Bearer s3cret")
    result = await call_tool(caller, target, name, {"a": "argument"}, retry_safe=False)
    assert "s3cret" not in repr(result)
    assert {"kind", "target", "status", "latency_ms", "bytes"} <= result.record.keys()
    return result


def event(message: dict[str, Any], event_id: str | None = None) -> bytes:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: message\ndata: {json.dumps(message)}\n\n".encode()


def answer_of(rpc: Rpc, text: str, request_id: Any = None) -> dict[str, Any]:
    result = {**said(text), "resultType": "complete"}
    return {"jsonrpc": "2.0", "id": rpc.body["id"] if request_id is None else request_id, "result": result}


def stream(*chunks: bytes, then: AsyncIterator[bytes] | None = None) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if then is not None:
            async for chunk in then:
                yield chunk

    return StreamingResponse(body(), media_type="text/event-stream")


async def endlessly(chunk: bytes, every_s: float) -> AsyncIterator[bytes]:
    while True:
        yield chunk
        await asyncio.sleep(every_s)


# --- lists -------------------------------------------------------------------------------------------


async def test_ten_thousand_tools_are_cut_to_what_a_model_can_be_given(caller: McpCaller) -> None:
    many = [{**ECHO, "name": f"tool-{number}"} for number in range(10_000)]
    async with scripted(Scripted(tools=many)) as server:
        listing = await caller.list_tools(server.target())
    assert len(listing.tools) == MAX_TOOLS
    assert [skipped.reason for skipped in listing.skipped] == ["the server lists too many tools"]


async def test_one_malformed_tool_does_not_hide_the_others(caller: McpCaller) -> None:
    deep: Any = {"type": "string"}
    for _ in range(40):
        deep = {"type": "object", "properties": {"deeper": deep}}
    loop = {
        "type": "object",
        "properties": {"a": {"$ref": "#/properties/b"}, "b": {"$ref": "#/properties/a"}},
    }
    tools: list[Any] = [
        {"name": "no-schema"},
        {"name": "no-type", "inputSchema": {}},
        {"name": 7, "inputSchema": {"type": "object"}},
        "not even an object",
        {**ECHO, "name": "deep", "inputSchema": deep},
        {**ECHO, "name": "loop", "inputSchema": loop},
        {**ECHO, "annotations": "none"},
        {**ECHO, "name": "good"},
        {**ECHO, "name": "good", "description": "an impostor"},
    ]
    async with scripted(Scripted(tools=tools)) as server:
        listing = await caller.list_tools(server.target())
    assert "good" in {tool.name for tool in listing.tools}
    assert not any(tool.description == "an impostor" for tool in listing.tools)
    reasons = {skipped.name: skipped.reason for skipped in listing.skipped}
    assert "inputSchema" in reasons["no-schema"] and reasons["good"] == "the name is listed twice"
    assert "(no name)" in reasons and "7" in reasons and "annotations" in reasons["echo"]


async def test_a_list_nested_beyond_all_reason_is_a_readable_error(caller: McpCaller) -> None:
    deep: Any = {"type": "string"}
    for _ in range(400):
        deep = {"type": "object", "properties": {"deeper": deep}}
    async with scripted(Scripted(tools=[{**ECHO, "inputSchema": deep}])) as server:
        with pytest.raises(McpCallFailed, match="no JSON-RPC message"):
            await caller.list_tools(server.target())


@pytest.mark.parametrize("listing", [{"tools": None}, {"tools": {"a": 1}}, {"tools": 7}])
async def test_an_answer_that_is_no_list_is_a_readable_error(caller: McpCaller, listing: Any) -> None:
    async with scripted(Scripted(listing=listing)) as server:
        with pytest.raises(McpCallFailed, match="unusable") as failed:
            await caller.list_tools(server.target())
    assert failed.value.status == "protocol_error"


async def test_a_list_that_never_comes_to_its_end_is_left_in_time(caller: McpCaller) -> None:
    async with scripted() as server:
        page = 0

        def slow_page(rpc: Rpc) -> Response:
            nonlocal page
            page += 1
            hints = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
            return rpc.result(tools=[{**ECHO, "name": f"t{page}"}], nextCursor=f"{page}", **hints)

        server.on["tools/list"] = slow_page
        started = time.monotonic()
        listing = await caller.list_tools(server.target())
    assert len(listing.tools) == 100 and time.monotonic() - started < 10


# --- answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b'{"jsonrpc":"2.0","id":1,"result":{}}'),
        ("application/json", b"event: message\ndata: {}\n\n"),
        ("text/event-stream", b'{"jsonrpc":"2.0","id":1,"result":{}}'),
        ("application/json", b'{"jsonrpc":"2.0","id":1,"result":{"content":"none"}}'),
        ("application/json", b"\xff\xfe{}"),
        ("", b""),
    ],
)
async def test_a_lie_about_the_content_is_an_error_result(caller: McpCaller, kind: str, body: bytes) -> None:
    async with scripted() as server:
        server.on["tools/call"] = lambda rpc: Response(
            body.replace(b'"id":1', f'"id":{rpc.body["id"]}'.encode()), headers={"content-type": kind}
        )
        result = await call(caller, server)
        assert result.is_error and "The tool echo failed" in result.content[0]["text"]
        assert result.record["status"] in {"protocol_error", "rpc_error", "broke_off"}
        del server.on["tools/call"]
        assert not (await call(caller, server)).is_error, "the next call is not harmed"


async def test_an_answer_that_comes_twice_counts_once(caller: McpCaller) -> None:
    async with scripted() as server:
        server.on["tools/call"] = lambda rpc: stream(
            event(answer_of(rpc, "first")), event(answer_of(rpc, "second"))
        )
        assert (await call(caller, server)).output == "first"
        del server.on["tools/call"]
        assert (await call(caller, server)).output == "ok"


async def test_an_answer_to_another_call_is_not_taken_for_this_one(caller: McpCaller) -> None:
    async with scripted() as server:
        server.on["tools/call"] = lambda rpc: Response(
            json.dumps(answer_of(rpc, "stolen", request_id=999)), media_type="application/json"
        )
        result = await call(caller, server)
        assert result.record["status"] == "timeout" and "not known" in result.content[0]["text"]


async def test_a_stream_that_only_stays_open_is_left_in_time(caller: McpCaller) -> None:
    async with scripted() as server:
        server.on["tools/call"] = lambda rpc: stream(then=endlessly(b": still here\n\n", 0.05))
        started = time.monotonic()
        result = await call(caller, server)
        assert result.record["status"] == "timeout" and time.monotonic() - started < TIMEOUT_S + 3


@pytest.mark.parametrize("resumable", [False, True])
async def test_a_server_that_dies_amid_its_answer_has_an_unknown_outcome(
    caller: McpCaller, resumable: bool
) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}
    async with scripted() as server:
        server.on["tools/call"] = lambda rpc: stream(b"retry: 1\n", event(note, "e1" if resumable else None))
        server.on["GET"] = lambda rpc: stream(b"retry: 1\n", event(note, "e2"))
        result = await call(caller, server)
        assert (
            result.record["status"] in {"broke_off", "timeout"} and "not known" in result.content[0]["text"]
        )
        assert server.methods().count("GET") <= 5, "it is not taken up for ever"


async def test_a_hundred_megabytes_are_not_read(caller: McpCaller) -> None:
    sent = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 65_536
            yield b" " * 65_536

    async with scripted() as server:
        for kind in ("application/json", "text/event-stream"):
            answer = StreamingResponse(flood(), media_type=kind)
            server.on["tools/call"] = lambda _, answer=answer: answer  # type: ignore[misc]
            tracemalloc.start()
            result = await call(caller, server)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert result.record["status"] == "too_large", result.record
            assert "less at a time" in result.content[0]["text"]
            assert peak < 6 * MAX_BODY_BYTES and result.record["bytes"] <= 2 * MAX_BODY_BYTES


async def test_a_gzip_bomb_is_not_unpacked(caller: McpCaller) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    async with scripted() as server:
        server.on["tools/call"] = lambda rpc: Response(
            bomb, headers={"content-encoding": "gzip", "content-type": "application/json"}
        )
        result = await call(caller, server)
    assert result.record["status"] == "protocol_error" and "compresses" in result.content[0]["text"]
    assert result.record["bytes"] == 0


# --- redirects ---------------------------------------------------------------------------------------


async def test_a_redirect_elsewhere_is_not_followed_and_takes_no_credential_along(caller: McpCaller) -> None:
    async with scripted() as elsewhere, scripted() as server:
        server.on["tools/call"] = lambda rpc: RedirectResponse(elsewhere.url, 307)
        result = await call(caller, server)
        assert result.is_error and elsewhere.seen == []


async def test_a_redirect_in_a_circle_ends(caller: McpCaller) -> None:
    async with scripted() as server:
        server.on["tools/call"] = lambda rpc: RedirectResponse(server.url, 307)
        result = await call(caller, server)
        assert result.is_error and len(server.calls()) <= 25


# --- calls beside each other -------------------------------------------------------------------------


async def test_two_hundred_calls_do_not_wait_for_each_other(caller: McpCaller) -> None:
    """A hundred calls that hang, and a hundred beside them that come back as if there were none."""
    gate = asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        await gate.wait()
        yield b""

    async with scripted() as server:

        def by_name(rpc: Rpc) -> Response:
            if rpc.params["name"] == "hang":
                return stream(b": wait\n\n", then=held())
            return rpc.result(**said("ok"), resultType="complete")

        server.on["tools/call"] = by_name
        patient = McpCaller(caller._pool, call_timeout_s=60)
        hanging = [asyncio.create_task(call(patient, server, "hang")) for _ in range(100)]
        async with asyncio.timeout(30):
            while len(server.calls()) < 100:
                await asyncio.sleep(0.01)
            results = await asyncio.gather(*(call(patient, server) for _ in range(100)))
        assert {result.output for result in results} == {"ok"} and not any(task.done() for task in hanging)
        gate.set()
        assert {(await task).record["status"] for task in hanging} == {"broke_off"}
