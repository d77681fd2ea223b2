"""Looking after the secrets of a database as a whole: what seals them, whether all open, sealing them anew.

Invariant of sealing anew: a secret is replaced only if it is still the one that was read, so a value that
was written meanwhile stays; and each value opens at every moment, since old keys stay in the ring.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from sqlmodel import Session, col, func, select, update

from kit.db import Database
from vault.envelope import Binding, Envelope, SecretTampered, seal, unseal
from vault.keyring import KeyProvider
from vault.models import Secret

BATCH = 200
MAX_PASSES = 20


@dataclass(frozen=True)
class Unopened:
    """A secret that does not open."""

    secret_id: str
    account_id: str
    purpose: str
    problem: str


async def count_by_version(db: Database) -> dict[str, int]:
    """How many secrets are sealed under each key version."""
    query = select(Secret.key_version, func.count()).group_by(Secret.key_version)
    async with db.session() as session:
        return dict((await session.exec(query)).all())


async def count_besides(db: Database, version: str | None = None) -> int:
    """How many secrets are sealed under another key than this one; without it, how many there are."""
    query = select(func.count()).select_from(Secret)
    if version is not None:
        query = query.where(Secret.key_version != version)
    async with db.session() as session:
        return (await session.exec(query)).one()


async def check_all(db: Database, keys: KeyProvider, *, each: Callable[[int], None]) -> list[Unopened]:
    """Open every secret, in memory only; ``each`` is told how many were looked at since it was last told."""
    faults = []
    async for rows in _batches(db, None):
        for row in rows:
            try:
                _opened(row, keys)
            except SecretTampered as error:
                faults.append(Unopened(row.id, row.account_id, row.purpose, str(error)))
        each(len(rows))
    return faults


@dataclass(frozen=True)
class Rotated:
    """``left``: secrets that are still sealed under another key than the newest."""

    newest: str
    done: int
    left: int
    faults: list[Unopened]


async def rotate(db: Database, keys: KeyProvider, *, settle_s: float, each: Callable[[int], None]) -> Rotated:
    """Seal everything under the newest key, again and again until nothing is left: for ``settle_s`` seconds,
    other processes may go on sealing under the key that was the newest before."""
    done = 0
    for _ in range(MAX_PASSES):
        sealed, faults = await reseal(db, keys, each=each)
        done += sealed
        await asyncio.sleep(settle_s)
        if await count_besides(db, keys.current().newest) <= len(faults):
            break
    newest = keys.current().newest
    return Rotated(newest, done, await count_besides(db, newest), faults)


async def reseal(
    db: Database, keys: KeyProvider, *, each: Callable[[int], None]
) -> tuple[int, list[Unopened]]:
    """Seal everything under the newest key that is not yet; returns how many that were, and what does not
    open and was left as it is."""
    done, faults = 0, list[Unopened]()
    newest = keys.current().newest
    async for rows in _batches(db, newest):
        anew: list[tuple[Secret, Envelope]] = []
        for row in rows:
            try:
                plaintext = _opened(row, keys)
            except SecretTampered as error:
                faults.append(Unopened(row.id, row.account_id, row.purpose, str(error)))
                continue
            anew.append((row, seal(plaintext, _binding(row), keys.current())))
        done += await _replace(db, anew)
        each(len(rows))
    return done, faults


async def _replace(db: Database, anew: list[tuple[Secret, Envelope]]) -> int:
    """Only rows that hold what was read."""

    def write(session: Session) -> int:
        replaced = 0
        for row, envelope in anew:
            changed = session.exec(
                update(Secret)
                .where(col(Secret.id) == row.id, col(Secret.wrapped_key) == row.wrapped_key)
                .values(
                    key_version=envelope.key_version,
                    wrapped_key=envelope.wrapped_key,
                    sealed=envelope.sealed,
                )
            )
            replaced += changed.rowcount
        return replaced

    return await db.write(write) if anew else 0


async def _batches(db: Database, besides: str | None) -> AsyncIterator[list[Secret]]:
    """All secrets in the order of their ids, without those sealed under the version ``besides``."""
    after = ""
    while True:
        query = select(Secret).where(col(Secret.id) > after)
        if besides is not None:
            query = query.where(Secret.key_version != besides)
        async with db.session() as session:
            rows = list((await session.exec(query.order_by(col(Secret.id)).limit(BATCH))).all())
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _opened(row: Secret, keys: KeyProvider) -> bytes:
    envelope = Envelope(row.key_version, row.wrapped_key, row.sealed)
    ring = keys.current()
    return unseal(envelope, _binding(row), ring if ring.key(row.key_version) else keys.reloaded())


def _binding(row: Secret) -> Binding:
    return Binding(row.account_id, row.owner, row.purpose, row.id)
