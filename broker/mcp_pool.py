"""MCP connections that are kept open: one SDK client per server and credential.

Opening a client per call costs 24 ms, a kept one 1 ms; so clients are kept, bounded in number, closed
when idle, and opened anew when their server was restarted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from broker.mcp_connection import McpConnection, McpTarget, McpUnavailable
from broker.mcp_transport import SharedTransport
from kit.outbound import OutboundPolicy

MAX_CONNECTIONS = 500
IDLE_S = 300.0
SWEEP_EVERY_S = 30.0


class McpPool:
    def __init__(
        self, policy: OutboundPolicy, *, max_connections: int = MAX_CONNECTIONS, idle_s: float = IDLE_S
    ) -> None:
        self._transport = SharedTransport(policy)
        self._max_connections = max_connections
        self._idle_s = idle_s
        self._connections: dict[tuple[str, str], McpConnection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def start(self) -> None:
        self._sweeper = asyncio.create_task(self._sweep_for_ever())

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        for connection in self._connections.values():
            self._close_soon(connection)
        self._connections.clear()
        if self._closing:
            await asyncio.wait(self._closing)
        await self._transport.close()

    @asynccontextmanager
    async def lend(self, target: McpTarget) -> AsyncIterator[McpConnection]:
        """The kept connection for a target, opening one if there is none that lives.

        It is not closed while it is lent. Raises McpUnavailable if there is no room for another one.
        """
        connection = self._connections.get(target.key)
        if connection is None or connection.dead:
            self._make_room()
            connection = self._connections[target.key] = McpConnection(target, self._transport)
        connection.borrowers += 1
        connection.last_used = self._now()
        try:
            yield connection
        finally:
            connection.borrowers -= 1
            connection.last_used = self._now()
            if connection.retired and not connection.borrowers:
                self._close_soon(connection)

    def retire(self, connection: McpConnection) -> None:
        """Lend it to nobody any more; it is closed when those who have it are done."""
        if connection.retired:
            return
        connection.retired = True
        if self._connections.get(connection.key) is connection:
            del self._connections[connection.key]
        if not connection.borrowers:
            self._close_soon(connection)

    def retire_server(self, server_id: str) -> None:
        """Retire all connections to a server, whatever their credential."""
        for key, connection in list(self._connections.items()):
            if key[0] == server_id:
                self.retire(connection)

    def sweep(self) -> None:
        """Retire what died or was not used for ``idle_s``."""
        before = self._now() - self._idle_s
        for connection in list(self._connections.values()):
            if connection.dead or (not connection.borrowers and connection.last_used <= before):
                self.retire(connection)

    def _make_room(self) -> None:
        if len(self._connections) < self._max_connections:
            return
        idle = [connection for connection in self._connections.values() if not connection.borrowers]
        if not idle:
            raise McpUnavailable("too many MCP connections are in use")
        self.retire(min(idle, key=lambda connection: connection.last_used))

    def _close_soon(self, connection: McpConnection) -> None:
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            self.sweep()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
