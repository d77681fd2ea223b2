"""A whole Heddle with a stdio server of the operator's, and who asks it for tools."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlmodel import Session

from gateway.accounts.keys import NewKey
from gateway.accounts.models import Account
from gateway.settings import McpServerSettings
from tests.broker.test_broker import CITY
from tests.serving import Served, heddle

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": CITY,
    "webhook_url": "https://example.com/hook",
}
TIME = McpServerSettings(command=sys.executable, args=("-m", "mcp_server_time", "--local-timezone=UTC"))


@pytest.fixture
async def served(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with heddle(sqlite_url, tmp_path, providers={}, mcp_servers={"time": TIME}) as served:
        yield served


async def stranger(served: Served) -> httpx.AsyncClient:
    """An administrator of another account."""
    row = Account(id="acct_other", name="Other", created_at=0)
    other = row.model_copy()

    def write(session: Session) -> None:
        session.add(other)

    await served.app.db.write(write)
    _, secret = await served.app.keys.mint("acct_other", NewKey("other", "admin"))
    return await served.client(secret)


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]
