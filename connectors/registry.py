"""What can be connected: an account's own MCP servers first, then the catalogue."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select

from connectors.catalog import Catalog, CatalogEntry
from connectors.models import Connection, Connector
from connectors.status import ENDED, EXPIRED, set_status
from kit.db import Database
from kit.errors import InvalidRequest, NotFound
from kit.ids import new_id

HasClient = Callable[[str, str], Awaitable[bool]]
"""Whether an account, or the operator for it, has a client at a vendor, by slug."""


@dataclass(frozen=True)
class ConnectorTarget:
    """How end users connect: ``oauth`` at the server's own authorization server, ``oauth2`` at the endpoints
    of the catalogue, ``api_key`` by pasting a key. ``config_schema``: what they are asked for first, or
    pasted."""

    name: str
    display_name: str
    auth: str
    server_url: str
    config_schema: dict[str, Any] = field(default_factory=dict)
    entry: CatalogEntry | None = None

    @property
    def manual_registration(self) -> bool:
        """Whether the authorization server takes only clients registered by hand."""
        mcp = self.entry.oauth if self.entry is not None else None
        return mcp is not None and mcp.registration == "manual"

    @property
    def usual_scopes(self) -> tuple[str, ...]:
        """What the catalogue says to ask for where the server names no scopes."""
        mcp = self.entry.oauth if self.entry is not None else None
        return mcp.scopes if mcp is not None else ()

    @property
    def refresh_idle_days(self) -> int | None:
        """How long the refresh tokens for an MCP server live unused, where the vendor says so."""
        mcp = self.entry.oauth if self.entry is not None else None
        return mcp.refresh_idle_days if mcp is not None else None


def register(
    session: Session, *, account_id: str, name: str, display_name: str, server_url: str, now_ms: int
) -> None:
    """Make an account's MCP server connectable under its name, in the session's transaction."""
    session.add(
        Connector(
            id=new_id("ctor"),
            account_id=account_id,
            name=name,
            display_name=display_name,
            server_url=server_url,
            created_at=now_ms,
        )
    )


def unregister(session: Session, *, account_id: str, name: str, now_ms: int) -> None:
    """Undo ``register``. Its connections expire: under the same name, another server may come."""
    row = session.exec(
        select(Connector).where(Connector.account_id == account_id, Connector.name == name)
    ).first()
    if row is not None:
        session.delete(row)
    connected = select(Connection).where(
        Connection.account_id == account_id,
        Connection.connector == name,
        col(Connection.status).not_in(ENDED),
    )
    for connection in session.exec(connected.with_for_update()).all():
        set_status(session, connection, EXPIRED, "connector_removed", now_ms)


class ConnectorRegistry:
    def __init__(self, db: Database, catalog: Catalog) -> None:
        self._db = db
        self.catalog = catalog
        self._has_client: HasClient | None = None

    def prefer_clients(self, has_client: "HasClient") -> None:
        """Tell where there is a client registered by hand: without one, a vendor's other ways are offered."""
        self._has_client = has_client

    async def get(self, account_id: str, name: str, *, prefer: str | None = None) -> ConnectorTarget:
        """The connector that an account means by ``name``: its server, ``server/tool``, or a slug.

        ``prefer``: which of a vendor's ways is meant, if it has it. Raises NotFound, or InvalidRequest
        for a vendor that knows no end users.
        """
        server = name.removeprefix("qlaud-mcp/").partition("/")[0]
        query = select(Connector).where(Connector.account_id == account_id, Connector.name == server)
        async with self._db.session() as session:
            row = (await session.exec(query)).first()
        if row is not None:
            return ConnectorTarget(row.name, row.display_name, "oauth", row.server_url)
        entry = self.catalog.get(server)
        if entry is None or entry.auth == "none":
            raise NotFound(f"there is no connector named {server}", param="connector")
        return await self._target(account_id, entry, prefer)

    async def _target(self, account_id: str, entry: CatalogEntry, prefer: str | None) -> ConnectorTarget:
        kinds = [kind for kind in entry.auth_kinds if kind in {"oauth", "oauth2", "api_key"}]
        if not kinds:
            raise InvalidRequest(
                f"{entry.display_name} connects by {' or '.join(entry.auth_kinds)}, the developer's own: "
                "expected a vendor with oauth, oauth2 or api_key",
                param="connector",
            )
        if prefer in kinds:
            kinds = [kind for kind in kinds if kind == prefer]
        if kinds[0] == "oauth2" and kinds[1:] and not await self._client_for(account_id, entry.slug):
            kinds = kinds[1:]
        address = entry.server_url or entry.api_url or ""
        return ConnectorTarget(
            entry.slug, entry.display_name, kinds[0], address, entry.fields_for(kinds[0]), entry
        )

    async def _client_for(self, account_id: str, slug: str) -> bool:
        return self._has_client is not None and await self._has_client(account_id, slug)
