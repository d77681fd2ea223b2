"""Webhook tools as they are now, with their secrets opened: what a call needs to be signed and sent."""

from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import Session

from broker.models import Tool
from broker.registry import PURPOSE, ToolRegistry
from broker.webhook import WebhookTarget
from kit.brief_cache import BriefCache
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound
from vault.store import SecretNotFound, Vault

_TOOLS: Any = Tool.__table__  # type: ignore[attr-defined]
_TARGET = select_columns(
    _TOOLS.c.name,
    _TOOLS.c.webhook_url,
    _TOOLS.c.timeout_ms,
    _TOOLS.c.idempotent,
    _TOOLS.c.secret_id,
    _TOOLS.c.old_secret_id,
    _TOOLS.c.old_secret_until,
).where(_TOOLS.c.id == bindparam("tool"), _TOOLS.c.account_id == bindparam("account"))
"""Made once, and read as columns: the row as an object is a good part of what reading it costs."""


class WebhookTargets:
    """Kept in memory for seconds, since reading and opening them costs several times what the call does.

    Invariants, beside those of ``kit.brief_cache``: nothing is kept past the end of a rotation's overlap;
    what this process changes of a tool holds for the next call. Other processes call it as it was for at
    most ``kit.brief_cache.MAX_AGE_MS``.
    """

    def __init__(self, db: Database, vault: Vault, clock: Clock, registry: ToolRegistry) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._recent = BriefCache[tuple[str, str], WebhookTarget]()
        registry.on_changed(self._drop)

    async def recent(self, account_id: str, tool_id: str) -> WebhookTarget:
        """For a call. Raises NotFound, SecretNotFound, SecretTampered."""
        key = (account_id, tool_id)
        now = self._clock.now_ms()
        if (kept := self._recent.get(key, now)) is not None:
            return kept
        drops = self._recent.drops
        target, usable_until = await self._read(account_id, tool_id)
        self._recent.put(key, target, now_ms=now, drops=drops, usable_until=usable_until)
        return target

    async def current(self, account_id: str, tool_id: str) -> WebhookTarget:
        """As it is at this moment, for what must not go by a replaced secret. Raises as ``recent``."""
        target, _ = await self._read(account_id, tool_id)
        return target

    def _drop(self, tool_id: str) -> None:
        self._recent.drop_where(lambda target: target.tool_id == tool_id)

    async def _read(self, account_id: str, tool_id: str) -> tuple[WebhookTarget, int | None]:
        """With when (Unix milliseconds) it will be another one, as far as that is known."""
        async with self._db.snapshot() as session:
            connection = await session.connection()
            row = (await connection.execute(_TARGET, {"tool": tool_id, "account": account_id})).first()
            if row is None:
                raise NotFound("it was deleted meanwhile", code="gone")
            opened = await self._vault.opened(session, account_id=account_id, owner=tool_id, purpose=PURPOSE)
        name, url, timeout_ms, idempotent, secret_id, old_id, old_until = row
        if old_id is not None and old_until <= self._clock.now_ms():
            await self._forget_old_secret(tool_id, old_id)
            old_id = None
        if secret_id not in opened:
            raise SecretNotFound(secret_id)
        old = opened[old_id].decode() if old_id in opened else None
        secret = opened[secret_id].decode()
        target = WebhookTarget(tool_id, name, url, timeout_ms, idempotent, secret, old)
        return target, None if old is None else old_until

    async def _forget_old_secret(self, tool_id: str, secret_id: str) -> None:
        """The overlap is over."""

        def write(session: Session) -> None:
            row = session.get(Tool, tool_id)
            if row is not None and row.old_secret_id == secret_id:
                row.old_secret_id, row.old_secret_until = None, None
                session.add(row)
                self._vault.forget(session, secret_id)

        await self._db.write(write)
