"""Telling vendors that the tokens of deleted connections are over (RFC 7009).

Deleting a connection forgets it at once, whatever the vendor does. Its tokens stay sealed beside the task to
revoke them, and go with it: when the vendor has answered, or after ``MAX_ATTEMPTS``.
"""

import logging

import msgspec
from sqlmodel import Session, col, select, update

from connectors.clients import OAuthClients
from connectors.http import OAuthHttp
from connectors.models import Connection, Revocation
from connectors.oauth import OAuthFailed, revoke
from connectors.token_target import token_target
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError
from vault.store import SecretNotFound, SecretTampered, Vault

logger = logging.getLogger("heddle.connectors")

PURPOSE = "credentials"
MAX_ATTEMPTS = 8
FIRST_PAUSE_MS = 60_000
"""Longer than an attempt takes; doubled after each, so that the last is made about two hours later."""
AT_ONCE = 20


class Revocations:
    def __init__(
        self, db: Database, vault: Vault, clock: Clock, http: OAuthHttp, clients: OAuthClients
    ) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._http = http
        self._clients = clients

    def add(self, session: Session, row: Connection) -> None:
        """Take over the tokens of a connection that this transaction deletes; then ``attempt``."""
        now = self._clock.now_ms()
        session.add(
            Revocation(
                id=row.id,
                account_id=row.account_id,
                connector=row.connector,
                secret_id=row.secret_id,
                oauth=row.oauth or {},
                attempts=1,
                due_at=now + FIRST_PAUSE_MS,
                created_at=now,
            )
        )

    async def attempt(self, revocation_id: str) -> None:
        """Ask the vendor once. An attempt that failed is made again by ``attempt_due``, of any process."""
        async with self._db.session() as session:
            row = await session.get(Revocation, revocation_id)
        if row is None:
            return
        try:
            opened = await self._vault.open(
                row.secret_id, account_id=row.account_id, owner=row.id, purpose=PURPOSE
            )
            secret = msgspec.json.decode(opened)
            target = token_target(row.oauth)
            client = await self._clients.registered(row.account_id, row.connector, target)
            await revoke(self._http, target, client, secret.get("refresh_token") or secret["access_token"])
        except (SecretNotFound, SecretTampered):
            logger.warning("revoking connection %s: its tokens cannot be opened", row.id)
        except HeddleError as failure:
            logger.warning("revoking connection %s at the vendor failed: %s", row.id, failure.code)
            final = isinstance(failure, OAuthFailed) and failure.is_final
            if not final and row.attempts < MAX_ATTEMPTS:
                return
        await self._db.write(lambda session: self._forget(session, revocation_id))

    async def attempt_due(self) -> None:
        now = self._clock.now_ms()
        query = select(Revocation).where(col(Revocation.due_at) <= now).order_by(col(Revocation.due_at))
        async with self._db.session() as session:
            due = (await session.exec(query.limit(AT_ONCE))).all()
        for row in due:
            if await self._db.write(lambda session, row=row: _take(session, row, now)):  # type: ignore[misc]
                await self.attempt(row.id)

    def _forget(self, session: Session, revocation_id: str) -> None:
        row = session.get(Revocation, revocation_id)
        if row is not None:
            self._vault.forget(session, row.secret_id)
            session.delete(row)


def _take(session: Session, row: Revocation, now_ms: int) -> bool:
    """Whether this attempt is ours, and no other process's."""
    taken = session.exec(
        update(Revocation)
        .where(col(Revocation.id) == row.id, col(Revocation.attempts) == row.attempts)
        .values(attempts=row.attempts + 1, due_at=now_ms + FIRST_PAUSE_MS * 2**row.attempts)
    )
    return bool(taken.rowcount == 1)
