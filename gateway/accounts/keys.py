"""API keys: minting, look-up by the secret's hash, editing, revoking.

Invariant: a secret exists in clear only in the answer that minted it. The database holds its SHA-256,
which is enough because a secret carries 256 random bits.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from gateway.accounts.models import Account, ApiKey
from kit.caller import Caller, Mode
from kit.clock import Clock
from kit.db import Database
from kit.errors import AuthenticationFailed, NotFound
from kit.ids import new_uuid
from kit.money import Nanos

SECRET_BYTES = 32
LOOKUP_TTL_MS = 1_000
"""How long a looked-up key is trusted: a revoke in another process is seen everywhere within a second."""
MAX_CACHED_KEYS = 10_000
CAP_PERIODS = ("lifetime", "day", "week", "month")


@dataclass(frozen=True)
class NewKey:
    """What a key may do; amounts in nano-USD, times in Unix milliseconds."""

    name: str
    scope: str
    end_user_id: str | None = None
    cap_nanos: Nanos | None = None
    cap_period: str = "lifetime"
    models: tuple[str, ...] | None = None
    expires_at: int | None = None
    rpm: int | None = None
    """Requests per minute."""
    tpm: int | None = None
    """Tokens per minute, read and written."""
    max_concurrent: int | None = None
    on_disconnect: str = "cancel"
    """What happens to a call whose client goes away: ``cancel`` it, or ``drain`` (let it end)."""


@dataclass(slots=True)
class _CachedKey:
    caller: Caller
    expires_at: int | None
    read_at: int = field(default=0)


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def prefix_for(mode: Mode, key_prefix: str) -> str:
    """What a new secret begins with: ``ak_live_`` becomes ``ak_test_``. It decides nothing."""
    if mode == "live":
        return key_prefix
    return "test".join(key_prefix.rsplit("live", 1)) if "live" in key_prefix else f"{key_prefix}test_"


def display_prefix(secret: str, key_prefix: str) -> str:
    """The part of a secret that may be shown: the prefix and four more characters."""
    return secret[: len(key_prefix) + 4] if secret.startswith(key_prefix) else secret[:4]


class ApiKeys:
    """The keys of all accounts; authentication is served from a short-lived cache."""

    def __init__(self, db: Database, clock: Clock, *, key_prefix: str) -> None:
        self._db = db
        self._clock = clock
        self._key_prefix = key_prefix
        self._cache: dict[str, _CachedKey] = {}
        self._reading: dict[str, asyncio.Task[_CachedKey]] = {}

    def new_row(
        self, account_id: str, spec: NewKey, secret: str | None = None, *, mode: Mode = "live"
    ) -> tuple[ApiKey, str]:
        """A row ready to be stored, and its secret (generated unless given). ``mode``: the account's."""
        prefix = prefix_for(mode, self._key_prefix)
        secret = secret or prefix + secrets.token_hex(SECRET_BYTES)
        row = ApiKey(
            id=new_uuid(),
            account_id=account_id,
            secret_sha256=hash_secret(secret),
            prefix=display_prefix(secret, prefix),
            name=spec.name,
            scope=spec.scope,
            end_user_id=spec.end_user_id,
            cap_nanos=spec.cap_nanos,
            cap_period=spec.cap_period,
            models=list(spec.models) if spec.models is not None else None,
            expires_at=spec.expires_at,
            rpm=spec.rpm,
            tpm=spec.tpm,
            max_concurrent=spec.max_concurrent,
            on_disconnect=spec.on_disconnect,
            created_at=self._clock.now_ms(),
        )
        return row, secret

    async def mint(self, account_id: str, spec: NewKey, *, mode: Mode = "live") -> tuple[ApiKey, str]:
        """Store a new key; returns it with its secret, which nobody can read again. ``mode``: the
        account's."""
        row, secret = self.new_row(account_id, spec, mode=mode)
        await self._db.write(lambda session: session.add(row.model_copy()))
        return row, secret

    async def authenticate(self, secret: str) -> Caller:
        """Who holds this secret. Raises AuthenticationFailed for unknown, revoked and expired keys."""
        digest = hash_secret(secret)
        now = self._clock.now_ms()
        known = self._cache.get(digest)
        if known is None or now - known.read_at >= LOOKUP_TTL_MS:
            known = await self._look_up(digest)
        if known.expires_at is not None and known.expires_at <= now:
            raise AuthenticationFailed("this API key has expired", code="key_expired")
        return known.caller

    async def caller(self, key_id: str) -> Caller:
        """Who acts with this key, whose secret nobody shows now: for what runs in the background. Raises
        AuthenticationFailed as ``authenticate`` does."""
        found = await self._find(ApiKey.id == key_id)
        if found.expires_at is not None and found.expires_at <= self._clock.now_ms():
            raise AuthenticationFailed("this API key has expired", code="key_expired")
        return found.caller

    async def _look_up(self, digest: str) -> _CachedKey:
        """The key's row, read once for all requests that wait for it."""
        reading = self._reading.get(digest)
        if reading is None:
            self._reading[digest] = reading = asyncio.create_task(self._read(digest))
            reading.add_done_callback(partial(self._end_of_reading, digest))
        return await asyncio.shield(reading)

    async def _read(self, digest: str) -> _CachedKey:
        return await self._find(ApiKey.secret_sha256 == digest)

    async def _find(self, which: ColumnElement[bool] | bool) -> _CachedKey:
        now = self._clock.now_ms()
        query = select(ApiKey, Account).join(Account).where(which)
        async with self._db.session() as session:
            found = (await session.exec(query)).first()
        if found is None:
            raise AuthenticationFailed("this API key is not known", code="unknown_key")
        row, account = found
        if row.revoked_at is not None:
            raise AuthenticationFailed("this API key has been revoked", code="key_revoked")
        caller = Caller(
            account_id=row.account_id,
            key_id=row.id,
            scope=row.scope,
            end_user_id=row.end_user_id,
            models=tuple(row.models) if row.models is not None else None,
            drains=row.on_disconnect == "drain",
            mode=account.mode,
        )
        return _CachedKey(caller, row.expires_at, now)

    def _end_of_reading(self, digest: str, reading: "asyncio.Task[_CachedKey]") -> None:
        """Keep what was read, unless the key was changed meanwhile and it may be out of date."""
        failed = reading.cancelled() or reading.exception() is not None
        if self._reading.get(digest) is not reading:
            return
        del self._reading[digest]
        if failed:
            self._cache.pop(digest, None)
            return
        if len(self._cache) >= MAX_CACHED_KEYS:
            self._cache.clear()
        self._cache[digest] = reading.result()

    def _forget(self, digest: str) -> None:
        """Let the next request read the key anew; a reading that is under way keeps nothing."""
        self._cache.pop(digest, None)
        self._reading.pop(digest, None)

    async def get(self, account_id: str, key_id: str) -> ApiKey:
        """The key, also after it was revoked. Raises NotFound unless it is this account's."""
        async with self._db.session() as session:
            row = await session.get(ApiKey, key_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"API key {key_id} not found")
        return row

    async def labels(self, account_id: str, key_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Name and prefix by id, of those of the keys that are this account's, also revoked ones."""
        query = select(ApiKey.id, ApiKey.name, ApiKey.prefix).where(
            ApiKey.account_id == account_id, col(ApiKey.id).in_(key_ids)
        )
        async with self._db.session() as session:
            return {key_id: (name, prefix) for key_id, name, prefix in (await session.exec(query)).all()}

    async def page(
        self, account_id: str, *, limit: int, before: tuple[int, str] | None, include_revoked: bool = False
    ) -> list[ApiKey]:
        """Up to ``limit + 1`` keys, newest first, older than the ``(created_at, id)`` given."""
        query = select(ApiKey).where(ApiKey.account_id == account_id)
        if not include_revoked:
            query = query.where(col(ApiKey.revoked_at).is_(None))
        if before is not None:
            created_at, key_id = before
            query = query.where(
                (col(ApiKey.created_at) < created_at)
                | ((col(ApiKey.created_at) == created_at) & (col(ApiKey.id) < key_id))
            )
        query = query.order_by(col(ApiKey.created_at).desc(), col(ApiKey.id).desc()).limit(limit + 1)
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def edit(
        self,
        account_id: str,
        key_id: str,
        changes: dict[str, Any],
        *,
        check: Callable[[Session, ApiKey], None] | None = None,
    ) -> ApiKey:
        """Change columns of a live key. Raises NotFound, and what ``check`` raises of the changed row."""

        def write(session: Session) -> ApiKey:
            row = self._live(session, account_id, key_id)
            for name, value in changes.items():
                setattr(row, name, value)
            if check is not None:
                check(session, row)
            session.add(row)
            return row

        row = await self._db.write(write)
        self._forget(row.secret_sha256)
        return row

    async def revoke(self, account_id: str, key_id: str) -> None:
        """The key stops working at once here and within a second in other processes. Raises NotFound."""
        await self.edit(account_id, key_id, {"revoked_at": self._clock.now_ms()})

    @staticmethod
    def _live(session: Session, account_id: str, key_id: str) -> ApiKey:
        row = session.get(ApiKey, key_id)
        if row is None or row.account_id != account_id or row.revoked_at is not None:
            raise NotFound(f"API key {key_id} not found")
        return row
