"""Credentials: what a request must carry to act as an end user, from memory where it was just used."""

from typing import Any

from sqlmodel import Session, select

from connectors.client_tokens import ClientTokens
from connectors.clients import OAuthClients
from connectors.connections import API_KEY, OAUTH, Connections, Opened
from connectors.http import OAuthHttp
from connectors.last_used import LastUsed
from connectors.lease_cache import ConnectionKey, Credential, LeaseCache
from connectors.models import Connection
from connectors.own_client import ClientCredentialsGrant
from connectors.registry import ConnectorRegistry, ConnectorTarget
from connectors.renewal import REFRESH_EARLY_MS, Renewal
from connectors.status import ENDED, REVOKED, set_status
from connectors.token_target import token_headers, token_target
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError

_REQUIRED = {
    "not_connected": "the end user has not connected {}",
    "expired": "the end user's connection to {} is no longer accepted; connect it again",
    "insufficient_scope": "the end user's connection to {} lacks rights for this; connect it again with more",
}


class ConnectionRequired(HeddleError):
    """The end user must connect (again) before this can be done."""

    status, type, code = 409, "conflict_error", "connection_required"

    def __init__(
        self, connector: str, end_user_id: str, reason: str, *, scopes: tuple[str, ...] = ()
    ) -> None:
        """``scopes``: what to ask the vendor for; none: what it asks itself."""
        super().__init__(
            _REQUIRED[reason].format(connector), details={"connector": connector, "reason": reason}
        )
        self.scopes = scopes
        self.connector = connector
        self.end_user_id = end_user_id
        self.reason = reason


class Credentials:
    """Leases credentials of connections, refreshing them in time and once; and has what developers' own
    clients need to get tokens (``own_clients``, ``client_tokens``)."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        http: OAuthHttp,
        clients: OAuthClients,
        registry: ConnectorRegistry,
        connections: Connections,
    ) -> None:
        self._db = db
        self._clock = clock
        self._registry = registry
        self._connections = connections
        self._cache = LeaseCache()
        self.renewal = Renewal(db, clock, http, clients, connections)
        self.last_used = LastUsed(db)
        self.own_clients = ClientCredentialsGrant(http, clients, registry.catalog)
        self.client_tokens = ClientTokens(clock)
        connections.on_changed(self._cache.drop_connection)

    async def close(self) -> None:
        """Wait for the refreshes under way, and write down what was used."""
        await self.renewal.close()
        await self.client_tokens.close()
        await self.last_used.write()

    async def lease(
        self,
        account_id: str,
        connector: str,
        end_user_id: str,
        *,
        label: str = "",
        rejected: Credential | None = None,
    ) -> Credential:
        """A credential that acts for this end user, refreshed if it is about to expire.

        ``rejected``: the vendor just answered 401 to it; one refresh follows, unless somebody has
        refreshed already. Raises ConnectionRequired, or UpstreamFailed if the vendor cannot be asked.
        """
        key = ConnectionKey(account_id, connector, end_user_id, label)
        if rejected is not None:
            self._cache.drop_connection(rejected.connection_id)
            leased = await self._leased(key, rejected)
        else:
            leased = self._cache.get(key, self._clock.now_ms()) or await self._leased(key, None)
        self.last_used.note(leased.connection_id, self._clock.now_ms())
        return leased

    async def target(self, account_id: str, connector: str) -> ConnectorTarget:
        """What a connector's name stands for. Raises NotFound."""
        return await self._registry.get(account_id, connector)

    async def wider(self, refused: Credential, missing: tuple[str, ...]) -> ConnectionRequired | None:
        """The connection that a 403 for want of scopes asks for: what was asked for and granted, and more.

        None where that is of no use: the connection is no OAuth grant, or these very scopes were asked for
        when it was made, so that asking again would go on for ever (MCP, Authorization, "Step-Up").
        """
        row = await self._connections.by_id(refused.connection_id)
        if row is None or row.kind != OAUTH:
            return None
        known = (*await self._connections.scopes_asked_for(row), *row.scopes)
        if set(missing) <= set(known):
            return None
        scopes = tuple(dict.fromkeys((*known, *missing)))
        return ConnectionRequired(row.connector, row.end_user_id, "insufficient_scope", scopes=scopes)

    async def refresh(self, row: Connection) -> None:
        """New tokens now; nothing for pasted keys. Raises ConnectionRequired or UpstreamFailed."""
        if row.kind == API_KEY:
            return
        if row.status not in ENDED:
            await self.renewal.renew(row, "rejected")
        newest = await self._connections.by_id(row.id)
        if newest is None or newest.status in ENDED:
            raise ConnectionRequired(row.connector, row.end_user_id, "expired")

    async def _leased(self, key: ConnectionKey, rejected: Credential | None) -> Credential:
        drops = self._cache.drops
        row, secret = await self._opened(key)
        stale = rejected is not None and (rejected.connection_id, rejected.generation) == (
            row.id,
            row.generation,
        )
        if row.kind == API_KEY and stale:
            await self._refuse_key(row)
            raise ConnectionRequired(key.connector, key.end_user_id, "expired")
        if row.kind != API_KEY and (stale or self.renewal.is_due(row)):
            await self.renewal.renew(row, "rejected" if stale else "expiring")
            drops = self._cache.drops
            row, secret = await self._opened(key)
        credential = await self._credential(row, secret)
        usable_until = None if row.expires_at is None else row.expires_at - REFRESH_EARLY_MS
        now = self._clock.now_ms()
        self._cache.put(key, credential, now_ms=now, usable_until=usable_until, drops=drops)
        return credential

    async def _opened(self, key: ConnectionKey) -> Opened:
        """Raises ConnectionRequired if there is none that can be used."""
        found = await self._connections.opened_of(key)
        if found is None:
            raise ConnectionRequired(key.connector, key.end_user_id, "not_connected")
        if found[0].status in ENDED:
            raise ConnectionRequired(key.connector, key.end_user_id, "expired")
        return found

    async def _credential(self, row: Connection, secret: dict[str, Any]) -> Credential:
        if row.kind != API_KEY:
            target = token_target(row.oauth)
            return Credential(
                row.id,
                row.generation,
                token_headers(target, secret),
                secret.get("api_url") or target.api_url,
                secret.get("callback", {}),
            )
        entry = (await self._registry.get(row.account_id, row.connector)).entry
        if entry is None:
            return Credential(row.id, row.generation, {})
        values = {name: str(value) for name, value in secret.items()}
        return Credential(row.id, row.generation, entry.header_values(values), entry.api_address(values))

    async def _refuse_key(self, seen: Connection) -> None:
        def write(session: Session) -> None:
            row = session.exec(select(Connection).where(Connection.id == seen.id).with_for_update()).first()
            if row is not None and row.generation == seen.generation and row.status not in ENDED:
                set_status(session, row, REVOKED, "key_refused", self._clock.now_ms())

        await self._db.write(write)
        self._connections.changed(seen.id)


__all__ = ["ConnectionRequired", "Credential", "Credentials"]
