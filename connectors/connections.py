"""Connections: an end user's accounts at vendors, as rows whose credentials lie sealed in the vault.

Every change of a connection's status is told of in its own transaction (``connectors.status``).
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlmodel import Session, col, select

from connectors.clients import OAuthClients
from connectors.http import OAuthHttp
from connectors.keep_alive import keep_alive_ms
from connectors.lease_cache import ConnectionKey
from connectors.models import Connection, ConnectSession
from connectors.revocations import PURPOSE, Revocations
from connectors.status import ACTIVE, ENDED, REVOKED, tell
from connectors.token_target import token_target
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound
from kit.ids import new_id
from vault.store import SecretNotFound, Vault

logger = logging.getLogger("heddle.connectors")

OAUTH, API_KEY = "oauth", "api_key"
"""Refresh tokens die unused at many vendors; the shortest common time is two weeks."""

Opened = tuple[Connection, dict[str, Any]]
"""A connection with its credentials in the clear: OAuth tokens, or the fields that the end user pasted."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection appeared or was renewed by its end user."""

    account_id: str
    connector: str
    end_user_id: str
    connection_id: str
    label: str = ""


@dataclass(frozen=True)
class NewCredentials:
    """What a connect flow ended with."""

    kind: str
    secret: Mapping[str, Any] = field(repr=False)
    scopes: tuple[str, ...] = ()
    expires_at: int | None = None
    oauth: Mapping[str, Any] | None = None
    account_name: str | None = None


Listener = Callable[[Connected], Awaitable[None]]


