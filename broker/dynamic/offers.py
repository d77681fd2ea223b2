"""What dynamic mode has to offer to whom, and the index that it is searched by.

Invariant: what an end user's connection lists is offered to that end user alone; everything else is the
same for a whole account, and nothing is shared between accounts. Indexes are kept by their content.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from broker.calls import ToolScope
from broker.dynamic.catalog_servers import PREFIX, CatalogServers
from broker.dynamic.tool_index import Described, ToolIndex
from broker.models import McpServer
from broker.registry import ToolRegistry
from broker.resolver import ToolResolver
from broker.server_access import connector_of
from broker.server_store import PER_USER
from broker.servers import McpServers
from broker.tool import BoundTool
from connectors.catalog import CatalogEntry
from connectors.connections import Connections
from connectors.credentials import ConnectionRequired
from kit.errors import HeddleError

MAX_KEPT_TOOLS = 20_000
"""In the indexes of all accounts together; some 3 KB each."""
SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool, or a vendor whose tools come with a connection (``connector``: what has to be connected)."""

    name: str
    kind: str
    description: str
    connector: str | None = None
    names: frozenset[str] = frozenset()
    """What a turn may call it by when it says which tools it may have."""

    def permitted(self, only: frozenset[str]) -> bool:
        return not only or self.name in only or not only.isdisjoint(self.names)


@dataclass(frozen=True, slots=True)
class Shelf:
    offers: list[Offer]
    index: ToolIndex


@dataclass(frozen=True, slots=True)
class View:
    """What there is for one end user at this moment."""

    shelf: Shelf
    connected: Mapping[str, int]
    servers: Sequence[McpServer]
    vendors: Mapping[str, CatalogEntry]
    """Entries of the catalogue that the account has not registered, by slug."""


@dataclass
class _Stock:
    """Everything that goes onto a shelf, before it is known whether there is such a shelf already."""

    servers: list[McpServer]
    vendors: list[CatalogEntry]
    operators: list[BoundTool]
    connected: Mapping[str, int]
    of_connections: list[tuple[str, BoundTool]] = field(default_factory=list)
    """What only this end user's connections list, with what has to be connected."""

    def lists_by_connection(self, server: McpServer) -> bool:
        """Whether each end user has a list of their own, which is theirs alone to see."""
        return server.auth_mode == PER_USER and not server.has_shared_tools


