"""MCP connections that are kept open: one SDK client per server and credential.

Opening a client per call costs 24 ms, a kept one 1 ms; so clients are kept, bounded in number, closed
when idle, and opened anew when their server was restarted.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation

from broker.mcp_transport import TRACE, HttpTrace, RequestHeaders, SharedTransport
from kit.outbound import OutboundPolicy

logger = logging.getLogger("heddle.broker")

MAX_CONNECTIONS = 500
IDLE_S = 300.0
SWEEP_EVERY_S = 30.0
OPEN_TIMEOUT_S = 20.0
CLIENT_INFO = Implementation(name="heddle", version="0.1.0")


@dataclass(frozen=True)
class StdioServer:
    """An MCP server that the operator lets Heddle start as a process of its own."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class McpTarget:
    """A server and a credential. ``key`` names the pair in the pool; ``headers`` may change under it."""

    key: tuple[str, str]
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdio: StdioServer | None = None


class McpUnavailable(Exception):
    """No connection to the server could be opened; ``unauthorized``: it answered 401."""

    def __init__(self, message: str, *, unauthorized: bool = False) -> None:
        super().__init__(message)
        self.unauthorized = unauthorized


class McpConnection:
    """An open SDK client. It lives in a task of its own, since it must be closed where it was opened."""

    def __init__(self, target: McpTarget, transport: SharedTransport) -> None:
        self._target = target
        self._transport = transport
        self._headers = RequestHeaders(target.headers)
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._opening = HttpTrace()
        self._task = asyncio.create_task(self._live())
        self.last_used = asyncio.get_running_loop().time()
        self.in_use = 0

    @property
    def dead(self) -> bool:
        return self._task.done()

    async def client(self, headers: Mapping[str, str]) -> Client:
        """The open client, carrying these headers from now on. Raises McpUnavailable."""
        self._headers.headers = dict(headers)
        self.last_used = asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(asyncio.shield(self._ready), OPEN_TIMEOUT_S)
        except TimeoutError:
            await self.close()
            raise McpUnavailable("it did not answer in time") from None

    async def close(self) -> None:
        self._stop.set()
        done, _ = await asyncio.wait({self._task}, timeout=5)
        if not done:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _live(self) -> None:
        TRACE.set(self._opening)
        try:
            async with self._open() as client:
                self._ready.set_result(client)
                await self._stop.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not self._ready.done():
                refused = self._opening.unauthorized
                self._ready.set_exception(McpUnavailable(_reason(error), unauthorized=refused))
                self._ready.exception()  # nobody may be waiting any more
            else:
                logger.info("a connection to MCP server %s ended: %s", self._target.key[0], _reason(error))
        finally:
            if not self._ready.done():
                self._ready.set_exception(McpUnavailable("the connection was closed"))
                self._ready.exception()

    def _open(self) -> Client:
        target = self._target
        if target.stdio is not None:
            own = target.stdio
            server: Any = StdioServerParameters(
                command=own.command, args=list(own.args), env=dict(own.env) or None
            )
        else:
            assert target.url is not None
            server = streamable_http_client(target.url, http_client=self._transport.client(self._headers))
        return Client(server, client_info=CLIENT_INFO, cache=None)


class McpPool:
    def __init__(self, policy: OutboundPolicy) -> None:
        self._transport = SharedTransport(policy)
        self._connections: dict[tuple[str, str], McpConnection] = {}
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeper = asyncio.create_task(self._sweep_for_ever())

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))
        self._connections.clear()
        await self._transport.close()

    def connection(self, target: McpTarget) -> McpConnection:
        """The kept connection for a target, opening one if there is none that lives."""
        connection = self._connections.get(target.key)
        if connection is None or connection.dead:
            self._make_room()
            connection = self._connections[target.key] = McpConnection(target, self._transport)
        return connection

    async def drop(self, target: McpTarget, connection: McpConnection) -> None:
        """Forget a connection that turned out to be of no use, unless it was replaced already."""
        if self._connections.get(target.key) is connection:
            del self._connections[target.key]
        await connection.close()

    def _make_room(self) -> None:
        idle = [key for key, connection in self._connections.items() if not connection.in_use]
        while len(self._connections) >= MAX_CONNECTIONS and idle:
            oldest = min(idle, key=lambda key: self._connections[key].last_used)
            idle.remove(oldest)
            self._connections.pop(oldest)._stop.set()

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            before = asyncio.get_running_loop().time() - IDLE_S
            for key, connection in list(self._connections.items()):
                if connection.dead or (not connection.in_use and connection.last_used < before):
                    del self._connections[key]
                    await connection.close()


def _reason(error: BaseException) -> str:
    """The innermost cause of what the SDK raised, without its groups."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return type(error).__name__
