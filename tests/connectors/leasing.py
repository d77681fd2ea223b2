"""A process that calls a vendor's tool with leased credentials: the database, the vault and the connectors,
nothing else."""

import asyncio
import base64
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Any

import httpx

from connectors.catalog import Catalog
from connectors.clients import OAuthClients
from connectors.connections import Connections
from connectors.credentials import Credentials
from connectors.http import OAuthHttp
from connectors.registry import ConnectorRegistry
from gateway.migrations import tables  # noqa: F401 - foreign keys name tables of all packages
from kit.clock import ManualClock
from kit.crash_points import arm
from kit.db import Database
from kit.errors import HeddleError
from kit.outbound import OutboundPolicy, parse_networks
from tests.forking import FORKING
from vault.keyring import KeyRing
from vault.store import Vault

PATIENCE_S = 90.0
MODERN = "2026-07-28"
META = "io.modelcontextprotocol"
BODY = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "list_notes",
        "arguments": {},
        "_meta": {
            f"{META}/protocolVersion": MODERN,
            f"{META}/clientCapabilities": {},
            f"{META}/clientInfo": {"name": "test", "version": "1"},
        },
    },
}
HEADERS = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": MODERN,
    "mcp-method": "tools/call",
    "mcp-name": "list_notes",
}


@dataclass(frozen=True)
class Setup:
    database_url: str
    account_id: str
    redirect_uri: str
    tool_url: str


@dataclass(frozen=True)
class Order:
    """So many calls at once, at a time; ``crash_at``: where to die meanwhile."""

    calls: int
    now_ms: int
    crash_at: str = ""


@dataclass
class Told:
    """What came of the calls."""

    generations: list[int] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Leasing:
    """``tell`` it what to do, ``hear`` what came of it."""

    def __init__(self, setup: Setup) -> None:
        self._pipe, theirs = FORKING.Pipe()
        self.process = FORKING.Process(target=_work, args=(setup, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def tell(self, order: Order) -> None:
        self._pipe.send(order)

    async def hear(self) -> Told:
        """Raises EOFError if it died."""
        there = await asyncio.to_thread(self._pipe.poll, PATIENCE_S)
        assert there, "it is silent"
        told: Told = self._pipe.recv()
        return told

    async def do(self, order: Order) -> Told:
        self.tell(order)
        return await self.hear()

    def close(self) -> None:
        self._pipe.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()


def _work(setup: Setup, pipe: Pipe) -> None:
    asyncio.run(_obey(setup, pipe))


async def _obey(setup: Setup, pipe: Pipe) -> None:
    db, clock = Database(setup.database_url), ManualClock()
    http = OAuthHttp(OutboundPolicy(parse_networks("loopback")))
    vault = Vault(db, KeyRing.parse(f"v1:{base64.b64encode(bytes(32)).decode()}"), clock)
    clients = OAuthClients(db, vault, clock, http, setup.redirect_uri)
    connections = Connections(db, vault, clock, http, clients)
    registry = ConnectorRegistry(db, Catalog({}))
    credentials = Credentials(db, clock, http, clients, registry, connections)
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        while True:
            try:
                order: Order = await asyncio.to_thread(pipe.recv)
            except EOFError:
                break
            clock.advance(seconds=(order.now_ms - clock.now_ms()) / 1000)
            arm(order.crash_at)
            told = Told()
            calls = (_call(setup, credentials, client, told) for _ in range(order.calls))
            await asyncio.gather(*calls)
            pipe.send(told)
    await credentials.close()
    await http.close()
    await db.close()


async def _call(setup: Setup, credentials: Credentials, client: httpx.AsyncClient, told: Told) -> None:
    """As the broker does it: a token that is refused is renewed once."""
    try:
        credential = await credentials.lease(setup.account_id, "notebook", "ada")
        answer = await _send(setup, client, credential.headers)
        if answer.status_code == 401:
            credential = await credentials.lease(setup.account_id, "notebook", "ada", rejected=credential)
            answer = await _send(setup, client, credential.headers)
    except HeddleError as failure:
        told.failures.append(f"{failure.code}: {failure.message}")
        return
    told.generations.append(credential.generation)
    told.answers.append(answer.text)


async def _send(setup: Setup, client: httpx.AsyncClient, headers: Any) -> httpx.Response:
    return await client.post(setup.tool_url, json=BODY, headers={**HEADERS, **headers})
