"""Heddle with an operator's MCP server whose tools cost money."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import Session, col, select

from gateway.accounts.models import Account
from gateway.billing.ledger import verify_account
from gateway.billing.models import Hold, LedgerEntry, UsageEvent, Wallet
from gateway.settings import McpServerSettings
from tests.serving import Served, heddle

SCRIPT = Path(__file__).with_name("search_server.py")
ASKING = Path(__file__).with_name("asking_server.py")
PRICES = {"search/*": "0.01", "search/help": "0"}
PRICE = 10_700_000
"""Of a call in nano-USD, with the usual markup of 7 %."""


@dataclass
class Shop:
    """A running Heddle, what its tool server was asked, and what its books say."""

    heddle: Served
    log: Path

    @property
    def calls(self) -> list[str]:
        """The calls that reached the server, each as its tool and its mark."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    async def call(
        self, client: httpx.AsyncClient, tool: str = "search/query", **arguments: Any
    ) -> httpx.Response:
        return await client.post("/v1/tools/call", json={"name": tool, "input": arguments})

    async def turn(self, client: httpx.AsyncClient, content: str, **fields: Any) -> httpx.Response:
        """A turn in a thread of its own, which may use the server's tools."""
        thread = (await client.post("/v1/threads", json={})).raise_for_status().json()["id"]
        body = {"model": "sim-small", "max_tokens": 200, "content": content, "tools": ["search"], **fields}
        return await client.post(f"/v1/threads/{thread}/messages", json=body)

    async def events(self) -> list[UsageEvent]:
        """The usage events of tools, oldest first."""
        query = select(UsageEvent).where(col(UsageEvent.tool).is_not(None))
        async with self.heddle.app.db.session() as session:
            return list((await session.exec(query.order_by(col(UsageEvent.created_at)))).all())

    async def paid(self) -> list[int]:
        """The ledger's debits for tools, in nano-USD, after making sure that the books are in order."""
        async with self.heddle.app.db.session() as session:
            assert (await session.exec(select(Hold))).all() == []
            entries = (await session.exec(select(LedgerEntry).where(LedgerEntry.kind == "tool"))).all()
            wallet = (await session.exec(select(Wallet))).one()
        assert wallet.held_nanos == 0

        def verify(session: Session) -> list[str]:
            return [fault.problem for fault in verify_account(session, wallet.account_id)]

        assert await self.heddle.app.db.write(verify) == []
        costs = sorted(event.cost_nanos for event in await self.events() if event.cost_nanos)
        paid = sorted(-entry.amount_nanos for entry in entries)
        assert costs == paid
        return paid

    async def account_id(self) -> str:
        async with self.heddle.app.db.session() as session:
            return (await session.exec(select(Account.id))).one()


@asynccontextmanager
async def shop(
    database_url: str,
    folder: Path,
    *,
    prices: Mapping[str, str] = PRICES,
    asks: bool = False,
    **settings: Any,
) -> AsyncIterator[Shop]:
    log = folder / "calls.log"
    arguments = (str(ASKING),) if asks else ("-S", str(SCRIPT), str(log))
    server = McpServerSettings(command=sys.executable, args=arguments)
    async with heddle(
        database_url, folder, mcp_servers={"search": server}, tool_usd=dict(prices), **settings
    ) as served:
        yield Shop(served, log)
