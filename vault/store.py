"""The vault: secrets go in inside a write transaction, and come out only for who they belong to."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, delete, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.clock import Clock
from kit.db import Database
from kit.ids import new_id
from vault.envelope import Binding, Envelope, SecretTampered, seal, unseal
from vault.keyring import KeyProvider
from vault.models import Secret

_SECRETS: Any = Secret.__table__  # type: ignore[attr-defined]
_OWNED = select_columns(
    _SECRETS.c.id, _SECRETS.c.key_version, _SECRETS.c.wrapped_key, _SECRETS.c.sealed
).where(
    _SECRETS.c.owner == bindparam("owner"),
    _SECRETS.c.purpose == bindparam("purpose"),
    _SECRETS.c.account_id == bindparam("account"),
)
"""Made once, and read as columns: it is part of every call of a webhook."""


class SecretNotFound(Exception):
    """There is no such secret (any more)."""


class WrongKeys(Exception):
    """The key ring does not open what this database holds; the message names the versions."""


class Vault:
    """Seals and opens secrets. Plaintext exists only in the caller's hands."""

    def __init__(self, db: Database, keys: KeyProvider, clock: Clock) -> None:
        self._db = db
        self._keys = keys
        self._clock = clock

    def derived_keys(self, purpose: str, *, anew: bool = False) -> list[bytes]:
        """Keys to seal what clients carry for us, newest first; never those that seal what lies here.
        ``anew``: something was sealed with a key that the ring does not have (yet)."""
        ring = self._keys.reloaded() if anew else self._keys.current()
        return ring.derived(purpose)

    def seal(self, session: Session, *, account_id: str, owner: str, purpose: str, plaintext: bytes) -> str:
        """Store a secret in the session's transaction; returns its id (``sec_…``)."""
        now = self._clock.now_ms()
        secret_id = new_id("sec")
        envelope = seal(plaintext, Binding(account_id, owner, purpose, secret_id), self._keys.current())
        session.add(
            Secret(
                id=secret_id,
                account_id=account_id,
                owner=owner,
                purpose=purpose,
                key_version=envelope.key_version,
                wrapped_key=envelope.wrapped_key,
                sealed=envelope.sealed,
                created_at=now,
                updated_at=now,
            )
        )
        return secret_id

    def replace(
        self,
        session: Session,
        secret_id: str,
        *,
        account_id: str,
        owner: str,
        purpose: str,
        plaintext: bytes,
    ) -> None:
        """Put another value in a secret's place. Raises SecretNotFound.

        The whole envelope is written, whatever it was before: one that is being sealed anew meanwhile must
        not keep a part of its own.
        """
        envelope = seal(plaintext, Binding(account_id, owner, purpose, secret_id), self._keys.current())
        replaced = session.exec(
            update(Secret)
            .where(
                col(Secret.id) == secret_id,
                col(Secret.account_id) == account_id,
                col(Secret.owner) == owner,
                col(Secret.purpose) == purpose,
            )
            .values(
                key_version=envelope.key_version,
                wrapped_key=envelope.wrapped_key,
                sealed=envelope.sealed,
                updated_at=self._clock.now_ms(),
            )
        )
        if replaced.rowcount != 1:
            raise SecretNotFound(secret_id)

    def forget(self, session: Session, *secret_ids: str) -> None:
        """Delete secrets; nothing happens to those that are gone already."""
        session.exec(delete(Secret).where(col(Secret.id).in_(secret_ids)))

    async def check_keys(self) -> None:
        """Open one secret of each key version. Raises WrongKeys."""
        first = select(func.min(Secret.id)).group_by(Secret.key_version)
        async with self._db.session() as session:
            samples = (await session.exec(select(Secret).where(col(Secret.id).in_(first)))).all()
        for row in samples:
            if self._keys.reloaded().key(row.key_version) is None:
                raise WrongKeys(f"the database holds secrets sealed with vault key {row.key_version}")
            try:
                self._unseal(row)
            except SecretTampered:
                raise WrongKeys(f"vault key {row.key_version} is not the one of this database") from None

    async def open(self, secret_id: str, *, account_id: str, owner: str, purpose: str) -> bytes:
        """The plaintext. Raises SecretNotFound, or SecretTampered if it does not open for these."""
        _, opened = await self.open_one_of(secret_id, account_id=account_id, owner=owner, purposes=(purpose,))
        return opened

    async def open_one_of(
        self, secret_id: str, *, account_id: str, owner: str, purposes: Collection[str]
    ) -> tuple[str, bytes]:
        """The purpose of a secret that has one of these, and its plaintext. Raises as ``open``."""
        async with self._db.session() as session:
            row = await session.get(Secret, secret_id)
        if row is None:
            raise SecretNotFound(secret_id)
        if (row.account_id, row.owner) != (account_id, owner) or row.purpose not in purposes:
            raise SecretTampered("a sealed secret belongs to somebody else")
        return row.purpose, self._unseal(row)

    async def of_account(self, account_id: str, purpose: str) -> dict[str, bytes]:
        """All that an account has for a purpose, by owner. Raises SecretTampered."""
        query = select(Secret).where(Secret.account_id == account_id, Secret.purpose == purpose)
        async with self._db.session() as session:
            rows = (await session.exec(query)).all()
        return {row.owner: self._unseal(row) for row in rows}

    async def opened(
        self, session: AsyncSession, *, account_id: str, owner: str, purpose: str
    ) -> dict[str, bytes]:
        """All that an owner has for a purpose, by the secrets' ids. Raises SecretTampered."""
        connection = await session.connection()
        found = await connection.execute(_OWNED, {"owner": owner, "purpose": purpose, "account": account_id})
        return {
            secret_id: self._unsealed(
                Envelope(version, wrapped_key, sealed), Binding(account_id, owner, purpose, secret_id)
            )
            for secret_id, version, wrapped_key, sealed in found
        }

    def _unseal(self, row: Secret) -> bytes:
        envelope = Envelope(row.key_version, row.wrapped_key, row.sealed)
        return self._unsealed(envelope, Binding(row.account_id, row.owner, row.purpose, row.id))

    def _unsealed(self, envelope: Envelope, binding: Binding) -> bytes:
        ring = self._keys.current()
        if ring.key(envelope.key_version) is None:  # sealed by a process that has a newer ring
            ring = self._keys.reloaded()
        return unseal(envelope, binding, ring)


__all__ = ["SecretNotFound", "SecretTampered", "Vault", "WrongKeys"]
