"""Which tools of an MCP server a scope may see: those stored for everybody, or its end user's own.

Invariant: a list made with one end user's credential is shown to that end user only (and to the developer),
unless the server says that it is public, or the developer says that all end users have the same tools.
"""

import asyncio
import logging
from weakref import WeakValueDictionary

from broker.calls import ToolScope
from broker.mcp_failures import Denied
from broker.mcp_listing import Listing, SkippedTool
from broker.models import McpServer, McpTool
from broker.server_access import ServerAccess
from broker.server_store import PER_USER, ServerStore, ToolChanges, tool_row
from broker.tool_lists import ListKey, OwnLists, is_old
from connectors.credentials import Credential
from kit.clock import Clock
from kit.errors import HeddleError, UpstreamFailed

logger = logging.getLogger("heddle.broker")

ASK_AGAIN_MS = 15_000
"""A list is not asked for again sooner, whatever its server says or however it fails."""
MAX_REMEMBERED = 10_000


class ServerTools:
    def __init__(self, store: ServerStore, access: ServerAccess, clock: Clock) -> None:
        self._store = store
        self._access = access
        self._clock = clock
        self._own = OwnLists()
        self._locks: WeakValueDictionary[ListKey, asyncio.Lock] = WeakValueDictionary()
        self._changed: set[str] = set()
        self._asked_at: dict[str, int] = {}
        self._refreshing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self._refreshing:
            task.cancel()
        if self._refreshing:
            await asyncio.wait(self._refreshing)

    async def of(self, server: McpServer, scope: ToolScope) -> list[McpTool]:
        """The tools that this scope may see, by name.

        A shared list that is old is shown once more while it is asked for again; an end user's own is asked
        for first. Raises ConnectionRequired, InvalidRequest, UpstreamFailed.
        """
        if server.discovered_at is not None and server.has_shared_tools:
            self._refresh_if_due(server, scope)
            return (await self._store.tools(server.id))[server.id]
        credential = await self._access.credential(server, scope)
        if credential is None:
            await self.refresh(server, scope)
            return (await self._store.tools(server.id))[server.id]
        return await self._with_approvals(server, await self._own_tools(server, scope, credential))

    async def refresh(self, server: McpServer, scope: ToolScope) -> tuple[ToolChanges, list[SkippedTool]]:
        """List again and store, as this scope. Raises ConnectionRequired, InvalidRequest, UpstreamFailed."""
        listing, public = await self._list_to_store(server, scope)
        changes = await self._store.store_tools(server, listing.tools, public=public, ttl_ms=listing.ttl_ms)
        self._changed.discard(server.id)
        return changes, listing.skipped

    def changed(self, server_id: str, credential: str) -> None:
        """A server says that its list changed for this credential."""
        if len(self._changed) < MAX_REMEMBERED:
            self._changed.add(server_id)
        self._own.outdate(server_id, credential)

    def forget(self, server_id: str) -> None:
        self._own.forget(server_id)

    async def _own_tools(self, server: McpServer, scope: ToolScope, credential: Credential) -> list[McpTool]:
        key: ListKey = (server.id, credential.connection_id, credential.generation)
        async with self._locks.setdefault(key, asyncio.Lock()):
            now, found = self._clock.now_ms(), self._own.get(key)
            if found is not None:
                kept, tools = found
                age = now - kept.listed_at
                if age < ASK_AGAIN_MS or not (kept.outdated or is_old(kept.listed_at, kept.ttl_ms, now)):
                    return tools
            try:
                listing = await self._access.list_live(server, scope)
            except UpstreamFailed:
                if found is None:
                    raise
                return found[1]
            tools = sorted(
                (tool_row(server, tool, now) for tool in listing.tools), key=lambda tool: tool.name
            )
            self._own.put(key, tools, ttl_ms=listing.ttl_ms, now_ms=now)
        if server.discovered_at is None or listing.is_public:
            await self._store.store_tools(
                server, listing.tools, public=listing.is_public, ttl_ms=listing.ttl_ms
            )
        return tools

    async def _with_approvals(self, server: McpServer, own: list[McpTool]) -> list[McpTool]:
        """An end user's own tools with what the developer approved of, among the stored, by name."""
        if not server.pin:
            return own
        stored = (await self._store.tools(server.id))[server.id]
        approved = {tool.name: tool.approved_sha256 for tool in stored}
        return [tool.model_copy(update={"approved_sha256": approved.get(tool.name)}) for tool in own]

    async def _list_to_store(self, server: McpServer, scope: ToolScope) -> tuple[Listing, bool]:
        """A list, and whether it is the same for everybody: what is listed to anybody is."""
        if server.auth_mode == PER_USER and server.tools_public:
            try:
                return await self._access.list_without_credentials(server), True
            except Denied:
                pass
        listing = await self._access.list_live(server, scope)
        return listing, listing.is_public

    def _refresh_if_due(self, server: McpServer, scope: ToolScope) -> None:
        now = self._clock.now_ms()
        assert server.discovered_at is not None
        due = server.id in self._changed or is_old(server.discovered_at, server.tools_ttl_ms, now)
        needs_user = server.auth_mode == PER_USER and scope.end_user_id is None
        if not due or needs_user or now - self._asked_at.get(server.id, -ASK_AGAIN_MS) < ASK_AGAIN_MS:
            return
        if len(self._asked_at) >= MAX_REMEMBERED:
            self._asked_at.clear()
        self._asked_at[server.id] = now
        task = asyncio.create_task(self._refresh_quietly(server, scope))
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    async def _refresh_quietly(self, server: McpServer, scope: ToolScope) -> None:
        try:
            await self.refresh(server, scope)
        except HeddleError as problem:
            logger.info("the tools of MCP server %s stay as they were: %s", server.id, problem.code)
