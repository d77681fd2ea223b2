"""The broker with all it stands on, as the app wires it, and an end user who connects accounts."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
from sqlmodel import Session

from broker.broker import Broker
from broker.calls import NeedsConnection, ToolCall, ToolResult, ToolScope, ToolSelection
from broker.mcp_stdio import StdioServer
from broker.metering import Payment
from broker.server_store import NewServer
from broker.servers import Registered
from connectors.catalog import Catalog
from connectors.clients import OAuthClients
from connectors.connect import ConnectSessions
from connectors.connections import Connections
from connectors.credentials import Credentials
from connectors.http import OAuthHttp
from connectors.own_client import OwnClient
from connectors.registry import ConnectorRegistry
from gateway.accounts.models import Account
from kit.clock import Clock
from kit.db import Database
from kit.ids import new_id
from kit.outbound import OutboundPolicy, parse_networks
from vault.keyring import KeyRing
from vault.store import Vault

LOOPBACK = OutboundPolicy(parse_networks("loopback"))
KEYS = "v1:" + base64.b64encode(b"k" * 32).decode()
ACME = "acc_acme"


def free() -> Payment:
    """How a tool without a price is paid for."""
    return Payment("call_1", "key_1")


async def there_is(db: Database, account_id: str) -> None:
    """The account exists: its events refer to it."""

    def write(session: Session) -> None:
        session.add(Account(id=account_id, name=account_id, created_at=0))

    await db.write(write)


@dataclass
class Rig:
    db: Database
    vault: Vault
    connections: Connections
    sessions: ConnectSessions
    broker: Broker

    async def webhook(self, name: str, url: str, account: str = ACME, **columns: object) -> str:
        """Register a webhook tool; returns its signing secret."""
        columns = {
            "name": name,
            "description": "",
            "input_schema": {"type": "object"},
            "webhook_url": url,
            "timeout_ms": 5_000,
            "idempotent": False,
            **columns,
        }
        _, secret = await self.broker.registry.create(account, columns)
        return secret

    async def server(
        self,
        name: str,
        url: str,
        account: str = ACME,
        *,
        auth_mode: str = "tenant",
        shared_tools: bool = False,
        headers: Mapping[str, str] | None = None,
        client: OwnClient | None = None,
        slug: str | None = None,
    ) -> Registered:
        return await self.broker.servers.create(
            account,
            NewServer(
                name,
                url,
                auth_mode,
                slug,
                credentials=client or dict(headers or {}),
                policy={"shared_tools": shared_tools},
            ),
        )

    async def call(
        self, name: str, arguments: Mapping[str, object] | None = None, scope: ToolScope | None = None
    ) -> ToolResult:
        """Resolve one tool by its full name and call it; it must not ask for a connection."""
        result = await self.ask(name, arguments, scope)
        assert isinstance(result, ToolResult), result
        return result

    async def ask(
        self, name: str, arguments: Mapping[str, object] | None = None, scope: ToolScope | None = None
    ) -> ToolResult | NeedsConnection:
        scope = scope or ToolScope(ACME)
        toolset = await self.broker.toolset(scope, ToolSelection("explicit", (name,)))
        if toolset.required:
            return toolset.required[0]
        safe_name = toolset.find_display(name)
        assert safe_name is not None
        result = await self.broker.dispatch(
            scope, toolset, ToolCall(new_id("call"), safe_name, dict(arguments or {}), created_at=7), free()
        )
        assert isinstance(result, ToolResult | NeedsConnection)
        return result

    async def connect(
        self, connector: str, end_user_id: str, *, vendor_user: str, account: str = ACME
    ) -> None:
        """Connect an end user's account, asked by nobody."""
        link = await self.sessions.create(account, connector, end_user_id)
        await self.approve(link.connect_url, vendor_user=vendor_user)

    async def approve(self, connect_url: str, *, vendor_user: str) -> set[str]:
        """What an end user's browser does with a connect link, from the link to the callback; what scopes
        the vendor was asked for."""
        session, target = await self.sessions.look_up(connect_url.rpartition("/")[2])
        vendor_url = await self.sessions.authorize(session, target, "this browser")
        async with httpx.AsyncClient(follow_redirects=False) as browser:
            consent = await browser.get(vendor_url)
            form = {"action": "approve", "user": vendor_user}
            answer = await browser.post(consent.headers["location"], data=form)
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        end = await self.sessions.finish(
            state=query["state"][0],
            browser="this browser",
            code=query["code"][0],
            error=None,
            iss=query.get("iss", [None])[0],
        )
        assert end.status == "connected", end.problem
        return set(parse_qs(urlsplit(vendor_url).query).get("scope", [""])[0].split())


@asynccontextmanager
async def rigged(
    db: Database,
    clock: Clock,
    *,
    operator_servers: Mapping[str, StdioServer] | None = None,
    call_timeout_s: float = 5.0,
    policy: OutboundPolicy = LOOPBACK,
    catalog: Catalog | None = None,
) -> AsyncIterator[Rig]:
    await there_is(db, ACME)
    vault = Vault(db, KeyRing.parse(KEYS), clock)
    http = OAuthHttp(policy)
    registry = ConnectorRegistry(db, catalog or Catalog.load())
    clients = OAuthClients(db, vault, clock, http, "http://127.0.0.1:1/connect/callback")
    connections = Connections(db, vault, clock, http, clients)
    credentials = Credentials(db, clock, http, clients, registry, connections)
    sessions = ConnectSessions(
        db, vault, clock, http, clients, registry, connections, public_url="http://127.0.0.1:1"
    )
    broker = Broker(
        db=db,
        vault=vault,
        credentials=credentials,
        connect_sessions=sessions,
        clock=clock,
        policy=policy,
        operator_servers=operator_servers or {},
        call_timeout_s=call_timeout_s,
    )
    await broker.start()
    try:
        yield Rig(db, vault, connections, sessions, broker)
    finally:
        await broker.close()
        await credentials.close()
        await http.close()
