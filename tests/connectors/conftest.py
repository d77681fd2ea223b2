"""The connectors served over HTTP as the front door would, with the demo's vendor to connect to."""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.catalog import Catalog
from connectors.client_routes import client_documents, client_routes, verification_routes
from connectors.clients import ConfiguredClient, OAuthClients
from connectors.connect import ConnectSessions
from connectors.connect_link import ConnectLink
from connectors.connections import Connected, Connections
from connectors.credentials import Credentials
from connectors.device import DeviceFlows
from connectors.http import OAuthHttp
from connectors.page_routes import connect_pages
from connectors.registry import ConnectorRegistry, register
from connectors.routes import connection_routes
from gateway.accounts.branding import Branding
from gateway.accounts.models import Account
from gateway.demo.oauth_mcp import NotebookVendor
from gateway.errors import render_error
from gateway.loopback import served
from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from kit.errors import HeddleError
from kit.outbound import OutboundPolicy, parse_networks
from vault.keyring import KeyRing
from vault.store import Vault

ACCOUNT = "acct_1"
PASTED = """
slug = "pasted"
display_name = "Pasted & Co"
category = "other"
auth = "api_key"
server_url = "http://127.0.0.1:9/mcp"
docs_url = "https://example.com"
source = "the test"
[headers]
authorization = "Bearer {key}"
x-region = "{region}"
[config_schema]
type = "object"
required = ["key"]
[config_schema.properties.key]
type = "string"
format = "password"
title = "Secret key"
pattern = "^sk-"
[config_schema.properties.region]
type = "string"
"""


@dataclass
class Desk:
    """Everything a connect flow needs, and what came of it."""

    db: Database
    clock: ManualClock
    vault: Vault
    connections: Connections
    sessions: ConnectSessions
    url: str
    stack: AsyncExitStack
    credentials: Credentials
    other: Credentials
    """The credentials as a second process leases them."""
    devices: DeviceFlows
    branding: Branding
    connected: list[Connected] = field(default_factory=list)

    async def vendor(self, name: str = "notebook") -> NotebookVendor:
        vendor = NotebookVendor("")

        url = await self.stack.enter_async_context(served(vendor.build))
        await self.connector(name, f"{url}/mcp")
        return vendor

    async def connector(self, name: str, server_url: str) -> None:
        await self.db.write(
            lambda session: register(
                session, account_id=ACCOUNT, name=name, display_name=name, server_url=server_url, now_ms=0
            )
        )

    async def link(self, connector: str = "notebook", **options: Any) -> ConnectLink:
        return await self.sessions.create(ACCOUNT, connector, "ada", **options)

    async def browser(self) -> httpx.AsyncClient:
        return await self.stack.enter_async_context(httpx.AsyncClient(timeout=20))

    async def api(self, caller: Caller) -> httpx.AsyncClient:
        headers = {"x-caller": f"{caller.account_id},{caller.end_user_id or ''},{caller.scope}"}
        client = httpx.AsyncClient(base_url=self.url, headers=headers)
        return await self.stack.enter_async_context(client)


def _authenticated(app: FastAPI) -> ASGIApp:
    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"x-caller", b"").decode()
            if given:
                account_id, end_user_id, key_scope = given.split(",")
                scope["caller"] = Caller(account_id, "key", key_scope or "standard", end_user_id or None)
        await app(scope, receive, send)

    return door


@pytest.fixture
def vendor_files() -> dict[str, str]:
    """The operator's own vendor files, by name; modules that need others override this."""
    return {"pasted": PASTED}


@pytest.fixture
def configured() -> dict[str, ConfiguredClient]:
    """The operator's own OAuth clients; modules that need some override this."""
    return {}


@pytest.fixture
async def desk(
    db: Database,
    tmp_path: Path,
    clock: ManualClock,
    vendor_files: dict[str, str],
    configured: dict[str, ConfiguredClient],
) -> AsyncIterator[Desk]:
    async with open_desk(db, tmp_path, clock, vendor_files, configured) as opened:
        yield opened


@asynccontextmanager
async def open_desk(
    db: Database,
    folder: Path,
    clock: ManualClock,
    vendor_files: dict[str, str],
    configured: dict[str, ConfiguredClient],
    *,
    public_url: str | None = None,
) -> AsyncIterator[Desk]:
    """``public_url``: of a front that hands on to the desk's own ``url``."""
    (folder / "catalogue").mkdir()
    for name, text in vendor_files.items():
        (folder / "catalogue" / f"{name}.toml").write_text(text)
    account = Account(id=ACCOUNT, name="Acme <Apps>", created_at=0)
    second = Account(id="acct_2", name="Other", created_at=0)
    await db.write(lambda session: session.add_all([account.model_copy(), second.model_copy()]))
    async with AsyncExitStack() as stack:
        policy = OutboundPolicy(parse_networks("loopback"))
        http = OAuthHttp(policy)
        stack.push_async_callback(http.close)
        vault = Vault(db, KeyRing.parse(f"v1:{base64.b64encode(bytes(32)).decode()}"), clock)
        registry = ConnectorRegistry(db, Catalog.load(folder / "catalogue"))
        app = FastAPI()

        @app.exception_handler(HeddleError)
        async def heddle_error(request: Request, error: HeddleError) -> Response:
            return render_error(request, error)

        url = await stack.enter_async_context(served(lambda _: _authenticated(app)))
        clients = OAuthClients(db, vault, clock, http, f"{public_url or url}/connect/callback", configured)
        connections = Connections(db, vault, clock, http, clients)
        credentials = Credentials(db, clock, http, clients, registry, connections)
        elsewhere = Connections(db, vault, clock, http, clients)
        other = Credentials(db, clock, http, clients, registry, elsewhere)
        sessions = ConnectSessions(
            db, vault, clock, http, clients, registry, connections, public_url=public_url or url
        )
        devices = DeviceFlows(db, vault, clock, http, registry, sessions)
        branding = Branding(db, clock, policy)
        desk = Desk(
            db, clock, vault, connections, sessions, url, stack, credentials, other, devices, branding
        )

        async def note(event: Connected) -> None:
            desk.connected.append(event)

        connections.on_connected(note)
        app.include_router(connection_routes(connections, credentials, sessions, devices))
        app.include_router(client_routes(registry, sessions))
        app.include_router(verification_routes(sessions))
        app.include_router(client_documents(clients))
        app.include_router(connect_pages(sessions, desk.branding, secure_cookie=False))

        yield desk
