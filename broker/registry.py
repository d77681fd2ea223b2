"""The tools that developers register: webhooks are created here, all are read and deleted. Secrets stay in
the vault. Who watches an account's tools is told of changes by its id."""

from collections.abc import Callable
from typing import Any

from sqlmodel import Session, col, func, select

from broker.models import Tool
from broker.namespace import claim_name
from broker.signing import new_secret
from kit.clock import Clock
from kit.db import Database
from kit.errors import InvalidRequest, NotFound
from kit.ids import new_id
from kit.writer import touch
from vault.store import Vault

PURPOSE = "webhook_secret"


class ToolRegistry:
    def __init__(self, db: Database, vault: Vault, clock: Clock, reserved_names: frozenset[str]) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._reserved = reserved_names
        self._on_changed: list[Callable[[str], None]] = []

    def on_changed(self, listener: Callable[[str], None]) -> None:
        """Have ``listener`` called with the id of a tool that this process has changed or deleted."""
        self._on_changed.append(listener)

    async def create(self, account_id: str, columns: dict[str, Any]) -> tuple[Tool, str]:
        """Store a webhook tool; returns it with its signing secret. Raises Conflict for a taken name."""
        secret = new_secret()

        def write(session: Session) -> Tool:
            claim_name(session, account_id, columns["name"], self._reserved)
            now = self._clock.now_ms()
            tool_id = new_id("tool")
            secret_id = self._vault.seal(
                session, account_id=account_id, owner=tool_id, purpose=PURPOSE, plaintext=secret.encode()
            )
            tool = Tool(
                id=tool_id,
                account_id=account_id,
                kind="webhook",
                secret_id=secret_id,
                created_at=now,
                updated_at=now,
                **columns,
            )
            session.add(tool)
            touch(session, account_id)
            return tool

        return await self._db.write(write), secret

    async def page(self, account_id: str, *, limit: int, before: tuple[Any, ...] | None) -> list[Tool]:
        """Up to ``limit + 1`` tools, newest first."""
        query = select(Tool).where(Tool.account_id == account_id)
        if before is not None:
            created_at, tool_id = before
            query = query.where(
                (col(Tool.created_at) < created_at)
                | ((col(Tool.created_at) == created_at) & (col(Tool.id) < tool_id))
            )
        query = query.order_by(col(Tool.created_at).desc(), col(Tool.id).desc()).limit(limit + 1)
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def all(self, account_id: str) -> list[Tool]:
        """Every tool of an account, by name."""
        query = select(Tool).where(Tool.account_id == account_id).order_by(col(Tool.name))
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def version(self, account_id: str) -> list[str]:
        """Something that changes when a tool of the account is added, changed or removed."""
        changed = col(Tool.updated_at)
        query = select(func.count(), func.sum(changed), func.max(changed)).where(
            Tool.account_id == account_id
        )
        async with self._db.session() as session:
            return [str(value) for value in (await session.exec(query)).one()]

    async def get(self, account_id: str, tool_id: str) -> Tool:
        """Raises NotFound."""
        async with self._db.session() as session:
            row = await session.get(Tool, tool_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"tool {tool_id} not found")
        return row

    async def find(self, tool_id: str) -> Tool | None:
        """The tool, whoever asks: for those who prove otherwise what they are."""
        async with self._db.session() as session:
            return await session.get(Tool, tool_id)

    async def edit(self, account_id: str, tool_id: str, changes: dict[str, Any]) -> Tool:
        """Raises NotFound, or Conflict if the new name is taken."""

        def write(session: Session) -> Tool:
            row = self._own(session, account_id, tool_id)
            if changes.get("name", row.name) != row.name:
                claim_name(session, account_id, changes["name"], self._reserved)
            for name, value in changes.items():
                setattr(row, name, value)
            row.updated_at = self._clock.now_ms()
            session.add(row)
            touch(session, account_id)
            return row

        row = await self._db.write(write)
        self._changed(tool_id)
        return row

    async def delete(self, account_id: str, tool_id: str) -> None:
        def write(session: Session) -> None:
            row = self._own(session, account_id, tool_id)
            secrets = (row.secret_id, row.old_secret_id, row.config_secret_id)
            self._vault.forget(session, *filter(None, secrets))
            session.delete(row)
            touch(session, account_id)

        await self._db.write(write)
        self._changed(tool_id)

    async def rotate_secret(self, account_id: str, tool_id: str, *, overlap_s: int) -> tuple[str, int | None]:
        """A new signing secret; returns it once, and until when (Unix milliseconds) the one before it is good
        as well: for ``overlap_s``, or not at all. There are never more than two. Raises NotFound,
        InvalidRequest for a tool that has none."""
        secret = new_secret()

        def write(session: Session) -> int | None:
            row = self._own(session, account_id, tool_id)
            if row.secret_id is None:
                raise InvalidRequest(f"the tool {row.name} is a built-in: it has no signing secret")
            if row.old_secret_id is not None:
                self._vault.forget(session, row.old_secret_id)
            row.old_secret_id, row.old_secret_until = None, None
            if overlap_s:
                row.old_secret_id = row.secret_id
                row.old_secret_until = self._clock.now_ms() + overlap_s * 1000
            else:
                self._vault.forget(session, row.secret_id)
            row.secret_id = self._vault.seal(
                session, account_id=account_id, owner=tool_id, purpose=PURPOSE, plaintext=secret.encode()
            )
            session.add(row)
            return row.old_secret_until

        until = await self._db.write(write)
        self._changed(tool_id)
        return secret, until

    def _changed(self, tool_id: str) -> None:
        for listener in self._on_changed:
            listener(tool_id)

    @staticmethod
    def _own(session: Session, account_id: str, tool_id: str) -> Tool:
        row = session.get(Tool, tool_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"tool {tool_id} not found")
        return row
