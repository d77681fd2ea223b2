"""The rows of MCP servers and of the tools discovered on them. Credentials stay in the vault."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import Session, case, col, delete, func, select

from broker.definition import definition_digest
from broker.mcp_listing import ListedTool
from broker.models import McpServer, McpTool
from broker.namespace import claim_name
from broker.tenant_secret import TenantSecret, opened, opened_clients, seal_anew
from connectors.own_client import OwnClient
from connectors.registry import register, unregister
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, NotFound
from kit.ids import new_id
from kit.outbox import record_event
from kit.writer import touch
from vault.store import Vault

TENANT, PER_USER, EITHER = "tenant", "per_user", "either"
"""Whose credentials a server gets: the developer's; each end user's; the end user's own if they have
connected, else the developer's."""


@dataclass(frozen=True)
class NewServer:
    name: str
    server_url: str
    auth_mode: str
    catalog_slug: str | None = None
    credentials: TenantSecret = field(default_factory=dict, repr=False)
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Columns of McpServer that say what is allowed: approval, tool_rules, timeout_ms, pin,
    allow_sampling, shared_tools."""


@dataclass(frozen=True)
class ToolChanges:
    """What a refresh found; names of tools."""

    added: list[str]
    removed: list[str]
    changed: list[str]

    @property
    def any(self) -> bool:
        return bool(self.added or self.removed or self.changed)


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

    async def versions(self, server_ids: Sequence[str]) -> list[list[str]]:
        """Something that changes when a tool of these servers is added, removed, described otherwise or
        approved of (with ``discovered_at``: two discoveries may find the same names)."""
        defined = col(McpTool.definition_sha256)
        approved = func.sum(case((col(McpTool.approved_sha256) == defined, 1), else_=0))
        server = col(McpTool.server_id)
        query = select_columns(server, func.count(), func.min(defined), func.max(defined), approved)
        query = query.where(server.in_(server_ids)).group_by(server).order_by(server)
        if not server_ids:
            return []
        async with self._db.session() as session:
            rows = await (await session.connection()).execute(query)
        return [[str(value) for value in row] for row in rows]

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
            if row.auth_mode != TENANT and row.catalog_slug is None:
                unregister(session, account_id=row.account_id, name=row.name, now_ms=self._clock.now_ms())
            session.delete(row)
            touch(session, row.account_id)

        await self._db.write(write)

    async def edit(
        self, server: McpServer, columns: Mapping[str, Any], credentials: TenantSecret | None
    ) -> McpServer:
        """Change what is allowed, and the developer's own credentials unless they are None. Pinning approves
        of the definitions of that moment. Raises NotFound."""

        def write(session: Session) -> McpServer:
            row = _locked(session, server)
            if columns.get("pin") and not row.pin:
                _approve(session, row, None)
            for name, value in columns.items():
                setattr(row, name, value)
            if credentials is not None:
                seal_anew(self._vault, session, row, credentials)
            row.updated_at = self._clock.now_ms()
            session.add(row)
            return row

        return await self._db.write(write)

    async def approve(self, server: McpServer, definitions: Mapping[str, str | None] | None) -> list[str]:
        """Accept these tools as they are described now, or all of them; returns whose definition is newly
        accepted. A definition that is given (SHA-256) must be the one there is: else somebody would approve
        of what they have not seen. Raises NotFound, Conflict."""

        def write(session: Session) -> list[str]:
            row = _locked(session, server)
            row.updated_at = self._clock.now_ms()  # what may be listed has changed
            session.add(row)
            return _approve(session, row, definitions)

        return await self._db.write(write)

    async def credentials(self, server: McpServer) -> TenantSecret:
        """The developer's own credentials for a server. Raises SecretNotFound, SecretTampered."""
        return await opened(self._vault, server)

    async def own_clients(self, account_id: str) -> dict[str, OwnClient]:
        """The clients that the account's servers have in place of headers, by server. Raises
        SecretTampered."""
        return await opened_clients(self._vault, account_id)

    async def store_tools(
        self, server: McpServer, listed: list[ListedTool], *, public: bool = False, ttl_ms: int | None = None
    ) -> ToolChanges:
        """Replace what is known of a server's tools. Raises NotFound if the server is gone.

        ``public``: they are the same for every end user.
        """

        def write(session: Session) -> ToolChanges:
            changes = self._store_tools(session, server, listed)
            row = session.get_one(McpServer, server.id)
            row.tools_public, row.tools_ttl_ms = public, ttl_ms
            session.add(row)
            return changes

        return await self._db.write(write)

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
            **new.policy,
        )
        if new.credentials:
            seal_anew(self._vault, session, server, new.credentials)
        session.add(server)
        session.flush()
        touch(session, account_id)
        if new.auth_mode != TENANT and new.catalog_slug is None:
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
        current = _locked(session, server)  # two discoveries at once would insert twice
        now, first = self._clock.now_ms(), current.discovered_at is None
        rows = session.exec(select(McpTool).where(McpTool.server_id == server.id)).all()
        known = {row.name: row for row in rows}
        changes = ToolChanges([], [], [])
        for tool in sorted(listed, key=lambda tool: tool.name):
            digest = definition_digest(tool.name, tool.description, tool.input_schema, tool.retry_safe)
            row = known.pop(tool.name, None)
            if row is None:
                changes.added.append(tool.name)
                row = tool_row(server, tool, now)
                row.approved_sha256 = digest if first or not current.pin else None
            elif row.definition_sha256 != digest:
                changes.changed.append(tool.name)
                row.changed_at = now
            row.description, row.input_schema, row.details = tool.description, tool.input_schema, tool.details
            row.retry_safe, row.definition_sha256 = tool.retry_safe, digest
            session.add(row)
        for name, row in known.items():
            changes.removed.append(name)
            session.delete(row)
        current.discovered_at = now
        session.add(current)
        if changes.any and not first:
            told = {"id": server.id, "name": server.name, "pinned": current.pin, **asdict(changes)}
            record_event(session, server.account_id, "mcp_server.tools_changed", told, now_ms=now)
        return changes


