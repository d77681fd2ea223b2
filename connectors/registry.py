"""What can be connected: an account's own MCP servers first, then the catalogue."""

from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select

from connectors.catalog import Catalog, CatalogEntry
from connectors.models import Connection, Connector
from connectors.status import ENDED, EXPIRED, set_status
from connectors.url_template import placeholders
from kit.db import Database
from kit.errors import InvalidRequest, NotFound
from kit.ids import new_id


@dataclass(frozen=True)
class ConnectorTarget:
    """How end users connect: ``oauth`` at the server's own authorization server, or by pasting a key."""

    name: str
    display_name: str
    auth: str
    server_url: str
    config_schema: dict[str, Any] = field(default_factory=dict)
    entry: CatalogEntry | None = None


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

    async def get(self, account_id: str, name: str) -> ConnectorTarget:
        """The connector that an account means by ``name``: its server, ``server/tool``, or a slug.

        Raises NotFound, or InvalidRequest for a vendor whose way to connect is not served yet.
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
        return _target(entry)


def _target(entry: CatalogEntry) -> ConnectorTarget:
    address = entry.server_url or entry.api_url or ""
    for kind in entry.auth_kinds:
        if kind == "api_key" or (kind == "oauth" and not placeholders(address)):
            schema = entry.fields_for(kind) if kind == "api_key" else {}
            return ConnectorTarget(entry.slug, entry.display_name, kind, address, schema, entry)
    raise InvalidRequest(
        f"{entry.display_name} connects by {' or '.join(entry.auth_kinds)}, which is not served yet: "
        "expected a vendor with oauth or api_key",
        param="connector",
    )
