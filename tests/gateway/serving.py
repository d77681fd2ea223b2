"""Heddle as it runs, on a loopback port: the whole App before a simulated (or given) provider."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from gateway.app import App, running
from gateway.billing.models import Hold, UsageEvent, Wallet
from gateway.inference.providers import Provider, sim_provider
from gateway.loopback import served
from gateway.settings import Settings
from gateway.sim.server import sim_server
from tests.schema import create_sqlite

ADMIN_KEY = "ak_live_test_admin_0123456789"
TIMEOUT_S = 20.0


@dataclass
class Serving:
    """A running Heddle, and shortcuts to what it says and what its database holds."""

    app: App
    base_url: str
    admin_key: str
    http: httpx.AsyncClient
    """Authenticated with the admin key."""

    async def mint(self, **fields: Any) -> dict[str, Any]:
        answer = await self.http.post("/v1/keys", json={"name": "test", **fields})
        assert answer.status_code == 201, answer.text
        minted: dict[str, Any] = answer.json()
        return minted

    async def usage_events(self) -> list[UsageEvent]:
        """Every usage event, oldest first."""
        async with self.app.db.session() as session:
            return list((await session.exec(select(UsageEvent).order_by(col(UsageEvent.created_at)))).all())

    async def holds(self) -> list[Hold]:
        async with self.app.db.session() as session:
            return list((await session.exec(select(Hold))).all())

    async def wallet(self) -> Wallet:
        """The only account's wallet."""
        async with self.app.db.session() as session:
            return (await session.exec(select(Wallet))).one()

    async def only_event(self) -> UsageEvent:
        """The single usage event; nothing may be held any more."""
        (event,) = await self.usage_events()
        assert await self.holds() == []
        assert (await self.wallet()).held_nanos == 0
        return event


@asynccontextmanager
async def serving(
    data_dir: Path,
    behind: Mapping[str, Provider] | None = None,
    *,
    with_sim: bool = False,
    **settings: Any,
) -> AsyncIterator[Serving]:
    """Run Heddle with these settings, before the simulated provider unless others are behind it; that runs
    ``with_sim`` beside them too, for test mode."""
    chosen = Settings(
        **{
            "data_dir": data_dir,
            "bootstrap_admin_key": ADMIN_KEY,
            "default_tools_mode": "none",
            **settings,
        }
    )
    if chosen.database_url is None:
        data_dir.mkdir(exist_ok=True)
        create_sqlite(chosen.resolved_database_url)
    async with AsyncExitStack() as stack:
        sim_url = None
        if behind is None or with_sim:
            sim_url = await stack.enter_async_context(sim_server())
            behind = {"sim": sim_provider(sim_url)} if behind is None else behind
        app = await stack.enter_async_context(running(chosen, behind, sim_url=sim_url))
        base_url = await stack.enter_async_context(served(lambda _url: app.asgi))
        headers = {"x-api-key": ADMIN_KEY}
        http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_S, verify=False)
        yield Serving(app, base_url, ADMIN_KEY, await stack.enter_async_context(http))


@pytest.fixture
async def heddle(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running_heddle:
        yield running_heddle
