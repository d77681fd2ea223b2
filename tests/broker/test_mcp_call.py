"""MCP servers that work, fail, hang, restart and go away, over Streamable HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from broker.calls import ToolResult
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_failures import McpCallFailed, Unauthorized
from broker.mcp_pool import McpPool
from kit.outbound import OutboundPolicy
from tests.broker.mcp_peers import Toolbox, call_tool, toolbox
from tests.broker.rig import LOOPBACK


@pytest.fixture
async def pool() -> AsyncIterator[McpPool]:
    pool = McpPool(LOOPBACK)
    yield pool
    await pool.close()


@pytest.fixture
def caller(pool: McpPool) -> McpCaller:
    return McpCaller(pool, call_timeout_s=1.0, list_timeout_s=1.0)


def at(box: Toolbox, credential: str = "", **headers: str) -> McpTarget:
    return McpTarget((box.base_url, credential), box.base_url, headers)


async def add(caller: McpCaller, target: McpTarget, a: int = 2, b: int = 3) -> ToolResult:
    return await call_tool(caller, target, "add", {"a": a, "b": b}, retry_safe=True)


async def test_a_call_comes_back_with_text_and_structure(caller: McpCaller) -> None:
    async with toolbox() as box:
        result = await add(caller, at(box))
    assert (result.output, result.is_error) == ({"result": 5}, False)
    assert result.content == [{"type": "text", "text": "5"}]
    assert result.record["status"] == "ok" and result.record["target"] == "127.0.0.1"


async def test_calls_share_one_open_client(caller: McpCaller, pool: McpPool) -> None:
    async with toolbox() as box:
        results = await asyncio.gather(*(add(caller, at(box), number, 0) for number in range(20)))
        assert [result.output["result"] for result in results] == list(range(20))
        assert len(pool) == 1
        assert box.methods.count("POST server/discover") == 1
        assert "POST tools/list" not in box.methods


async def test_each_credential_has_its_own_client_and_headers(caller: McpCaller, pool: McpPool) -> None:
    async with toolbox() as box:
        for user in ("ada", "bob", "ada"):
            await add(caller, at(box, user, authorization=f"Bearer {user}"))
        assert len(pool) == 2
        assert set(box.tokens) == {"Bearer ada", "Bearer bob"}


async def test_a_renewed_credential_is_sent_on_the_kept_client(caller: McpCaller, pool: McpPool) -> None:
    async with toolbox() as box:
        await add(caller, at(box, "ada", authorization="Bearer old"))
        box.tokens.clear()
        await add(caller, at(box, "ada", authorization="Bearer new"))
        assert set(box.tokens) == {"Bearer new"} and len(pool) == 1


async def test_a_tools_own_error_reaches_the_model(caller: McpCaller) -> None:
    async with toolbox() as box:
        result = await call_tool(caller, at(box), "fail", {}, retry_safe=False)
    assert result.is_error and "the printer is on fire" in result.content[0]["text"]
    assert result.record["status"] == "tool_error"


async def test_an_unknown_tool_is_an_error_result(caller: McpCaller) -> None:
    async with toolbox() as box:
        result = await call_tool(caller, at(box), "nothing", {}, retry_safe=False)
    assert result.is_error and "nothing" in result.content[0]["text"]


async def test_every_kind_of_content_arrives(caller: McpCaller) -> None:
    async with toolbox() as box:
        result = await call_tool(caller, at(box), "kinds", {}, retry_safe=False)
    text, image, audio, link, page = result.content
    assert text == {"type": "text", "text": "hello"}
    assert image["source"]["media_type"] == "image/png"  # what the bytes are, not what was declared
    assert "audio/wav" in audio["text"]
    assert "doc://report" in link["text"] and "all of it" in link["text"]
    assert page["text"].endswith("page text")


async def test_progress_is_passed_on(caller: McpCaller) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with toolbox() as box:
        await call_tool(caller, at(box), "count", {"to": 3}, retry_safe=False, on_progress=on_progress)
    assert told == [(1, 3, "at 1"), (2, 3, "at 2"), (3, 3, "at 3")]


async def test_a_slow_tool_is_left_and_its_outcome_called_unknown(caller: McpCaller) -> None:
    async with toolbox() as box:
        result = await call_tool(caller, at(box), "slow", {"seconds": 30}, retry_safe=False)
        assert result.is_error and "Whether it took effect is not known" in result.content[0]["text"]
        assert result.record["status"] == "timeout" and result.record["latency_ms"] < 3000
        assert (await add(caller, at(box))).output == {"result": 5}
        await until(lambda: box.cancelled == ["slow"])


async def test_cancelling_the_caller_cancels_the_call_at_the_server(caller: McpCaller) -> None:
    async with toolbox() as box:
        calling = asyncio.create_task(call_tool(caller, at(box), "slow", {"seconds": 30}, retry_safe=False))
        await until(lambda: box.calls == ["slow"])
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await until(lambda: box.cancelled == ["slow"])


async def test_a_slow_call_does_not_hold_up_the_others(caller: McpCaller) -> None:
    async with toolbox() as box:
        slow = asyncio.create_task(call_tool(caller, at(box), "slow", {"seconds": 0.6}, retry_safe=False))
        await until(lambda: box.calls == ["slow"])
        started = time.monotonic()
        assert (await add(caller, at(box))).output == {"result": 5}
        assert time.monotonic() - started < 0.4
        assert (await slow).output == {"result": "done"}


async def test_a_server_that_is_down_is_an_error_result(caller: McpCaller) -> None:
    async with toolbox() as box:
        target = at(box)
    result = await add(caller, target)
    assert result.is_error and "cannot be reached" in result.content[0]["text"]
    assert result.record["status"] == "unreachable"


async def test_a_restarted_server_is_called_on_a_new_connection(caller: McpCaller) -> None:
    async with toolbox() as box:
        assert (await add(caller, at(box))).output == {"result": 5}
        port = urlsplit(box.base_url).port
    assert (await add(caller, at(box))).is_error
    assert port is not None
    async with toolbox(port=port) as again:
        results = await asyncio.gather(*(add(caller, at(again)) for _ in range(5)))
    assert [result.output for result in results] == [{"result": 5}] * 5


@asynccontextmanager
async def relayed(box: Toolbox) -> AsyncIterator[tuple[McpTarget, asyncio.Server]]:
    """A TCP relay in front of the server, which can stop taking new connections."""
    port = urlsplit(box.base_url).port

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    try:
        yield McpTarget(("relayed", ""), url), server
    finally:
        server.close()


async def test_a_refused_connection_does_not_fail_the_call_beside_it(caller: McpCaller) -> None:
    """Without the synthetic answers of the transport, the SDK's client would end as a whole."""
    async with toolbox() as box, relayed(box) as (target, relay):
        slow = asyncio.create_task(call_tool(caller, target, "slow", {"seconds": 0.6}, retry_safe=False))
        await until(lambda: box.calls == ["slow"])
        relay.close()
        refused = await asyncio.gather(*(add(caller, target) for _ in range(3)))
        assert {result.record["status"] for result in refused} == {"unreachable"}
        assert (await slow).output == {"result": "done"}


