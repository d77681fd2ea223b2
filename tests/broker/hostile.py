"""Everything that calls an address which a tenant chose, and servers that mean it harm."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_failures import McpCallFailed, Unauthorized
from broker.mcp_pool import McpPool
from broker.webhook import WebhookDispatcher
from connectors.http import OAuthHttp
from kit.clock import SystemClock
from kit.errors import HeddleError
from kit.outbound import OutboundPolicy
from tests.broker.webhook_peers import CALL, SCOPE, target

Reach = Callable[[str], Awaitable[bool]]
"""Call a URL; whether it was a success. Anything but an error of ours is raised."""

ENOUGH = 64 * 1024 * 1024
"""No attack gets us to take so many bytes."""


@asynccontextmanager
async def callers(policy: OutboundPolicy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Reach]]:
    monkeypatch.setattr("connectors.http.TOTAL_TIMEOUT_S", 1.0)
    monkeypatch.setattr("broker.mcp_call.GRACE_S", 0.1)
    webhooks, oauth, pool = WebhookDispatcher(policy, SystemClock()), OAuthHttp(policy), McpPool(policy)
    mcp, numbers = McpCaller(pool, list_timeout_s=1.0), itertools.count()
    monkeypatch.setattr(oauth, "check", lambda url: url)  # what is refused before is tested by itself
    pool.start()

    async def webhook(url: str) -> bool:
        result = await webhooks.call(target(url, timeout_ms=1_000), SCOPE, CALL)
        assert "latency_ms" in result.record
        return bool(result.record["status"] == 200)

    async def discovery(url: str) -> bool:
        try:
            return (await oauth.get(url)).json is not None
        except HeddleError:
            return False

    async def listing(url: str) -> bool:
        try:
            await mcp.list_tools(McpTarget((f"server_{next(numbers)}", ""), url))
        except (McpCallFailed, Unauthorized):
            return False
        return True

    try:
        yield {"webhook": webhook, "oauth": discovery, "mcp": listing}
    finally:
        await webhooks.close()
        await pool.close()
        await oauth.close()


@dataclass
class Listener:
    """A server that sends the same bytes to whoever connects, and counts."""

    port: int = 0
    connections: int = 0
    sent: int = 0
    heads: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def listening(
    pieces: Callable[[], Iterable[bytes]] = lambda: (),
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    every_s: float = 0.0,
) -> AsyncIterator[Listener]:
    """Sends ``pieces`` after each request's head, then hangs up; an endless one goes on until its peer has
    had enough."""
    listener = Listener()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            listener.heads.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in pieces():
                writer.write(piece)
                await writer.drain()
                listener.sent += len(piece)
                if every_s:
                    await asyncio.sleep(every_s)
        writer.close()

    server = await asyncio.start_server(serve, host, port)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
