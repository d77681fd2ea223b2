"""Connections: an end user's accounts at vendors, as rows whose credentials lie sealed in the vault."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlmodel import Session, col, select, update

from connectors.clients import OAuthClients
from connectors.http import OAuthHttp
from connectors.models import Connection, ConnectSession
from connectors.oauth import revoke
from connectors.token_target import token_target
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, NotFound
from kit.ids import new_id
from vault.store import Vault

logger = logging.getLogger("heddle.connectors")

OAUTH, API_KEY = "oauth", "api_key"
PURPOSE = "credentials"


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
        self._http = http
        self._clients = clients
        self._listeners: list[Listener] = []

    def on_connected(self, listener: Listener) -> None:
        """Call ``listener`` after every commit of a new or renewed connection."""
        self._listeners.append(listener)

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
        row = await self.by_id(connection_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"connection {connection_id} not found")
        return row

    async def disconnect(self, row: Connection) -> None:
        """Revoke at the vendor where it can be, then forget; the vendor's failure does not stop that."""
        if row.kind == OAUTH and row.status == "active":
            try:
                secret, target = await self.open_secret(row), token_target(row.oauth)
                client = await self._clients.registered(row.account_id, row.connector, target)
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
            self.reseal(session, row, plaintext)
            row.generation += 1
        row.kind, row.status, row.scopes = new.kind, "active", list(new.scopes)
        row.expires_at, row.oauth, row.updated_at = new.expires_at, dict(new.oauth or {}), now
        row.account_name = new.account_name
        row.refresh_owner, row.refresh_until = None, 0
        session.add(row)
        session.flush()
        return row

    async def change(self, row: Connection, **values: Any) -> None:
        """Change the row unless a newer generation has replaced what was seen."""

        def write(session: Session) -> None:
            session.exec(
                update(Connection)
                .where(col(Connection.id) == row.id, col(Connection.generation) == row.generation)
                .values(**values)
            )

        await self._db.write(write)

    def reseal(self, session: Session, row: Connection, plaintext: bytes) -> None:
        """Replace the sealed credentials; the caller moves the generation on in the same transaction."""
        self._vault.replace(
            session,
            row.secret_id,
            account_id=row.account_id,
            owner=row.id,
            purpose=PURPOSE,
            plaintext=plaintext,
        )

    async def open_secret(self, row: Connection) -> dict[str, Any]:
        """The credentials in the clear: OAuth tokens, or the fields that the end user pasted."""
        opened = await self._vault.open(
            row.secret_id, account_id=row.account_id, owner=row.id, purpose=PURPOSE
        )
        secret: dict[str, Any] = msgspec.json.decode(opened)
        return secret

    async def find(self, account_id: str, connector: str, end_user_id: str) -> Connection | None:
        """An end user's connection to a connector, whatever its status."""
        query = select(Connection).where(
            Connection.account_id == account_id,
            Connection.connector == connector,
            Connection.end_user_id == end_user_id,
            Connection.label == "",
        )
        async with self._db.session() as session:
            return (await session.exec(query)).first()

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

    async def active(self, account_id: str, end_user_id: str | None) -> dict[str, int]:
        """What an end user is connected to: the newest generation by connector. Nothing without one."""
        if end_user_id is None:
            return {}
        query = select(Connection.connector, Connection.generation).where(
            Connection.account_id == account_id,
            Connection.end_user_id == end_user_id,
            Connection.status == "active",
        )
        async with self._db.session() as session:
            return dict((await session.exec(query)).all())

    async def by_id(self, connection_id: str) -> Connection | None:
        async with self._db.session() as session:
            return await session.get(Connection, connection_id)
