"""The broker on SQLite for behaviour, and on each engine for what it stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from broker.webhook import WebhookDispatcher
from kit.clock import ManualClock
from kit.db import Database
from tests.broker.rig import LOOPBACK, Rig, rigged
from tests.broker.served_broker import Bench, bench_on
from tests.serving import Served, heddle


@pytest.fixture
async def rig(sqlite_db: Database, clock: ManualClock) -> AsyncIterator[Rig]:
    async with rigged(sqlite_db, clock) as rig:
        yield rig


@pytest.fixture
async def stored(db: Database, clock: ManualClock) -> AsyncIterator[Rig]:
    """The rig on each database engine in turn."""
    async with rigged(db, clock) as rig:
        yield rig


@pytest.fixture
async def bench(sqlite_db: Database) -> AsyncIterator[Bench]:
    async with bench_on(sqlite_db) as bench:
        yield bench


@pytest.fixture
async def dispatcher(clock: ManualClock) -> AsyncIterator[WebhookDispatcher]:
    dispatcher = WebhookDispatcher(LOOPBACK, clock)
    yield dispatcher
    await dispatcher.close()


@pytest.fixture
async def served(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A whole Heddle without providers; modules that need more of it override this."""
    async with heddle(sqlite_url, tmp_path, providers={}) as served:
        yield served


@pytest.fixture
async def admin(served: Served) -> httpx.AsyncClient:
    return await served.client()
