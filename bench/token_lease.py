"""What leasing a credential for a dispatch costs, from memory and from the database with the vault.

``python -m bench.token_lease`` prints milliseconds of a lease (CPU and clock), on SQLite, with as many
connections as the cache holds.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from connectors.catalog import Catalog
from connectors.clients import OAuthClients
from connectors.connections import OAUTH, Connected, Connections, NewCredentials
from connectors.credentials import Credentials
from connectors.http import OAuthHttp
from connectors.registry import ConnectorRegistry
from gateway.accounts.models import Account
from gateway.migrations import migrate
from kit.brief_cache import MAX_ENTRIES
from kit.clock import SystemClock
from kit.db import Database
from kit.outbound import OutboundPolicy
from vault.keyring import KeyRing
from vault.store import Vault

ACCOUNT = "acct_bench"
VENDOR = {"issuer": "https://vendor.example", "token_endpoint": "https://vendor.example/token"}
TIMES, ROUNDS = 2_000, 7
AIM_MS = 0.2


async def measure(once: Callable[[int], Awaitable[object]], times: int) -> tuple[float, float]:
    """CPU and wall milliseconds of one call: medians of the rounds."""
    cpu, wall = [], []
    for _ in range(ROUNDS):
        started, began = time.process_time(), time.perf_counter()
        for number in range(times):
            await once(number % MAX_ENTRIES)
        cpu.append((time.process_time() - started) * 1000 / times)
        wall.append((time.perf_counter() - began) * 1000 / times)
    return median(cpu), median(wall)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        db, clock = Database(f"sqlite:///{Path(folder) / 'bench.db'}"), SystemClock()
        migrate(db.url)
        await db.write(lambda session: session.add(Account(id=ACCOUNT, name=ACCOUNT, created_at=0)))
        http = OAuthHttp(OutboundPolicy())
        vault = Vault(db, KeyRing({"v1": secrets.token_bytes(32)}), clock)
        clients = OAuthClients(db, vault, clock, http, "http://127.0.0.1:1/connect/callback")
        connections = Connections(db, vault, clock, http, clients)
        credentials = Credentials(db, clock, http, clients, ConnectorRegistry(db, Catalog({})), connections)
        tokens = {"access_token": secrets.token_urlsafe(700), "refresh_token": secrets.token_urlsafe(700)}
        new = NewCredentials(OAUTH, tokens, expires_at=clock.now_ms() + 86_400_000, oauth=VENDOR)
        for number in range(MAX_ENTRIES):
            key = Connected(ACCOUNT, "vendor", str(number), "")
            await connections.store(lambda _session, _id: None, key=key, new=new)
        ids = {row.end_user_id: row.id for row in await connections.page(ACCOUNT, limit=9_999, before=None)}

        async def warm(number: int) -> None:
            await credentials.lease(ACCOUNT, "vendor", str(number))

        async def cold(number: int) -> None:
            connections.changed(ids[str(number)])
            await credentials.lease(ACCOUNT, "vendor", str(number))

        for name, once, times in (("database and vault", cold, 300), ("memory", warm, TIMES)):
            if once is warm:
                for number in range(MAX_ENTRIES):
                    await warm(number)
            cpu, wall = await measure(once, times)
            print(f"from {name}: {cpu:.4f} CPU-ms, {wall:.4f} ms (aim from memory {AIM_MS})")
        await credentials.close()
        await http.close()
        await db.close()


if __name__ == "__main__":
    asyncio.run(main())
