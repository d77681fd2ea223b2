"""An end user who declines: the turn goes on at once, and the model is told."""

import re
from typing import Any

import httpx
import pytest

from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served
from tests.serving import Served

CSRF = re.compile(r'name="csrf" value="([^"]+)"')


async def parked(client: httpx.AsyncClient, thread_id: str) -> dict[str, Any]:
    body = {"model": "sim-small", "content": "use list_notes {}", "tools": ["notebook"]}
    answer = (await client.post(f"/v1/threads/{thread_id}/messages", json=body)).raise_for_status().json()
    assert answer["stop_reason"] == "requires_action", answer
    return dict(answer)


async def decline(connect_url: str, *, where: str) -> None:
    """Press Cancel on our page, or Deny at the vendor's."""
    async with httpx.AsyncClient(timeout=30, follow_redirects=True) as browser:
        page = await browser.get(connect_url)
        found = CSRF.search(page.text)
        assert found is not None, page.text
        action = "cancel" if where == "here" else "continue"
        answer = await browser.post(connect_url, data={"csrf": found[1], "action": action})
        if where == "at the vendor":
            answer = await browser.post(answer.url, data={"user": "ada", "action": "deny"})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("where", ["here", "at the vendor"])
async def test_a_declined_consent_lets_the_turn_go_on(sqlite_heddle: Served, where: str) -> None:
    vendor = NotebookVendor("")

    async with served(vendor.build) as notebook:
        admin = await sqlite_heddle.client()
        server = {"name": "notebook", "server_url": f"{notebook}/mcp", "auth_mode": "per_user"}
        (await admin.post("/v1/mcp-servers", json=server)).raise_for_status()
        user, _ = await sqlite_heddle.mint(end_user_id="ada")
        thread_id = (await user.post("/v1/threads", json={})).json()["id"]
        waiting = await parked(user, thread_id)
        await decline(waiting["actions"][0]["connect_url"], where=where)
        path = f"/v1/threads/{thread_id}/turns/{waiting['turn_id']}"
        async with user.stream("GET", f"{path}/events") as events:
            await events.aread()
        turn = (await user.get(path)).json()
        assert (turn["status"], turn["actions"]) == ("completed", [])
        messages = (await user.get(f"/v1/threads/{thread_id}/messages")).json()["data"]
        assert [message["role"] for message in messages] == [
            "user",
            "assistant",
        ]  # the model had no such tool
        again = await parked(user, thread_id)
        assert again["actions"][0]["connect_url"] != waiting["actions"][0]["connect_url"]
