"""An end user's connections, as dynamic mode manages them: connect, status, list, disconnect."""

from collections.abc import Mapping
from typing import Any, Protocol

from broker.calls import NeedsConnection, ToolScope
from broker.dynamic.catalog_servers import PREFIX, slug_of
from broker.dynamic.offers import Offers, View
from broker.server_access import connector_of
from broker.server_store import PER_USER
from connectors.connect import ConnectSessions
from connectors.connections import Connections
from kit.errors import InvalidRequest, NotFound

ACTIONS = ("connect", "status", "list", "disconnect")
CONNECTED, NOT_CONNECTED = "connected", "not_connected"
MAX_LISTED = 100


class Links(Protocol):
    async def connect_link(self, scope: ToolScope, connector: str, display_name: str) -> NeedsConnection: ...


class ManageConnections:
    """Everything here is one end user's, and for nobody else to see or change."""

    def __init__(
        self, offers: Offers, links: Links, sessions: ConnectSessions, connections: Connections
    ) -> None:
        self._offers = offers
        self._links = links
        self._sessions = sessions
        self._connections = connections

    async def manage(
        self,
        scope: ToolScope,
        action: str,
        tool: str | None,
        *,
        only: frozenset[str] = frozenset(),
        credentials: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Raises InvalidRequest (also ``end_user_required``), NotFound for a tool that nobody can connect,
        UpstreamFailed."""
        if action not in ACTIONS:
            raise InvalidRequest(f"action: expected {', '.join(ACTIONS)}", param="action")
        if credentials is not None and action != "connect":
            raise InvalidRequest("credentials: expected with action connect only", param="credentials")
        view = await self._offers.view(scope)
        if action == "list":
            return _listed(view, only)
        if not tool:
            raise InvalidRequest("tool: expected the name of a tool or a server", param="tool")
        connector = _connector(view, tool, only)
        if connector is None:  # nothing to connect: it can be called as it is
            if action == "status":
                return {"status": CONNECTED, "tool": tool}
            raise InvalidRequest(f"{tool} needs no connection; call it", param="tool")
        if action == "status":
            status = CONNECTED if connector in view.connected else NOT_CONNECTED
            return {"status": status, "tool": tool}
        if scope.end_user_id is None:
            raise InvalidRequest(
                "connections belong to an end user, and there is none here; send an end_user_id "
                "(for a turn: create the thread with one)",
                code="end_user_required",
                param="end_user_id",
            )
        if action == "disconnect":
            return await self._disconnect(scope, connector, scope.end_user_id, tool)
        if credentials is not None:
            label = scope.label_at(connector)
            await self._sessions.store_key(
                scope.account_id, connector, scope.end_user_id, credentials, label=label
            )
            return {"status": CONNECTED, "tool": tool}
        link = await self._links.connect_link(scope, connector, tool)
        return {"connect_url": link.connect_url, "expires_at": link.expires_at, "tool": tool}

    async def _disconnect(
        self, scope: ToolScope, connector: str, end_user_id: str, tool: str
    ) -> dict[str, Any]:
        label = scope.label_at(connector)
        row = await self._connections.find(scope.account_id, connector, end_user_id, label)
        if row is not None:
            await self._connections.disconnect(row)
        return {"status": NOT_CONNECTED, "tool": tool}


def _connectable(view: View) -> Mapping[str, str]:
    """What can be connected, by the name it goes by here, with its connector."""
    own = {row.name: connector_of(row) for row in view.servers if row.auth_mode == PER_USER}
    vendors = {f"{PREFIX}{slug}": slug for slug, entry in view.vendors.items() if entry.auth != "none"}
    return {**own, **vendors}


def _listed(view: View, only: frozenset[str]) -> dict[str, Any]:
    """What is connected first; what is beyond the limit can be searched for."""
    statuses = [
        {"tool": name, "status": CONNECTED if connector in view.connected else NOT_CONNECTED}
        for name, connector in sorted(_connectable(view).items())
        if not only or name in only
    ]
    statuses.sort(key=lambda one: one["status"] != CONNECTED)
    more = {"has_more": True} if len(statuses) > MAX_LISTED else {}
    return {"tools": statuses[:MAX_LISTED], **more}


def _connector(view: View, tool: str, only: frozenset[str]) -> str | None:
    """What the end user connects for a tool; None if that is not needed. Raises NotFound."""
    slug = slug_of(tool)
    name = f"{PREFIX}{slug}" if slug is not None else tool.partition("/")[0]
    connectable = _connectable(view)
    if slug is not None and name not in connectable:  # the account's own server that was made of the entry
        made = (row.name for row in view.servers if row.catalog_slug == slug)
        name = next(made, name)
    elif slug is None and name not in connectable:
        by_id = (row.name for row in view.servers if row.id == name)
        vendor = f"{PREFIX}{name}"
        name = next(by_id, vendor if vendor in connectable else name)
    if only and not only & {tool, name}:
        raise NotFound(f"tool: {tool[:100]} is not among the tools that may be used here", param="tool")
    if name in connectable:
        return connectable[name]
    known = any(offer.name == tool or name in offer.names for offer in view.shelf.offers)
    if known or any(row.name == name for row in view.servers):
        return None
    raise NotFound(f"tool: there is no tool or server {tool[:100]}", param="tool")