async def test_an_oversize_answer_does_not_fail_the_call_beside_it(pool: McpPool) -> None:
    caller = McpCaller(pool, call_timeout_s=20)
    async with toolbox() as box:
        slow = asyncio.create_task(call_tool(caller, at(box), "slow", {"seconds": 0.6}, retry_safe=False))
        await until(lambda: box.calls == ["slow"])
        flood = await call_tool(caller, at(box), "flood", {"size": 9_000_000}, retry_safe=False)
        assert flood.is_error and flood.record["status"] == "too_large"
        assert (await slow).output == {"result": "done"}


async def test_a_long_text_is_shortened_for_the_model(caller: McpCaller) -> None:
    async with toolbox() as box:
        result = await call_tool(caller, at(box), "flood", {"size": 300_000}, retry_safe=False)
    assert len(result.content[0]["text"]) < 101_000
    assert "characters left out" in result.content[0]["text"]


async def test_a_refused_token_is_not_an_error_result(caller: McpCaller) -> None:
    async with toolbox(Toolbox(bearer="good")) as box:
        with pytest.raises(Unauthorized):
            await add(caller, at(box, authorization="Bearer bad"))
        assert (await add(caller, at(box, authorization="Bearer good"))).output == {"result": 5}
        box.bearer = "better"  # revoked while the client is kept open
        with pytest.raises(Unauthorized):
            await add(caller, at(box, authorization="Bearer good"))
        with pytest.raises(Unauthorized):
            await caller.list_tools(at(box, authorization="Bearer good"))


async def test_a_server_on_a_private_address_is_not_called() -> None:
    async with toolbox() as box:
        strict = McpPool(OutboundPolicy())
        result = await add(McpCaller(strict), at(box))
        await strict.close()
        assert result.is_error and box.methods == []


async def test_a_server_that_accepts_and_says_nothing_is_left_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    pool = McpPool(LOOPBACK)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        target = McpTarget(("silent", ""), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp")
        result = await add(McpCaller(pool, call_timeout_s=0.2), target)
        await pool.close()
    assert result.is_error and result.record["status"] == "timeout"
    assert "not known" not in result.content[0]["text"]  # nothing was called yet


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"jsonrpc":"2.0","id":1,"result":{"tools":7}}', b"[" * 90_000]
)
async def test_a_server_that_is_no_mcp_server_is_an_error(caller: McpCaller, body: bytes) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(head + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        target = McpTarget(("nonsense", ""), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp")
        with pytest.raises(McpCallFailed):
            await caller.list_tools(target)
        assert (await add(caller, target)).is_error


async def until(condition: object, timeout_s: float = 5.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
