"""A Heddle with a catalogue of two vendors, an account's own tools, and what end users do with them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.demo.story import approve_in_browser
from tests.broker.mcp_peers import Toolbox, toolbox
from tests.broker.test_broker import CITY, echo_hook, notebook
from tests.serving import Served, heddle

KEY = "s3cret-of-the-end-user"
NOTEBOOK = """
slug = "notebook"
display_name = "Notebook"
category = "documents"
auth = "oauth"
server_url = "{url}"
docs_url = "https://example.com"
source = "the tests"
"""
ABACUS = """
slug = "abacus"
display_name = "Abacus"
category = "data"
auth = "api_key"
server_url = "{url}"
docs_url = "https://example.com"
source = "the tests"
[headers]
authorization = "Bearer {{api_key}}"
[config_schema]
type = "object"
required = ["api_key"]
[config_schema.properties.api_key]
type = "string"
format = "password"
title = "API key"
"""
WEATHER = {"name": "get_weather", "description": "The weather in a city", "input_schema": CITY}


@dataclass
class Market:
    """``calls``: what reached the account's own webhook; ``abacus``: the vendor that takes a key."""

    served: Served
    calls: list[dict[str, Any]]
    abacus: Toolbox

    async def user(self, end_user_id: str) -> httpx.AsyncClient:
        client, _ = await self.served.mint(end_user_id=end_user_id)
        return client


@asynccontextmanager
async def market(database_url: str, folder: Path) -> AsyncIterator[Market]:
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(notebook())
        abacus = await stack.enter_async_context(toolbox(Toolbox(bearer=KEY)))
        calls, hook = await stack.enter_async_context(echo_hook())
        catalog = folder / "catalog"
        catalog.mkdir()
        (catalog / "notebook.toml").write_text(NOTEBOOK.format(url=f"{vendor.base_url}/mcp"))
        (catalog / "abacus.toml").write_text(ABACUS.format(url=abacus.base_url))
        served = await stack.enter_async_context(heddle(database_url, folder, catalog_dir=catalog))
        admin = await served.client()
        (await admin.post("/v1/tools", json={**WEATHER, "webhook_url": hook})).raise_for_status()
        yield Market(served, calls, abacus)


async def search(client: httpx.AsyncClient, intent: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """What is found, by name."""
    answer = await client.post("/v1/tools/search", json={"intent": intent, **fields})
    return {found["name"]: found for found in answer.raise_for_status().json()["results"]}


async def manage(client: httpx.AsyncClient, action: str, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/connections", json={"action": action, **fields})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def execute(client: httpx.AsyncClient, *calls: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    answer = await client.post("/v1/tools/execute", json={"calls": calls, **fields})
    results: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return results


async def connect_notebook(client: httpx.AsyncClient, user: str) -> None:
    link = await manage(client, "connect", tool="qlaud-mcp/notebook")
    assert set(link) == {"connect_url", "expires_at", "tool"} and link["tool"] == "qlaud-mcp/notebook"
    await approve_in_browser(link["connect_url"], user=user)
