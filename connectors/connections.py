"""Connections: an end user's credentials at a vendor, leased to whoever acts for that end user.

Invariants of refreshing (rotating refresh tokens make every breach of them fatal for the grant):
- at most one process refreshes a connection at a time (``refresh_owner``/``refresh_until``);
- new tokens are committed before they are used, and only over the generation they were made from;
- ``invalid_grant`` is believed only if the generation has not moved meanwhile.
No transaction is open while the vendor is asked.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from sqlmodel import Session, col, select, update

from connectors.clients import OAuthClients
from connectors.http import OAuthHttp
from connectors.models import Connection
from connectors.oauth import OAuthFailed, Tokens, TokenTarget, refresh, revoke
from connectors.registry import ConnectorRegistry
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, NotFound, UpstreamFailed
from kit.ids import new_id
from vault.store import Vault

logger = logging.getLogger("heddle.connectors")

REFRESH_EARLY_MS = 5 * 60 * 1000
REFRESH_LEASE_MS = 20_000
REFRESH_WAIT_S = 30.0
POLL_S = 0.05
OAUTH, API_KEY = "oauth", "api_key"
PURPOSE = "credentials"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request must carry to act as the end user."""

    connection_id: str
    generation: int
    headers: Mapping[str, str] = field(repr=False)


