"""The rows of MCP servers and of the tools discovered on them. Credentials stay in the vault."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlmodel import Session, col, delete, select

from broker.mcp_listing import ListedTool
from broker.models import McpServer, McpTool
from broker.namespace import claim_name
from connectors.registry import register, unregister
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound
from kit.ids import new_id
from vault.store import Vault

TENANT, PER_USER = "tenant", "per_user"
PURPOSE = "mcp_headers"


@dataclass(frozen=True)
class NewServer:
    name: str
    server_url: str
    auth_mode: str
    catalog_slug: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ToolChanges:
    """What a refresh found; names of tools."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class ServerStore:
    def __init__(self, db: Database, vault: Vault, clock: Clock, reserved_names: frozenset[str]) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._reserved = reserved_names

    async def all(self, account_id: str) -> list[McpServer]:
        """Every server of an account, by name."""
        query = select(McpServer).where(McpServer.account_id == account_id).order_by(col(McpServer.name))
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def get(self, account_id: str, server_id: str) -> McpServer:
        """Raises NotFound."""
        async with self._db.session() as session:
            row = await session.get(McpServer, server_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"MCP server {server_id} not found")
        return row

    async def tools(self, *server_ids: str) -> dict[str, list[McpTool]]:
        """The tools of these servers, each list by name."""
        query = select(McpTool).where(col(McpTool.server_id).in_(server_ids)).order_by(col(McpTool.name))
        async with self._db.session() as session:
            rows = (await session.exec(query)).all()
        found: dict[str, list[McpTool]] = {server_id: [] for server_id in server_ids}
        for row in rows:
            found[row.server_id].append(row)
        return found

    async def insert(self, account_id: str, new: NewServer) -> McpServer:
        """Store a server, its credentials and its connector in one transaction. Raises Conflict."""
        return await self._db.write(lambda session: self._insert(session, account_id, new))

    async def delete(self, server: McpServer) -> None:
        """Forget a server, its tools and credentials; its end users' connections end with it."""

        def write(session: Session) -> None:
            row = session.get(McpServer, server.id)
            if row is None:
                return
            if row.headers_secret_id is not None:
                self._vault.forget(session, row.headers_secret_id)
            session.exec(delete(McpTool).where(col(McpTool.server_id) == row.id))
            if row.auth_mode == PER_USER and row.catalog_slug is None:
                unregister(session, account_id=row.account_id, name=row.name)
            session.delete(row)

        await self._db.write(write)

    async def headers(self, server: McpServer) -> dict[str, str]:
        """The developer's own credentials for a server. Raises SecretNotFound, SecretTampered."""
        if server.headers_secret_id is None:
            return {}
        opened = await self._vault.open(
            server.headers_secret_id, account_id=server.account_id, owner=server.id, purpose=PURPOSE
        )
        headers: dict[str, str] = msgspec.json.decode(opened)
        return headers

    async def store_tools(self, server: McpServer, listed: list[ListedTool]) -> ToolChanges:
        """Replace what is known of a server's tools. Raises NotFound if the server is gone."""
        return await self._db.write(lambda session: self._store_tools(session, server, listed))

    def _insert(self, session: Session, account_id: str, new: NewServer) -> McpServer:
        claim_name(session, account_id, new.name, self._reserved)
        now = self._clock.now_ms()
        server = McpServer(
            id=new_id("mcp"),
            account_id=account_id,
            name=new.name,
            server_url=new.server_url,
            catalog_slug=new.catalog_slug,
            auth_mode=new.auth_mode,
            created_at=now,
            updated_at=now,
        )
        if new.headers:
            server.headers_secret_id = self._vault.seal(
                session,
                account_id=account_id,
                owner=server.id,
                purpose=PURPOSE,
                plaintext=msgspec.json.encode(dict(new.headers)),
            )
        session.add(server)
        session.flush()
        if new.auth_mode == PER_USER and new.catalog_slug is None:
            register(
                session,
                account_id=account_id,
                name=new.name,
                display_name=new.name,
                server_url=new.server_url,
                now_ms=now,
            )
        return server

    def _store_tools(self, session: Session, server: McpServer, listed: list[ListedTool]) -> ToolChanges:
        query = select(McpServer).where(McpServer.id == server.id).with_for_update()
        current = session.exec(query).first()  # locked: two discoveries at once would insert twice
        if current is None:
            raise NotFound(f"MCP server {server.id} not found")
        now = self._clock.now_ms()
        rows = session.exec(select(McpTool).where(McpTool.server_id == server.id)).all()
        known = {row.name: row for row in rows}
        changes = ToolChanges([], [], [])
        for tool in sorted(listed, key=lambda tool: tool.name):
            digest = definition_digest(tool)
            row = known.pop(tool.name, None)
            if row is None:
                changes.added.append(tool.name)
                row = McpTool(
                    id=new_id("mtool"),
                    account_id=server.account_id,
                    server_id=server.id,
                    name=tool.name,
                    description="",
                    input_schema={},
                    definition_sha256="",
                    created_at=now,
                )
            elif row.definition_sha256 != digest:
                changes.changed.append(tool.name)
            row.description, row.input_schema = tool.description, tool.input_schema
            row.retry_safe, row.definition_sha256 = tool.retry_safe, digest
            session.add(row)
        for name, row in known.items():
            changes.removed.append(name)
            session.delete(row)
        current.discovered_at = now
        session.add(current)
        return changes


def definition_digest(tool: ListedTool) -> str:
    """SHA-256 over everything of a definition that a model or a retry relies on."""
    definition: list[Any] = [tool.name, tool.description, tool.input_schema, tool.retry_safe]
    return hashlib.sha256(msgspec.json.encode(definition, order="sorted")).hexdigest()
