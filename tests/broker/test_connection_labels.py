"""A call says which of an end user's accounts at a vendor it uses."""

from typing import Any

import httpx

from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served
from tests.connectors.browsing import connect
from tests.serving import Served


async def test_a_call_uses_the_account_with_its_label(sqlite_heddle: Served) -> None:
    vendor = NotebookVendor("")

    admin = await sqlite_heddle.client()
    browser = await sqlite_heddle.stack.enter_async_context(httpx.AsyncClient(timeout=30, verify=False))

    async def notes(**label: str) -> Any:
        body = {"name": "notebook/list_notes", "input": {}, "end_user_id": "ada", **label}
        answer = (await admin.post("/v1/tools/call", json=body)).json()
        return answer["output"]["result"] if "output" in answer else answer["error"]

    async with served(vendor.build) as notebook:
        server = {"name": "notebook", "server_url": f"{notebook}/mcp", "auth_mode": "per_user"}
        (await admin.post("/v1/mcp-servers", json=server)).raise_for_status()
        for label, user in (("", "ada"), ("work", "ada@work")):
            session = {"connector": "notebook", "end_user_id": "ada", "label": label}
            link = (await admin.post("/v1/connections/sessions", json=session)).raise_for_status().json()
            await connect(browser, link["connect_url"], user=user)
        assert await notes() == "ada has 0 notes."
        assert await notes(connection_label="work") == "ada@work has 0 notes."
        missing = await notes(connection_label="club")
        assert missing["code"] == "connection_required"
        await connect(browser, missing["connect_url"], user="ada@club")
        assert await notes(connection_label="club") == "ada@club has 0 notes."
        assert await notes() == "ada has 0 notes."