def tool_row(server: McpServer, tool: ListedTool, now_ms: int) -> McpTool:
    return McpTool(
        id=new_id("mtool"),
        account_id=server.account_id,
        server_id=server.id,
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        retry_safe=tool.retry_safe,
        definition_sha256=definition_digest(tool.name, tool.description, tool.input_schema, tool.retry_safe),
        details=tool.details,
        created_at=now_ms,
    )


def _locked(session: Session, server: McpServer) -> McpServer:
    """To change it, or its tools. Raises NotFound if it is gone."""
    query = select(McpServer).where(McpServer.id == server.id).with_for_update()
    row = session.exec(query.execution_options(populate_existing=True)).first()
    if row is None:
        raise NotFound(f"MCP server {server.id} not found")
    touch(session, row.account_id)
    return row


def _approve(session: Session, server: McpServer, definitions: Mapping[str, str | None] | None) -> list[str]:
    rows = session.exec(select(McpTool).where(McpTool.server_id == server.id).order_by(McpTool.name)).all()
    by_name = {row.name: row for row in rows}
    wanted = dict.fromkeys(by_name) if definitions is None else definitions
    accepted = []
    for name, digest in wanted.items():
        row = by_name.get(name)
        if row is None:
            raise NotFound(f"the MCP server {server.name} has no tool {name[:80]}", param="tools")
        if digest is not None and digest != row.definition_sha256:
            raise Conflict(
                f"the definition of {name} is {row.definition_sha256} by now; look at it again",
                code="tool_changed",
                param="tools",
            )
        if row.approved_sha256 != row.definition_sha256:
            row.approved_sha256, row.changed_at = row.definition_sha256, None
            session.add(row)
            accepted.append(name)
    return accepted
