"""Credentials: what a request must carry to act as an end user, kept fresh.

Invariants of refreshing (rotating refresh tokens make every breach of them fatal for the grant):
- at most one process refreshes a connection at a time (``refresh_owner``/``refresh_until``);
- a refresh that was begun is finished, also when whoever needed it has gone;
- new tokens are committed before they are used, and only over the generation they were made from;
- ``invalid_grant`` is believed only if the generation has not moved meanwhile.
No transaction is open while the vendor is asked.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from sqlmodel import Session, col, select, update

from connectors.clients import OAuthClients
from connectors.connections import API_KEY, OAUTH, Connections
from connectors.http import OAuthHttp
from connectors.models import Connection
from connectors.oauth import OAuthFailed, refresh
from connectors.registry import ConnectorRegistry, ConnectorTarget
from connectors.token_answer import Tokens
from connectors.token_target import token_headers, token_target
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, UpstreamFailed
from kit.ids import new_id

REFRESH_EARLY_MS = 5 * 60 * 1000
REFRESH_LEASE_MS = 20_000
REFRESH_WAIT_S = 30.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request must carry to act as the end user."""

    connection_id: str
    generation: int
    headers: Mapping[str, str] = field(repr=False)
    api_url: str | None = None
    """Where this account's API is, for vendors whose API built-in tools use."""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What else the vendor's API wants to know, such as QuickBooks' ``realmId``."""


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
    """Leases credentials of connections, refreshing them in time and once."""

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
        self._http = http
        self._clients = clients
        self._registry = registry
        self._connections = connections
        self._owner = new_id("proc")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._refreshing: set[asyncio.Task[Credential]] = set()

    async def close(self) -> None:
        """Wait for the refreshes under way; each is bounded by its HTTP time limit."""
        if self._refreshing:
            await asyncio.wait(self._refreshing)

    async def lease(
        self, account_id: str, connector: str, end_user_id: str, *, rejected: Credential | None = None
    ) -> Credential:
        """A credential that acts for this end user, refreshed if it is about to expire.

        ``rejected``: the vendor just answered 401 to it; one refresh follows, unless somebody has
        refreshed already. Raises ConnectionRequired, or UpstreamFailed if the vendor cannot be asked.
        """
        row = await self._connections.find(account_id, connector, end_user_id)
        if row is None:
            raise ConnectionRequired(connector, end_user_id, "not_connected")
        if row.status != "active":
            raise ConnectionRequired(connector, end_user_id, "expired")
        stale = rejected is not None and rejected.generation == row.generation
        if row.kind == API_KEY:
            if stale:
                await self._expire(row)
                raise ConnectionRequired(connector, end_user_id, "expired")
            return await self._credential(row)
        if not stale and not self._expires_soon(row):
            return await self._credential(row)
        task = asyncio.create_task(self._refreshed(row, must_change=stale))
        self._refreshing.add(task)
        task.add_done_callback(self._refreshed_or_failed)
        return await asyncio.shield(task)

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

    def _expires_soon(self, row: Connection) -> bool:
        return row.expires_at is not None and row.expires_at - REFRESH_EARLY_MS <= self._clock.now_ms()

    async def _credential(self, row: Connection) -> Credential:
        secret = await self._connections.open_secret(row)
        if row.kind == OAUTH:
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
        return Credential(row.id, row.generation, entry.header_values(secret), entry.api_address(secret))

    def _refreshed_or_failed(self, task: "asyncio.Task[Credential]") -> None:
        self._refreshing.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    async def _refreshed(self, seen: Connection, *, must_change: bool) -> Credential:
        async with self._locks.setdefault(seen.id, asyncio.Lock()):
            return await self._refreshed_here_or_elsewhere(seen, must_change=must_change)

    async def _refreshed_here_or_elsewhere(self, seen: Connection, *, must_change: bool) -> Credential:
        """Wait for, or do, the one refresh of the generation that was seen."""
        deadline = asyncio.get_running_loop().time() + REFRESH_WAIT_S
        while True:
            row = await self._connections.by_id(seen.id)
            if row is None or row.status != "active":
                raise ConnectionRequired(seen.connector, seen.end_user_id, "expired")
            if row.generation > seen.generation or not (must_change or self._expires_soon(row)):
                return await self._credential(row)
            if await self._take_refresh(row):
                return await self._refresh(row, must_change=must_change)
            if asyncio.get_running_loop().time() > deadline:
                raise UpstreamFailed(f"refreshing the connection to {row.connector} takes too long")
            await asyncio.sleep(POLL_S)

    async def _refresh(self, row: Connection, *, must_change: bool) -> Credential:
        secret = await self._connections.open_secret(row)
        newest = await self._connections.by_id(row.id)
        if newest is None or newest.generation != row.generation:  # connected anew: a newer secret
            return await self._current(row)
        try:
            if not secret.get("refresh_token"):
                raise OAuthFailed("the vendor gave no refresh token", "invalid_grant")
            target = token_target(row.oauth)
            client = await self._clients.registered(row.account_id, row.connector, target)
            tokens = await refresh(self._http, target, client, secret["refresh_token"], secret.get("values"))
        except OAuthFailed as failure:
            if failure.oauth_error == "invalid_grant":
                return await self._grant_refused(row, must_change=must_change)
            await self._drop_refresh(row)
            if not must_change and not self._expired(row):
                return await self._credential(row)
            raise
        except HeddleError:
            await self._drop_refresh(row)
            if not must_change and not self._expired(row):
                return await self._credential(row)  # refreshing early failed; the token still lives
            raise
        await self._store_refreshed(row, secret, tokens)
        return await self._current(row)

    async def _current(self, seen: Connection) -> Credential:
        newest = await self._connections.by_id(seen.id)
        if newest is None or newest.status != "active":
            raise ConnectionRequired(seen.connector, seen.end_user_id, "expired")
        return await self._credential(newest)

    def _expired(self, row: Connection) -> bool:
        return row.expires_at is not None and row.expires_at <= self._clock.now_ms()

    async def _grant_refused(self, row: Connection, *, must_change: bool) -> Credential:
        newest = await self._connections.by_id(row.id)
        if newest is not None and newest.generation > row.generation and newest.status == "active":
            return await self._credential(newest)
        if not must_change and row.expires_at is not None and not self._expired(row):
            await self._drop_refresh(row)
            return await self._credential(row)
        await self._expire(row)
        raise ConnectionRequired(row.connector, row.end_user_id, "expired")

    # --- rows ---------------------------------------------------------------------------------------

    async def _store_refreshed(self, seen: Connection, secret: dict[str, Any], tokens: Tokens) -> None:
        now = self._clock.now_ms()
        renewed = {
            **secret,
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token or secret["refresh_token"],
        }
        plaintext = msgspec.json.encode(renewed)

        def write(session: Session) -> None:
            row = session.exec(select(Connection).where(Connection.id == seen.id).with_for_update()).first()
            if row is None or row.generation != seen.generation:
                return  # somebody connected anew meanwhile: a newer generation is never replaced
            self._connections.reseal(session, row, plaintext)
            row.generation += 1
            row.expires_at = None if tokens.expires_in is None else now + tokens.expires_in * 1000
            row.refresh_owner, row.refresh_until, row.updated_at = None, 0, now
            session.add(row)

        await self._db.write(write)

    async def _take_refresh(self, row: Connection) -> bool:
        now = self._clock.now_ms()

        def write(session: Session) -> bool:
            taken = session.exec(
                update(Connection)
                .where(
                    col(Connection.id) == row.id,
                    col(Connection.generation) == row.generation,
                    col(Connection.status) == "active",
                    col(Connection.refresh_until) < now,
                )
                .values(refresh_owner=self._owner, refresh_until=now + REFRESH_LEASE_MS)
            )
            return bool(taken.rowcount == 1)

        return await self._db.write(write)

    async def _drop_refresh(self, row: Connection) -> None:
        await self._connections.change(row, refresh_owner=None, refresh_until=0)

    async def _expire(self, row: Connection) -> None:
        await self._connections.change(
            row, status="expired", refresh_owner=None, refresh_until=0, updated_at=self._clock.now_ms()
        )
