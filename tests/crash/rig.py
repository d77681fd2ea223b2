"""A process before the provider, with a key that is limited in every way, and what its client sees."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.crash.books import Books, read_books
from tests.crash.doomed import Doomed
from tests.crash.provider import Provider, provider
from tests.schema import create_sqlite

OPERATOR_TOKEN = "operator-token-of-the-test"


@dataclass(frozen=True)
class Seen:
    """What a client saw of an answer. ``complete``: all of it, to its proper end."""

    status: int = 0
    request_id: str = ""
    body: bytes = b""
    complete: bool = False


@dataclass
class Rig:
    heddle: Doomed
    provider: Provider
    key: str = ""

    async def mint(self, at_once: int) -> None:
        """The key whose calls are made: capped, budgeted, and with so many calls at a time: a hold that stays
        refuses one."""
        async with self.heddle.client() as admin:
            budget = {"budget_usd": 2, "budget_period": "lifetime"}
            (await admin.put("/v1/end-users/ann", json=budget)).raise_for_status()
            limits = {"max_spend_usd": 3, "rpm": 1_000, "tpm": 10_000_000, "max_concurrent": at_once}
            minted = await admin.post("/v1/keys", json={"name": "k", "end_user_id": "ann", **limits})
            self.key = minted.raise_for_status().json()["secret"]

    async def call(self, path: str, body: dict[str, Any]) -> Seen:
        """A call, to its end or to the server's."""
        seen = Seen()
        async with self.heddle.client(self.key) as client:
            try:
                async with client.stream("POST", path, json=body) as answer:
                    seen = Seen(answer.status_code, answer.headers["x-request-id"])
                    async for piece in answer.aiter_raw():
                        seen = Seen(seen.status, seen.request_id, seen.body + piece)
                    return Seen(seen.status, seen.request_id, seen.body, complete=True)
            except httpx.TransportError:
                return seen

    def books(self) -> Books:
        return read_books(self.heddle.database_url)

    async def die_at(self, crash_at: str) -> None:
        """Be dead at the point, which somebody is making the process reach, and start again."""
        await self.heddle.died()
        assert await self.heddle.start(), crash_at

    async def get(self, path: str) -> Any:
        async with self.heddle.client() as client:
            return (await client.get(path)).raise_for_status().json()


@asynccontextmanager
async def rig(folder: Path, *, at_once: int = 1, **settings: Any) -> AsyncIterator[Rig]:
    """On SQLite, unless the settings say otherwise."""
    async with provider() as upstream:
        heddle = Doomed(folder, operator_token=OPERATOR_TOKEN, **upstream.settings(), **settings)
        if "database_url" not in settings:
            create_sqlite(heddle.database_url)
        try:
            await heddle.start()
            found = Rig(heddle, upstream)
            await found.mint(at_once)
            yield found
        finally:
            heddle.close()


async def until(condition: Any, *, seconds: float = 30.0) -> None:
    """Wait for an async condition to hold."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.1)
