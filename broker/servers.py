"""MCP servers of an account: registration, discovery of their tools, and who calls them with what."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from broker.calls import ToolScope
from broker.mcp_call import ListedTool, McpCaller, McpCallFailed, Unauthorized
from broker.mcp_pool import McpTarget
from broker.models import McpServer, McpTool
from connectors.connections import ConnectionRequired, Connections, Credential
from connectors.registry import register, unregister
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, InvalidRequest, NotFound, UpstreamFailed
from kit.ids import new_id
from vault.store import Vault

logger = logging.getLogger("heddle.broker")

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


@dataclass(frozen=True)
class Bearer:
    """How one call reaches a server: the pool's target, and the credential it carries if it is a user's."""

    target: McpTarget
    credential: Credential | None = None


class McpServers:
    def __init__(
        self, db: Database, vault: Vault, clock: Clock, connections: Connections, caller: McpCaller
    ) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._connections = connections
        self._caller = caller

    async def create(self, account_id: str, new: NewServer) -> tuple[McpServer, list[McpTool]]:
        """Register a server and discover its tools.

        A tenant server must answer now; a per-user server that wants credentials for its list is
        discovered when the first end user has connected. Raises Conflict, InvalidRequest, UpstreamFailed.
        """
        anonymous = McpTarget(key=(f"probe:{new_id('p')}", ""), url=new.server_url, headers=new.headers)
        listed: list[ListedTool] | None = None
        try:
            listed = await self._caller.list_tools(anonymous)
        except Unauthorized:
            if new.auth_mode == TENANT:
                raise InvalidRequest(
                    "the MCP server does not accept these credentials (401); send auth_headers, "
                    'or auth_mode "per_user"',
                    code="mcp_unauthorized",
                    param="auth_headers",
                ) from None
        except McpCallFailed as failure:
            raise UpstreamFailed(
                f"the MCP server {new.server_url} could not be asked for its tools: {failure.message}",
                code="mcp_unreachable",
                details={"mcp_status": failure.status},
            ) from None
        try:
            server = await self._db.write(lambda session: self._insert(session, account_id, new))
        except IntegrityError:
            raise Conflict(
                f"there is an MCP server named {new.name} already", code="name_taken", param="name"
            ) from None
        if listed is not None:
            await self._store_tools(server, listed)
        return server, await self.tools(server)

    async def refresh(self, server: McpServer, scope: ToolScope) -> ToolChanges:
        """List the tools again. Raises ConnectionRequired, UpstreamFailed."""
        return await self._store_tools(server, await self.list_live(server, scope))

    async def list_live(self, server: McpServer, scope: ToolScope) -> list[ListedTool]:
        """The server's tools, asked for with the credentials of this scope."""
        bearer = await self.bearer(server, scope)
        try:
            try:
                return await self._caller.list_tools(bearer.target)
            except Unauthorized:
                bearer = await self.renewed(server, scope, bearer)
                return await self._caller.list_tools(bearer.target)
        except Unauthorized:
            raise self.refused(server, scope) from None
        except McpCallFailed as failure:
            raise UpstreamFailed(
                f"the MCP server {server.name} could not be asked for its tools: {failure.message}",
                code="mcp_unreachable",
            ) from None

    async def discover_for(self, server: McpServer, scope: ToolScope) -> None:
        """First discovery of a per-user server, by an end user who is connected."""
        await self.refresh(server, scope)

    async def bearer(self, server: McpServer, scope: ToolScope) -> Bearer:
        """How to call as this scope. Raises ConnectionRequired, or InvalidRequest without an end user."""
        if server.auth_mode == TENANT:
            headers = await self._tenant_headers(server)
            return Bearer(McpTarget(key=(server.id, "tenant"), url=server.server_url, headers=headers))
        if scope.end_user_id is None:
            raise InvalidRequest(
                f"the tools of {server.name} act as an end user, and this thread has none; "
                "create the thread with an end_user_id",
                code="end_user_required",
            )
        credential = await self._connections.lease(server.account_id, connector_of(server), scope.end_user_id)
        return Bearer(self._user_target(server, credential), credential)

    async def renewed(self, server: McpServer, scope: ToolScope, refused: Bearer) -> Bearer:
        """Another credential after a 401. Raises ConnectionRequired, or Unauthorized for a tenant's own."""
        if refused.credential is None or scope.end_user_id is None:
            raise Unauthorized
        credential = await self._connections.lease(
            server.account_id, connector_of(server), scope.end_user_id, rejected=refused.credential
        )
        return Bearer(self._user_target(server, credential), credential)

    @staticmethod
    def refused(server: McpServer, scope: ToolScope) -> Exception:
        """What a final 401 means."""
        if server.auth_mode == PER_USER and scope.end_user_id is not None:
            return ConnectionRequired(connector_of(server), scope.end_user_id, "expired")
        return UpstreamFailed(
            f"the MCP server {server.name} does not accept the configured credentials",
            code="mcp_unauthorized",
        )

    # --- rows -------------------------------------------------------------------------------------

    async def all(self, account_id: str) -> list[McpServer]:
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

    async def tools(self, server: McpServer) -> list[McpTool]:
        query = select(McpTool).where(McpTool.server_id == server.id).order_by(col(McpTool.name))
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def delete(self, server: McpServer) -> None:
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

    def _insert(self, session: Session, account_id: str, new: NewServer) -> McpServer:
        now = self._clock.now_ms()
        server_id = new_id("mcp")
        secret_id = None
        if new.headers:
            secret_id = self._vault.seal(
                session,
                account_id=account_id,
                owner=server_id,
                purpose=PURPOSE,
                plaintext=msgspec.json.encode(dict(new.headers)),
            )
        server = McpServer(
            id=server_id,
            account_id=account_id,
            name=new.name,
            server_url=new.server_url,
            catalog_slug=new.catalog_slug,
            auth_mode=new.auth_mode,
            headers_secret_id=secret_id,
            created_at=now,
            updated_at=now,
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

    async def _store_tools(self, server: McpServer, listed: list[ListedTool]) -> ToolChanges:
        unique = {tool.name: tool for tool in reversed(listed)}  # of duplicates, the first one counts

        def write(session: Session) -> ToolChanges:
            now = self._clock.now_ms()
            known = {
                row.name: row
                for row in session.exec(select(McpTool).where(McpTool.server_id == server.id)).all()
            }
            changes = ToolChanges([], [], [])
            for name, tool in sorted(unique.items()):
                digest = _digest(tool)
                row = known.pop(name, None)
                if row is None:
                    changes.added.append(name)
                    row = McpTool(
                        id=new_id("mtool"),
                        account_id=server.account_id,
                        server_id=server.id,
                        name=name,
                        description="",
                        input_schema={},
                        definition_sha256="",
                        created_at=now,
                    )
                elif row.definition_sha256 != digest:
                    changes.changed.append(name)
                row.description, row.input_schema = tool.description, tool.input_schema
                row.retry_safe, row.definition_sha256 = tool.retry_safe, digest
                session.add(row)
            for name, row in known.items():
                changes.removed.append(name)
                session.delete(row)
            current = session.get(McpServer, server.id)
            if current is not None:
                current.discovered_at = now
                session.add(current)
            return changes

        return await self._db.write(write)

    async def _tenant_headers(self, server: McpServer) -> dict[str, str]:
        if server.headers_secret_id is None:
            return {}
        opened = await self._vault.open(
            server.headers_secret_id, account_id=server.account_id, owner=server.id, purpose=PURPOSE
        )
        headers: dict[str, str] = msgspec.json.decode(opened)
        return headers

    @staticmethod
    def _user_target(server: McpServer, credential: Credential) -> McpTarget:
        key = (server.id, credential.connection_id)
        return McpTarget(key=key, url=server.server_url, headers=credential.headers)


def connector_of(server: McpServer) -> str:
    """The name under which end users connect to a server."""
    return server.catalog_slug or server.name


def _digest(tool: ListedTool) -> str:
    definition: list[Any] = [tool.name, tool.description, tool.input_schema]
    return hashlib.sha256(msgspec.json.encode(definition, order="sorted")).hexdigest()
