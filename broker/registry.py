"""The developer's webhook tools: create, read, change, delete. Secrets stay in the vault. Who watches an
account's tools is told of changes by its id."""

from typing import Any

from sqlmodel import Session, col, select

from broker.models import Tool
from broker.namespace import claim_name
from broker.signing import new_secret
from broker.webhook import WebhookTarget
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound
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

        return await self._db.write(write)

    async def delete(self, account_id: str, tool_id: str) -> None:
        def write(session: Session) -> None:
            row = self._own(session, account_id, tool_id)
            self._vault.forget(session, row.secret_id)
            session.delete(row)
            touch(session, account_id)

        await self._db.write(write)

    async def rotate_secret(self, account_id: str, tool_id: str) -> str:
        """A new signing secret in place of the old one; returns it once. Raises NotFound."""
        secret = new_secret()

        def write(session: Session) -> None:
            row = self._own(session, account_id, tool_id)
            self._vault.replace(
                session,
                row.secret_id,
                account_id=account_id,
                owner=tool_id,
                purpose=PURPOSE,
                plaintext=secret.encode(),
            )

        await self._db.write(write)
        return secret

    async def target(self, tool: Tool) -> WebhookTarget:
        """A tool with its secret opened, for the length of one call."""
        secret = await self._vault.open(
            tool.secret_id, account_id=tool.account_id, owner=tool.id, purpose=PURPOSE
        )
        return WebhookTarget(
            tool.id, tool.name, tool.webhook_url, tool.timeout_ms, tool.idempotent, secret.decode()
        )

    @staticmethod
    def _own(session: Session, account_id: str, tool_id: str) -> Tool:
        row = session.get(Tool, tool_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"tool {tool_id} not found")
        return row
