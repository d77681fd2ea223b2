"""Servers of the catalogue that an account has not registered, as dynamic mode has them.

They are named ``qlaud-mcp/<slug>``. An end user who connects one can use its tools, and nobody else: what it
lists is asked for with that end user's own credentials, kept for that end user in this process's memory only,
and changes nothing of what the account has registered. Its tools cost nothing: only the operator's have a
price.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.calls import ToolScope
from broker.definition import definition_digest
from broker.mcp_listing import ListedTool
from broker.models import McpServer, McpTool
from broker.server_store import PER_USER, TENANT
from broker.servers import McpServers
from broker.tool import BoundTool
from connectors.catalog import Catalog, CatalogEntry
from connectors.url_template import placeholders
from kit.errors import HeddleError, UpstreamTimeout

logger = logging.getLogger("heddle.broker")

PREFIX = "qlaud-mcp/"
LISTED_FOR_S = 300.0
FAILED_FOR_S = 20.0
LIST_WITHIN_S = 5.0
MAX_LISTINGS = 1_000

Key = tuple[str, str, str, str, int]
"""Account, end user, slug, label and generation of the connection."""


@dataclass(frozen=True)
class _Listing:
    until: float
    tools: Sequence[BoundTool] = ()
    failure: HeddleError | None = None


class CatalogServers:
    def __init__(self, catalog: Catalog, servers: McpServers) -> None:
        self._catalog = catalog
        self._servers = servers
        self._listings: OrderedDict[Key, _Listing] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[_Listing]] = {}

    async def close(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking.values())

    def offered(self, own: Sequence[McpServer]) -> list[CatalogEntry]:
        """The entries that stand for themselves: an account's own server goes before the entry that it was
        made of. One whose connections would go by the name of another server's is not offered at all, nor is
        one that is no MCP server, or that cannot be connected yet."""
        taken = {name for server in own for name in (server.name, server.catalog_slug)}
        return [entry for entry in self._catalog if _usable(entry) and entry.slug not in taken]

    async def tools(
        self, scope: ToolScope, entry: CatalogEntry, connected: Mapping[str, int]
    ) -> Sequence[BoundTool]:
        """What the end user's connection shows. Raises HeddleError if the server cannot be asked."""
        key = (
            scope.account_id,
            "" if entry.auth == "none" else scope.end_user_id or "",
            entry.slug,
            scope.label_at(entry.slug),
            connected.get(entry.slug, 0),
        )
        listing = self._listings.get(key)
        if listing is None or listing.until < time.monotonic():
            listing = await self._listed(key, scope, entry)
        if listing.failure is not None:
            raise listing.failure
        return listing.tools

    async def _listed(self, key: Key, scope: ToolScope, entry: CatalogEntry) -> _Listing:
        """Asked for once, however many want it at a time."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(key, scope, entry))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, key: Key, scope: ToolScope, entry: CatalogEntry) -> _Listing:
        server = _as_server(scope.account_id, entry)
        try:
            async with asyncio.timeout(LIST_WITHIN_S):
                listed = (await self._servers.list_live(server, scope)).tools
            bound = self._servers.bind(server, [_as_tool(server, tool) for tool in listed])
            listing = _Listing(time.monotonic() + LISTED_FOR_S, bound)
        except (HeddleError, TimeoutError) as problem:
            logger.info("the tools of %s cannot be listed: %s", entry.slug, type(problem).__name__)
            failure = problem if isinstance(problem, HeddleError) else _too_slow(entry)
            listing = _Listing(time.monotonic() + FAILED_FOR_S, failure=failure)
        self._listings[key] = listing
        self._listings.move_to_end(key)
        if len(self._listings) > MAX_LISTINGS:
            self._listings.popitem(last=False)
        return listing


def slug_of(name: str) -> str | None:
    """The slug in ``qlaud-mcp/<slug>`` or ``qlaud-mcp/<slug>/<tool>``; None for any other name."""
    return name.removeprefix(PREFIX).partition("/")[0] if name.startswith(PREFIX) else None


def tool_of(name: str) -> str:
    """The tool in ``qlaud-mcp/<slug>/<tool>``; empty if the name is the server's."""
    return name.removeprefix(PREFIX).partition("/")[2]


def _too_slow(entry: CatalogEntry) -> HeddleError:
    return UpstreamTimeout(f"{entry.display_name} did not list its tools in time")


def _usable(entry: CatalogEntry) -> bool:
    """Whether its server has one address for everybody, and a way to connect that is served."""
    if entry.server_url is None or placeholders(entry.server_url):
        return False
    return bool({"none", "oauth", "api_key"} & set(entry.auth_kinds))


def _as_server(account_id: str, entry: CatalogEntry) -> McpServer:
    """As if the account had registered it; never stored."""
    assert entry.server_url is not None, "an entry without a server is not offered"
    return McpServer(
        id=f"catalog:{account_id}:{entry.slug}",
        account_id=account_id,
        name=f"{PREFIX}{entry.slug}",
        server_url=entry.server_url,
        catalog_slug=entry.slug,
        auth_mode=TENANT if entry.auth == "none" else PER_USER,
        tool_rules={},
        created_at=0,
        updated_at=0,
    )


def _as_tool(server: McpServer, listed: ListedTool) -> McpTool:
    digest = definition_digest(listed.name, listed.description, listed.input_schema, listed.retry_safe)
    return McpTool(
        id=f"{server.id}/{listed.name}",
        account_id=server.account_id,
        server_id=server.id,
        name=listed.name,
        description=listed.description,
        input_schema=listed.input_schema,
        retry_safe=listed.retry_safe,
        definition_sha256=digest,
        approved_sha256=digest,
        created_at=0,
    )