class Offers:
    def __init__(
        self,
        resolver: ToolResolver,
        registry: ToolRegistry,
        servers: McpServers,
        catalog_servers: CatalogServers,
        connections: Connections,
    ) -> None:
        self._resolver = resolver
        self._registry = registry
        self._servers = servers
        self._catalog_servers = catalog_servers
        self._connections = connections
        self._shelves: OrderedDict[bytes, Shelf] = OrderedDict()
        self._building: dict[bytes, asyncio.Task[Shelf]] = {}

    async def close(self) -> None:
        for task in list(self._building.values()):
            task.cancel()
        if self._building:
            await asyncio.wait(self._building.values())

    async def view(self, scope: ToolScope) -> View:
        servers = await self._servers.store.all(scope.account_id)
        connected = await self._connections.active(scope.account_id, scope.end_user_id, scope.label_at)
        vendors = self._catalog_servers.offered(servers)
        own = {server.name for server in servers}
        operators = [
            tool
            for name, tools in (await self._resolver.operator_tools()).items()
            if name not in own
            for tool in tools
        ]
        stock = _Stock(servers, vendors, operators, connected)
        await self._add_connected(stock, scope)
        shelf = await self._shelf(scope.account_id, stock)
        return View(shelf, connected, servers, {entry.slug: entry for entry in vendors})

    async def _add_connected(self, stock: _Stock, scope: ToolScope) -> None:
        """A server that cannot be asked at the moment is left out."""

        async def of_vendor(entry: CatalogEntry) -> Sequence[BoundTool]:
            try:
                return await self._catalog_servers.tools(scope, entry, stock.connected)
            except HeddleError:
                return ()

        async def of_server(server: McpServer) -> Sequence[BoundTool]:
            try:
                return self._servers.bind(server, await self._servers.tools_seen_by(server, scope))
            except ConnectionRequired:
                return ()

        vendors = [entry for entry in stock.vendors if entry.slug in stock.connected]
        servers = [
            server
            for server in stock.servers
            if stock.lists_by_connection(server) and connector_of(server) in stock.connected
        ]
        listed = await asyncio.gather(*map(of_vendor, vendors), *map(of_server, servers))
        connectors = [*(entry.slug for entry in vendors), *map(connector_of, servers)]
        for connector, bound in zip(connectors, listed, strict=True):
            stock.of_connections += [(connector, tool) for tool in bound if tool.withheld is None]

    async def _shelf(self, account_id: str, stock: _Stock) -> Shelf:
        key = await self._fingerprint(account_id, stock)
        shelf = self._shelves.get(key)
        if shelf is not None:
            self._shelves.move_to_end(key)
            return shelf
        task = self._building.get(key)
        if task is None:
            task = self._building[key] = asyncio.create_task(self._build(key, account_id, stock))
            task.add_done_callback(lambda _: self._building.pop(key, None))
        return await asyncio.shield(task)

    async def _fingerprint(self, account_id: str, stock: _Stock) -> bytes:
        """Of everything that an offer or its place in the ranking depends on. Registered tools and servers
        are told by when they changed: of two changes in one millisecond the second may be found late. What is
        called is looked up as it is."""
        content = [
            account_id,
            await self._registry.version(account_id),
            [[row.id, row.name, row.updated_at, row.discovered_at] for row in stock.servers],
            await self._servers.store.versions([row.id for row in stock.servers]),
            [tool.definition_sha256 for tool in stock.operators],
            [entry.slug for entry in stock.vendors],
            [[slug, tool.definition_sha256] for slug, tool in stock.of_connections],
        ]
        return hashlib.sha256(msgspec.json.encode(content)).digest()

    async def _build(self, key: bytes, account_id: str, stock: _Stock) -> Shelf:
        found = [
            (_offer(tool, kind), _described(tool))
            for tool, kind in await self._resolver.registered(account_id)
            if tool.withheld is None
        ]
        shared = [server for server in stock.servers if not stock.lists_by_connection(server)]
        listed = await self._servers.store.tools(*(server.id for server in shared))
        for server in shared:
            found += _of_server(server, self._servers.bind(server, listed[server.id]))
        seen = {connector for connector, _ in stock.of_connections}
        found += [
            _unlisted(server)
            for server in stock.servers
            if stock.lists_by_connection(server) and connector_of(server) not in seen
        ]
        found += [(_offer(tool, "mcp"), _described(tool)) for tool in stock.operators]
        found += [(_offer(tool, "mcp", slug), _described(tool)) for slug, tool in stock.of_connections]
        found += [_of_vendor(entry) for entry in stock.vendors]
        found.sort(key=lambda one: one[0].name)
        index = await asyncio.to_thread(ToolIndex, [described for _, described in found])
        shelf = self._shelves[key] = Shelf([offer for offer, _ in found], index)
        self._make_room()
        return shelf

    def _make_room(self) -> None:
        kept = sum(len(shelf.offers) for shelf in self._shelves.values())
        while kept > MAX_KEPT_TOOLS and len(self._shelves) > 1:
            _, dropped = self._shelves.popitem(last=False)
            kept -= len(dropped.offers)


def permitted(tool: BoundTool, only: Iterable[str]) -> bool:
    """Whether a turn that says which tools it may have may have this one."""
    names = frozenset(only)
    return not names or any(tool.named_by(name) for name in names)


def _of_server(server: McpServer, tools: Sequence[BoundTool]) -> list[tuple[Offer, Described]]:
    """The tools that are everybody's; or the server itself, as long as they are not known."""
    if server.discovered_at is None:
        return [_unlisted(server)]
    connector = connector_of(server) if server.auth_mode == PER_USER else None
    return [(_offer(tool, "mcp", connector), _described(tool)) for tool in tools if tool.withheld is None]


def _unlisted(server: McpServer) -> tuple[Offer, Described]:
    """A server whose tools nobody, or not this end user, can see before they have connected it."""
    connector = connector_of(server) if server.auth_mode == PER_USER else None
    told = "Its tools are known once it is connected."
    offer = Offer(server.name, "mcp", told, connector, frozenset({server.id}))
    return offer, Described(f"{server.name}/{server.name}", server.catalog_slug or "", {})


def _of_vendor(entry: CatalogEntry) -> tuple[Offer, Described]:
    said = f"{entry.display_name} ({entry.category}). "
    said += "Connect it to use its tools." if entry.auth != "none" else "Ask for its tools' schemas."
    connector = None if entry.auth == "none" else entry.slug
    offer = Offer(f"{PREFIX}{entry.slug}", "catalog", said, connector)
    return offer, Described(f"{entry.slug}/{entry.slug}", f"{entry.display_name} {entry.category}", {})


def _offer(tool: BoundTool, kind: str, connector: str | None = None) -> Offer:
    description = " ".join(tool.description.split())
    if len(description) > SHOWN_CHARS:
        description = f"{description[: SHOWN_CHARS - 1]}…"
    return Offer(tool.display_name, kind, description, connector, tool.aliases | tool.server_names)


def _described(tool: BoundTool) -> Described:
    return Described(tool.display_name.removeprefix(PREFIX), tool.description, tool.input_schema)