class Connections:
    """The rows of all connections, and who is told when one appears."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        http: OAuthHttp,
        clients: OAuthClients,
    ) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._listeners: list[Listener] = []
        self._on_changed: list[Callable[[str], None]] = []
        self.revocations = Revocations(db, vault, clock, http, clients)

    def on_connected(self, listener: Listener) -> None:
        """Call ``listener`` after every commit of a new or renewed connection."""
        self._listeners.append(listener)

    def on_changed(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with the id of a connection whose credentials this process changed or ended."""
        self._on_changed.append(listener)

    def changed(self, connection_id: str) -> None:
        for listener in self._on_changed:
            listener(connection_id)

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
        self.changed(row.id)
        connected = Connected(key.account_id, key.connector, key.end_user_id, row.id, key.label)
        for listener in self._listeners:
            try:
                await listener(connected)
            except Exception:
                logger.exception("telling of connection %s failed", row.id)
        return row

    async def page(
        self, account_id: str, *, limit: int, before: tuple[Any, ...] | None, **like: str | None
    ) -> list[Connection]:
        """Up to ``limit + 1`` connections, newest first; ``like``: columns and their values, unless None."""
        query = select(Connection).where(Connection.account_id == account_id)
        for column, value in like.items():
            if value is not None:
                query = query.where(getattr(Connection, column) == value)
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
        row = await self.by_id(connection_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"connection {connection_id} not found")
        return row

    async def disconnect(self, row: Connection) -> None:
        """Forget, then have the vendor revoke; what the vendor cannot be told now, it is told later."""

        def write(session: Session) -> bool:
            current = session.exec(
                select(Connection).where(Connection.id == row.id).with_for_update()
            ).first()
            if current is None:
                return False
            revoking = current.kind == OAUTH and current.status not in ENDED
            if revoking:
                self.revocations.add(session, current)
            else:
                self._vault.forget(session, current.secret_id)
            tell(session, current, REVOKED, self._clock.now_ms(), reason="deleted")
            session.delete(current)
            return revoking

        revoking = await self._db.write(write)
        self.changed(row.id)
        if revoking:
            await self.revocations.attempt(row.id)

    def _upsert(self, session: Session, key: Connected, new: NewCredentials) -> Connection:
        now = self._clock.now_ms()
        row: Connection | None = session.exec(_of(_key(key)).with_for_update()).first()
        renewed = row is not None
        if row is None:
            row_id = new_id("conn")
            row = Connection(
                id=row_id,
                account_id=key.account_id,
                connector=key.connector,
                end_user_id=key.end_user_id,
                label=key.label,
                kind=new.kind,
                secret_id=self._vault.seal(
                    session,
                    account_id=key.account_id,
                    owner=row_id,
                    purpose=PURPOSE,
                    plaintext=msgspec.json.encode(dict(new.secret)),
                ),
                created_at=now,
                updated_at=now,
            )
        row.kind, row.status, row.status_reason = new.kind, ACTIVE, None
        row.scopes, row.oauth = list(new.scopes), dict(new.oauth or {})
        row.account_name = new.account_name
        if renewed:
            self.replace_tokens(session, row, new.secret, expires_at=new.expires_at)
        else:
            self._has_tokens(row, new.secret, expires_at=new.expires_at)
        session.add(row)
        session.flush()
        tell(session, row, "connected", now, renewed=renewed)
        return row

    def replace_tokens(
        self, session: Session, row: Connection, secret: Mapping[str, Any], *, expires_at: int | None
    ) -> None:
        """Move a locked row on to new credentials: the next generation, with no refresh under way."""
        self._vault.replace(
            session,
            row.secret_id,
            account_id=row.account_id,
            owner=row.id,
            purpose=PURPOSE,
            plaintext=msgspec.json.encode(dict(secret)),
        )
        row.generation += 1
        self._has_tokens(row, secret, expires_at=expires_at)
        session.add(row)

    def _has_tokens(self, row: Connection, secret: Mapping[str, Any], *, expires_at: int | None) -> None:
        now = self._clock.now_ms()
        row.expires_at, row.updated_at = expires_at, now
        row.refresh_owner, row.refresh_until = None, 0
        row.refresh_failures, row.refresh_after = 0, 0
        can_die = bool(secret.get("refresh_token"))
        row.keep_alive_at = now + keep_alive_ms(token_target(row.oauth)) if can_die else None

    async def opened_of(self, key: ConnectionKey) -> Opened | None:
        """An end user's connection, whatever its status, with its credentials."""
        return await self._opened(_of(key))

    async def opened(self, connection_id: str) -> Opened | None:
        return await self._opened(select(Connection).where(Connection.id == connection_id))

    async def _opened(self, query: Any) -> Opened | None:
        """Row and credentials of one moment, so that the generation is theirs. Raises SecretNotFound or
        SecretTampered."""
        async with self._db.snapshot() as session:
            row: Connection | None = (await session.exec(query)).first()
            if row is None:
                return None
            secrets = await self._vault.opened(
                session, account_id=row.account_id, owner=row.id, purpose=PURPOSE
            )
        if row.secret_id not in secrets:
            raise SecretNotFound(row.secret_id)
        return row, msgspec.json.decode(secrets[row.secret_id])

    async def find(
        self, account_id: str, connector: str, end_user_id: str, label: str = ""
    ) -> Connection | None:
        """An end user's connection to a connector, whatever its status."""
        async with self._db.session() as session:
            query = _of(ConnectionKey(account_id, connector, end_user_id, label))
            found: Connection | None = (await session.exec(query)).first()
        return found

    async def scopes_asked_for(self, row: Connection) -> list[str]:
        """What the vendor was asked for when this connection was last made."""
        query = (
            select(ConnectSession)
            .where(
                ConnectSession.account_id == row.account_id,
                ConnectSession.connection_id == row.id,
                ConnectSession.status == "done",
            )
            .order_by(col(ConnectSession.created_at).desc(), col(ConnectSession.id).desc())
            .limit(1)
        )
        async with self._db.session() as session:
            made_in = (await session.exec(query)).first()
        return [] if made_in is None or made_in.flow is None else list(made_in.flow["scopes"])

    async def active(
        self, account_id: str, end_user_id: str | None, label_at: Callable[[str], str]
    ) -> dict[str, int]:
        """What an end user is connected to by the account that ``label_at`` a connector is used: the newest
        generation by connector. Nothing without an end user."""
        if end_user_id is None:
            return {}
        query = select(Connection.connector, Connection.label, Connection.generation).where(
            Connection.account_id == account_id,
            Connection.end_user_id == end_user_id,
            col(Connection.status).not_in(ENDED),
        )
        async with self._db.session() as session:
            rows = (await session.exec(query)).all()
        return {connector: made for connector, label, made in rows if label == label_at(connector)}

    async def by_id(self, connection_id: str) -> Connection | None:
        async with self._db.session() as session:
            return await session.get(Connection, connection_id)


def _key(connected: Connected) -> ConnectionKey:
    return ConnectionKey(connected.account_id, connected.connector, connected.end_user_id, connected.label)


def _of(key: ConnectionKey) -> Any:
    return select(Connection).where(
        Connection.account_id == key.account_id,
        Connection.connector == key.connector,
        Connection.end_user_id == key.end_user_id,
        Connection.label == key.label,
    )