class ConnectionRequired(HeddleError):
    """The end user must connect (again) before this can be done."""

    status, type, code = 409, "conflict_error", "connection_required"

    def __init__(self, connector: str, end_user_id: str, reason: str) -> None:
        super().__init__(
            f"the end user has not connected {connector}"
            if reason == "not_connected"
            else f"the end user's connection to {connector} is no longer accepted; connect it again",
            details={"connector": connector, "reason": reason},
        )
        self.connector = connector
        self.end_user_id = end_user_id
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection appeared or was renewed by its end user."""

    account_id: str
    connector: str
    end_user_id: str
    connection_id: str


@dataclass(frozen=True)
class NewCredentials:
    """What a connect flow ended with."""

    kind: str
    secret: Mapping[str, Any] = field(repr=False)
    scopes: tuple[str, ...] = ()
    expires_at: int | None = None
    oauth: Mapping[str, Any] | None = None


Listener = Callable[[Connected], Awaitable[None]]


class Connections:
    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        http: OAuthHttp,
        clients: OAuthClients,
        registry: ConnectorRegistry,
    ) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._http = http
        self._clients = clients
        self._registry = registry
        self._owner = new_id("proc")
        self._listeners: list[Listener] = []
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def on_connected(self, listener: Listener) -> None:
        """Call ``listener`` after every commit of a new or renewed connection."""
        self._listeners.append(listener)

    # --- leasing ----------------------------------------------------------------------------------

    async def lease(
        self, account_id: str, connector: str, end_user_id: str, *, rejected: Credential | None = None
    ) -> Credential:
        """A credential that acts for this end user, refreshed if it is about to expire.

        ``rejected``: the vendor just answered 401 to it; one refresh follows, unless somebody has
        refreshed already. Raises ConnectionRequired, or UpstreamFailed if the vendor cannot be asked.
        """
        row = await self._find(account_id, connector, end_user_id)
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
        lock = self._locks.setdefault(row.id, asyncio.Lock())
        async with lock:
            return await self._refreshed(row, must_change=stale)

    def _expires_soon(self, row: Connection) -> bool:
        return row.expires_at is not None and row.expires_at - REFRESH_EARLY_MS <= self._clock.now_ms()

    async def _credential(self, row: Connection) -> Credential:
        secret = await self._open(row)
        if row.kind == OAUTH:
            headers = {"authorization": f"Bearer {secret['access_token']}"}
        else:
            target = await self._registry.get(row.account_id, row.connector)
            headers = target.entry.header_values(secret) if target.entry is not None else {}
        return Credential(row.id, row.generation, headers)

    async def _refreshed(self, seen: Connection, *, must_change: bool) -> Credential:
        """Wait for, or do, the one refresh of the generation that was seen."""
        deadline = asyncio.get_running_loop().time() + REFRESH_WAIT_S
        while True:
            row = await self._by_id(seen.id)
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
        secret = await self._open(row)
        try:
            if not secret.get("refresh_token"):
                raise OAuthFailed("the vendor gave no refresh token", "invalid_grant")
            target = _target(row)
            client = await self._clients.registered(target.issuer)
            tokens = await refresh(self._http, target, client, secret["refresh_token"])
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
        newest = await self._by_id(row.id)
        if newest is None or newest.status != "active":
            raise ConnectionRequired(row.connector, row.end_user_id, "expired")
        return await self._credential(newest)

    def _expired(self, row: Connection) -> bool:
        return row.expires_at is not None and row.expires_at <= self._clock.now_ms()

    async def _grant_refused(self, row: Connection, *, must_change: bool) -> Credential:
        newest = await self._by_id(row.id)
        if newest is not None and newest.generation > row.generation and newest.status == "active":
            return await self._credential(newest)
        if not must_change and row.expires_at is not None and not self._expired(row):
            await self._drop_refresh(row)
            return await self._credential(row)
        await self._expire(row)
        raise ConnectionRequired(row.connector, row.end_user_id, "expired")

    # --- rows -------------------------------------------------------------------------------------

    async def store(
        self, session_write: Callable[[Session, str], None], *, key: Connected, new: NewCredentials
    ) -> Connection:
        """Create or renew a connection together with ``session_write(session, connection_id)``, in one
        transaction; then tell the listeners. ``key.connection_id`` is ignored."""

        def write(session: Session) -> Connection:
            row = self._upsert(session, key, new)
            session_write(session, row.id)
            return row

        row = await self._db.write(write)
        connected = Connected(key.account_id, key.connector, key.end_user_id, row.id)
        for listener in self._listeners:
            try:
                await listener(connected)
            except Exception:
                logger.exception("telling of connection %s failed", row.id)
        return row

    async def page(
        self, account_id: str, *, end_user_id: str | None, limit: int, before: tuple[Any, ...] | None
    ) -> list[Connection]:
        """Up to ``limit + 1`` connections, newest first."""
        query = select(Connection).where(Connection.account_id == account_id)
        if end_user_id is not None:
            query = query.where(Connection.end_user_id == end_user_id)
        if before is not None:
            created_at, row_id = before
            query = query.where(
                (col(Connection.created_at) < created_at)
                | ((col(Connection.created_at) == created_at) & (col(Connection.id) < row_id))
            )
        query = query.order_by(col(Connection.created_at).desc(), col(Connection.id).desc())
        async with self._db.session() as session:
            return list((await session.exec(query.limit(limit + 1))).all())

    async def get(self, account_id: str, connection_id: str) -> Connection:
        """Raises NotFound."""
        row = await self._by_id(connection_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"connection {connection_id} not found")
        return row

    async def disconnect(self, row: Connection) -> None:
        """Revoke at the vendor where it can be, then forget; the vendor's failure does not stop that."""
        if row.kind == OAUTH and row.status == "active":
            try:
                secret, target = await self._open(row), _target(row)
                client = await self._clients.registered(target.issuer)
                token = secret.get("refresh_token") or secret["access_token"]
                await revoke(self._http, target, client, token)
            except HeddleError as failure:
                logger.warning("revoking connection %s at the vendor failed: %s", row.id, failure.code)

        def write(session: Session) -> None:
            current = session.get(Connection, row.id)
            if current is not None:
                self._vault.forget(session, current.secret_id)
                session.delete(current)

        await self._db.write(write)

    def _upsert(self, session: Session, key: Connected, new: NewCredentials) -> Connection:
        now = self._clock.now_ms()
        plaintext = msgspec.json.encode(dict(new.secret))
        row = session.exec(
            select(Connection)
            .where(
                Connection.account_id == key.account_id,
                Connection.connector == key.connector,
                Connection.end_user_id == key.end_user_id,
                Connection.label == "",
            )
            .with_for_update()
        ).first()
        if row is None:
            row_id = new_id("conn")
            row = Connection(
                id=row_id,
                account_id=key.account_id,
                connector=key.connector,
                end_user_id=key.end_user_id,
                kind=new.kind,
                secret_id=self._vault.seal(
                    session, account_id=key.account_id, owner=row_id, purpose=PURPOSE, plaintext=plaintext
                ),
                created_at=now,
                updated_at=now,
            )
        else:
            self._reseal(session, row, plaintext)
            row.generation += 1
        row.kind, row.status, row.scopes = new.kind, "active", list(new.scopes)
        row.expires_at, row.oauth, row.updated_at = new.expires_at, dict(new.oauth or {}), now
        row.refresh_owner, row.refresh_until = None, 0
        session.add(row)
        session.flush()
        return row

    async def _store_refreshed(self, seen: Connection, secret: dict[str, Any], tokens: Tokens) -> None:
        now = self._clock.now_ms()
        renewed = {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token or secret["refresh_token"],
        }
        plaintext = msgspec.json.encode(renewed)

        def write(session: Session) -> None:
            row = session.exec(select(Connection).where(Connection.id == seen.id).with_for_update()).first()
            if row is None or row.generation != seen.generation:
                return  # somebody connected anew meanwhile: a newer generation is never replaced
            self._reseal(session, row, plaintext)
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
        await self._change(row, refresh_owner=None, refresh_until=0)

    async def _expire(self, row: Connection) -> None:
        await self._change(
            row, status="expired", refresh_owner=None, refresh_until=0, updated_at=self._clock.now_ms()
        )

    async def _change(self, row: Connection, **values: Any) -> None:
        """Change the row unless a newer generation has replaced what was seen."""

        def write(session: Session) -> None:
            session.exec(
                update(Connection)
                .where(col(Connection.id) == row.id, col(Connection.generation) == row.generation)
                .values(**values)
            )

        await self._db.write(write)

    def _reseal(self, session: Session, row: Connection, plaintext: bytes) -> None:
        self._vault.replace(
            session,
            row.secret_id,
            account_id=row.account_id,
            owner=row.id,
            purpose=PURPOSE,
            plaintext=plaintext,
        )

    async def _open(self, row: Connection) -> dict[str, Any]:
        opened = await self._vault.open(
            row.secret_id, account_id=row.account_id, owner=row.id, purpose=PURPOSE
        )
        secret: dict[str, Any] = msgspec.json.decode(opened)
        return secret

    async def _find(self, account_id: str, connector: str, end_user_id: str) -> Connection | None:
        query = select(Connection).where(
            Connection.account_id == account_id,
            Connection.connector == connector,
            Connection.end_user_id == end_user_id,
            Connection.label == "",
        )
        async with self._db.session() as session:
            return (await session.exec(query)).first()

    async def _by_id(self, connection_id: str) -> Connection | None:
        async with self._db.session() as session:
            return await session.get(Connection, connection_id)


def _target(row: Connection) -> TokenTarget:
    facts = row.oauth or {}
    return TokenTarget(
        facts["issuer"], facts["token_endpoint"], facts.get("revocation_endpoint"), facts["resource"]
    )
