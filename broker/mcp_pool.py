"""MCP connections that are kept open: one SDK client per server and credential.

Opening a client per call costs 24 ms, a kept one 1 ms; so clients are kept, bounded in number (in all and
per account, so that one account cannot take the others' places), closed when idle, and opened anew when
their server was restarted. Processes of the operator's are kept until the end; one that keeps dying is
started again only after a while, which doubles each time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from broker.mcp_changes import ListChanges, OnChange
from broker.mcp_connection import McpBusy, McpConnection, McpTarget
from broker.mcp_era import Eras
from broker.mcp_transport import SharedTransport
from kit.outbound import OutboundPolicy

MAX_CONNECTIONS = 1000
MAX_PER_ACCOUNT = 500
IDLE_S = 300.0
SWEEP_EVERY_S = 30.0
LIVED_S = 60.0
"""A process that lived as long was no failure to start."""
MAX_BACK_OFF_S = 60.0


class McpPool:
    def __init__(
        self,
        policy: OutboundPolicy,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_per_account: int = MAX_PER_ACCOUNT,
        idle_s: float = IDLE_S,
        changes: ListChanges | None = None,
    ) -> None:
        self._transport = SharedTransport(policy)
        self._eras = Eras()
        self._changes = changes or ListChanges()
        self._max_connections = max_connections
        self._max_per_account = max_per_account
        self._idle_s = idle_s
        self._processes: dict[tuple[str, str], McpConnection] = {}
        self._short_lives: dict[tuple[str, str], int] = {}
        self._connections: dict[tuple[str, str], McpConnection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def on_change(self, listener: OnChange) -> None:
        """Have ``listener`` told the server and credential of a tool list that its server says changed."""
        self._changes.on_change = listener

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

        It is not closed while it is lent. Raises McpBusy if there is no room for another one, or if it is
        a process that just died several times.
        """
        connection = self._connections.get(target.key)
        if connection is None or connection.dead:
            connection = self._connections[target.key] = self._opened(target)
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

    def forget_era(self, connection: McpConnection) -> None:
        """The server does not speak as it did: ask it again."""
        self._eras.forget(connection.key[0])

    def retire_server(self, server_id: str) -> None:
        """Retire all connections to a server, whatever their credential."""
        for key, connection in list(self._connections.items()):
            if key[0] == server_id:
                self.retire(connection)

    def sweep(self) -> None:
        """Retire what died or was not used for ``idle_s``."""
        before = self._now() - self._idle_s
        for connection in list(self._connections.values()):
            unused = not connection.borrowers and connection.last_used <= before
            if not connection.is_process and (connection.dead or unused):
                self.retire(connection)

    def _opened(self, target: McpTarget) -> McpConnection:
        before = self._processes.get(target.key)
        if before is not None and (before.broke_off or (before.dead and not before.retired)):
            self._hold_off(before)
        self._make_room(target)
        connection = McpConnection(target, self._transport, self._eras, self._changes)
        if connection.is_process:
            self._processes[target.key] = connection
        return connection

    def _make_room(self, target: McpTarget) -> None:
        """Room in all, and among the account's own; what was idle longest goes."""
        others = [connection for connection in self._connections.values() if connection.key != target.key]
        own = [connection for connection in others if connection.account_id == target.account_id]
        if target.account_id and len(own) >= self._max_per_account:
            self._retire_idlest(own, "this account has too many MCP connections in use")
        elif len(others) >= self._max_connections:
            self._retire_idlest(others, "too many MCP connections are in use")

    def _retire_idlest(self, connections: list[McpConnection], otherwise: str) -> None:
        idle = [one for one in connections if not one.borrowers and not one.is_process]
        if not idle:
            raise McpBusy(otherwise)
        self.retire(min(idle, key=lambda connection: connection.last_used))

    def _hold_off(self, died: McpConnection) -> None:
        """Let a process be started again: at once the first time, then after 1, 2, 4 … 60 seconds."""
        ended_at = died.ended_at or self._now()
        lived = ended_at - died.began_at
        deaths = 1 if lived >= LIVED_S else self._short_lives.get(died.key, 0) + 1
        wait = min(2.0 ** (deaths - 2), MAX_BACK_OFF_S) if deaths > 1 else 0.0
        if self._now() < ended_at + wait:
            raise McpBusy(f"its process keeps ending; it is started again at most every {wait:.0f} s")
        self._short_lives[died.key] = deaths

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
