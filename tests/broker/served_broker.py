"""A broker whose connect links can be opened in a browser: served beside the hosted pages."""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from broker.broker import Broker
from broker.calls import NeedsConnection, ToolCall, ToolResult, ToolScope, ToolSelection
from broker.mcp_stdio import StdioServer
from broker.server_store import NewServer
from connectors.catalog import Catalog
from connectors.clients import OAuthClients
from connectors.connect import ConnectSessions
from connectors.connections import Connections
from connectors.credentials import Credentials
from connectors.http import OAuthHttp
from connectors.page_routes import connect_pages
from connectors.registry import ConnectorRegistry
from gateway.accounts.branding import Branding
from gateway.loopback import served
from kit.clock import SystemClock
from kit.db import Database
from kit.ids import new_id
from kit.outbound import OutboundPolicy, parse_networks
from tests.broker.rig import free, there_is
from vault.keyring import KeyRing
from vault.store import Vault

ACCOUNT = "acct_1"


@dataclass
class Bench:
    """A broker, and shortcuts to register tools and call them."""

    broker: Broker
    connections: Connections
    stack: AsyncExitStack

    async def webhook(self, url: str, **fields: Any) -> str:
        """Register a webhook tool named ``hook``; returns its secret."""
        columns = {
            "name": "hook",
            "description": "",
            "input_schema": {"type": "object"},
            "webhook_url": url,
            "timeout_ms": 2_000,
            "idempotent": False,
            **fields,
        }
        _, secret = await self.broker.registry.create(ACCOUNT, columns)
        return secret

    async def server(self, url: str, name: str = "srv", auth_mode: str = "tenant", **fields: Any) -> None:
        await self.broker.servers.create(ACCOUNT, NewServer(name, url, auth_mode, **fields))

    async def call(
        self, name: str, arguments: dict[str, Any] | None = None, end_user_id: str | None = None
    ) -> ToolResult | NeedsConnection:
        """Resolve one tool by its full name and call it."""
        scope = ToolScope(ACCOUNT, end_user_id, "thread_1", "turn_1", {"plan": "pro"})
        toolset = await self.broker.toolset(scope, ToolSelection("explicit", (name,)))
        if toolset.required:
            return toolset.required[0]
        safe_name = toolset.find_display(name)
        assert safe_name is not None
        call = ToolCall(new_id("toolu"), safe_name, arguments or {}, iteration=1, created_at=7)
        result = await self.broker.dispatch(scope, toolset, call, free())
        assert isinstance(result, ToolResult | NeedsConnection)
        return result

    async def result(self, name: str, arguments: dict[str, Any] | None = None) -> ToolResult:
        result = await self.call(name, arguments)
        assert isinstance(result, ToolResult)
        return result


@asynccontextmanager
async def bench_on(
    sqlite_db: Database, operator_servers: dict[str, StdioServer] | None = None
) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        await there_is(sqlite_db, ACCOUNT)
        clock = SystemClock()
        policy = OutboundPolicy(parse_networks("loopback"))
        ring = KeyRing.parse(f"v1:{base64.b64encode(bytes(32)).decode()}")
        vault, http = Vault(sqlite_db, ring, clock), OAuthHttp(policy)
        stack.push_async_callback(http.close)
        registry = ConnectorRegistry(sqlite_db, Catalog({}))
        pages = FastAPI()
        url = await stack.enter_async_context(served(lambda _: pages))
        clients = OAuthClients(sqlite_db, vault, clock, http, f"{url}/connect/callback")
        connections = Connections(sqlite_db, vault, clock, http, clients)
        credentials = Credentials(sqlite_db, clock, http, clients, registry, connections)
        sessions = ConnectSessions(
            sqlite_db, vault, clock, http, clients, registry, connections, public_url=url
        )

        branding = Branding(sqlite_db, clock, policy)
        pages.include_router(connect_pages(sessions, branding, secure_cookie=False))
        broker = Broker(
            db=sqlite_db,
            vault=vault,
            credentials=credentials,
            connect_sessions=sessions,
            clock=clock,
            policy=policy,
            operator_servers=operator_servers or {},
            call_timeout_s=2.0,
        )
        await broker.start()
        stack.push_async_callback(broker.close)
        yield Bench(broker, connections, stack)
