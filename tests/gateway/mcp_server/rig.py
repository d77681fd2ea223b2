"""A Heddle with tools of three kinds, and MCP clients that speak to it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx2
import mcp_types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served
from tests.broker.mcp_peers import Toolbox, toolbox
from tests.priced.rig import Shop, shop
from tests.serving import ADMIN_KEY

MODERN, LEGACY = "2026-07-28", "legacy"
ERAS = (MODERN, LEGACY)


@dataclass
class Mall:
    """``shop``: its operator's priced tools; ``box``: an MCP server of the account; ``notebook``: one that
    acts as each end user."""

    shop: Shop
    box: Toolbox
    notebook: NotebookVendor
    admin: httpx.AsyncClient
    stack: AsyncExitStack

    @property
    def url(self) -> str:
        return f"{self.shop.heddle.url}/mcp"

    async def key(self, **fields: Any) -> str:
        """The secret of a fresh standard key."""
        body = {"name": "test", "scope": "standard", **fields}
        minted = (await self.admin.post("/v1/keys", json=body)).raise_for_status().json()
        return str(minted["secret"])

    def http(self, key: str = ADMIN_KEY, **headers: str) -> httpx.AsyncClient:
        """Plain HTTP to the endpoint, with what every client accepts."""
        accepted = {"accept": "application/json, text/event-stream", "x-api-key": key, **headers}
        return httpx.AsyncClient(base_url=self.shop.heddle.url, headers=accepted, timeout=30, verify=False)

    async def connect(self, connect_url: str, vendor_user: str = "ada") -> None:
        """What an end user's browser does with a connect link, from the page to the callback."""
        async with httpx.AsyncClient(follow_redirects=True, verify=False) as browser:
            found = re.search(r'name="?csrf"? value="([^"]+)"', (await browser.get(connect_url)).text)
            assert found is not None
            page = await browser.post(connect_url, data={"csrf": found[1], "action": "continue"})
            page = await browser.post(page.url, data={"action": "approve", "user": vendor_user})
            assert page.status_code == 200, page.text

    async def notes_known(self) -> None:
        """The notebook's tools are known: an end user has connected it and listed them."""
        body = {"connector": "notes", "end_user_id": "the first one"}
        link = (await self.admin.post("/v1/connections/sessions", json=body)).raise_for_status().json()
        await self.connect(link["connect_url"])
        async with client(self, await self.key(end_user_id="the first one")) as connected:
            assert "notes__add_note" in {tool.name for tool in (await connected.list_tools()).tools}


@asynccontextmanager
async def client(
    mall: Mall,
    key: str = ADMIN_KEY,
    mode: str = MODERN,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Client]:
    """The official SDK's client with this API key."""
    sent = {"authorization": f"Bearer {key}", **(headers or {})}
    async with httpx2.AsyncClient(headers=sent, timeout=60, verify=False) as http:
        transport = streamable_http_client(mall.url, http_client=http)
        async with Client(transport, mode=mode, **options) as connected:
            yield connected


@asynccontextmanager
async def mall(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[Mall]:
    vendor = NotebookVendor("")

    async with AsyncExitStack() as stack:
        shop_ = await stack.enter_async_context(shop(database_url, folder, **settings))
        box = await stack.enter_async_context(toolbox())
        notebook_url = await stack.enter_async_context(served(vendor.build))
        admin = await shop_.heddle.client()
        for name, url, auth_mode in (
            ("toolbox", box.base_url, "tenant"),
            ("notes", f"{notebook_url}/mcp", "per_user"),
        ):
            body = {"name": name, "server_url": url, "auth_mode": auth_mode, "shared_tools": True}
            made = await admin.post("/v1/mcp-servers", json=body)
            assert made.status_code == 201, made.text
        yield Mall(shop_, box, vendor, admin, stack)


@dataclass
class Opener:
    """A client's user who is asked to open pages, and does, or does not."""

    action: str = "accept"
    on_url: Callable[[str], Any] | None = None
    asked: list[mcp_types.ElicitRequestURLParams] = field(default_factory=list)

    async def __call__(self, _context: Any, params: Any) -> mcp_types.ElicitResult:
        self.asked.append(params)
        if self.action == "accept" and self.on_url is not None:
            await self.on_url(params.url)
        return mcp_types.ElicitResult(action=self.action)


def text_of(result: mcp_types.CallToolResult) -> str:
    """The text of a result's first block."""
    (block, *_) = result.content
    assert isinstance(block, mcp_types.TextContent)
    return block.text


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


def request(method: str, number: int, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request, for clients by hand."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


async def open_session(http: httpx.AsyncClient) -> dict[str, str]:
    """The headers of a new session of a handshake revision."""
    info = {"name": "by hand", "version": "1"}
    body = request("initialize", 0, protocolVersion="2025-06-18", capabilities={}, clientInfo=info)
    answer = await http.post("/mcp", json=body)
    assert answer.status_code == 200, answer.text
    return {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}


async def register(place: Mall, name: str) -> str:
    """A webhook tool of the account; returns its id."""
    body = {
        "name": name,
        "description": "A hook",
        "input_schema": {"type": "object"},
        "webhook_url": f"{place.shop.heddle.url}/nowhere",
    }
    return str((await place.admin.post("/v1/tools", json=body)).raise_for_status().json()["id"])


async def listening(place: Mall) -> None:
    """Until somebody waits for changes: from then on none is missed."""
    lookout = place.shop.heddle.app.mcp.watch._lookout
    await until(lambda: bool(lookout._waiting))
