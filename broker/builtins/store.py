"""The rows of built-in tools: registered, changed, opened for a call."""

from typing import Any

import msgspec
from sqlmodel import Session

from broker.builtins.config import ToolConfig
from broker.models import Tool
from broker.namespace import claim_name
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, NotFound
from kit.ids import new_id
from kit.writer import touch
from vault.store import Vault

PURPOSE = "builtin_config"
KIND = "builtin"


class BuiltinStore:
    def __init__(self, db: Database, vault: Vault, clock: Clock, reserved_names: frozenset[str]) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._reserved = reserved_names

    async def create(self, account_id: str, columns: dict[str, Any], config: ToolConfig) -> Tool:
        """Raises Conflict for a taken name."""

        def write(session: Session) -> Tool:
            claim_name(session, account_id, columns["name"], self._reserved)
            now, tool_id = self._clock.now_ms(), new_id("tool")
            tool = Tool(
                id=tool_id, account_id=account_id, kind=KIND, created_at=now, updated_at=now, **columns
            )
            self._keep(session, tool, config)
            session.add(tool)
            touch(session, account_id)
            return tool

        return await self._db.write(write)

    async def edit(self, row: Tool, changes: dict[str, Any], config: ToolConfig | None) -> Tool:
        """Change columns, and the configuration if there is a new one. Raises NotFound, or Conflict if the
        new name is taken, or there is a configuration and the row is not as it was read."""
        seen = _version(row)

        def write(session: Session) -> Tool:
            current = session.get(Tool, row.id, with_for_update=True)
            if current is None:
                raise NotFound(f"tool {row.id} not found")
            if config is not None and _version(current) != seen:
                raise Conflict(
                    "the tool was changed meanwhile; read it and send the change again",
                    code="config_changed",
                    param="config",
                )
            if changes.get("name", current.name) != current.name:
                claim_name(session, current.account_id, changes["name"], self._reserved)
            for name, value in changes.items():
                setattr(current, name, value)
            if config is not None:
                self._keep(session, current, config)
            current.updated_at = self._clock.now_ms()
            session.add(current)
            touch(session, current.account_id)
            return current

        return await self._db.write(write)

    async def open(self, row: Tool) -> ToolConfig:
        """The configuration with its secrets, for the length of one call. Raises SecretNotFound,
        SecretTampered."""
        if row.config_secret_id is None:
            return ToolConfig(dict(row.config or {}), {})
        sealed = await self._vault.open(
            row.config_secret_id, account_id=row.account_id, owner=row.id, purpose=PURPOSE
        )
        return ToolConfig(dict(row.config or {}), msgspec.json.decode(sealed))

    def _keep(self, session: Session, tool: Tool, config: ToolConfig) -> None:
        """Put the configuration in its places: secrets in the vault, the rest and their names in the row."""
        tool.config = config.public
        tool.secret_config = sorted(config.secret)
        whose = {"account_id": tool.account_id, "owner": tool.id, "purpose": PURPOSE}
        plaintext = msgspec.json.encode(config.secret)
        if not config.secret:
            self._vault.forget(session, *filter(None, (tool.config_secret_id,)))
            tool.config_secret_id = None
        elif tool.config_secret_id is None:
            tool.config_secret_id = self._vault.seal(session, **whose, plaintext=plaintext)
        else:  # in its place, for the calls that are under way
            self._vault.replace(session, tool.config_secret_id, **whose, plaintext=plaintext)


def _version(tool: Tool) -> tuple[object, ...]:
    return tool.updated_at, tool.config, tool.secret_config
