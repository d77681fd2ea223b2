"""A turn whose model has its end user connect an account, and goes on with the tools that come with it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served
from tests.connectors.browsing import connect
from tests.serving import Served
from tests.threads.waiting.rig import act, ended, leaves_nothing, new_thread, post, turn_when

TENANT = {"tools_mode": "tenant"}


@dataclass
class Diary:
    """A notebook that lists its tools to each end user alone, and ada, who has not connected it."""

    heddle: Served
    vendor: NotebookVendor
    ada: httpx.AsyncClient
    browser: httpx.AsyncClient
    thread: str

    async def approve(self, connect_url: str) -> None:
        await connect(self.browser, connect_url, user="ada")


@asynccontextmanager
async def diary(heddle: Served, **server: Any) -> AsyncIterator[Diary]:
    vendor = NotebookVendor("")

    admin = await heddle.client()
    browser = await heddle.stack.enter_async_context(httpx.AsyncClient(timeout=30, verify=False))
    ada, _ = await heddle.mint(end_user_id="ada")
    async with served(vendor.build) as url:
        body = {"name": "diary", "server_url": f"{url}/mcp", "auth_mode": "per_user", **server}
        made = await admin.post("/v1/mcp-servers", json=body)
        assert made.status_code == 201, made.text
        yield Diary(heddle, vendor, ada, browser, await new_thread(ada))


async def test_the_model_asks_and_uses_what_came_in_the_same_turn(sqlite_heddle: Served) -> None:
    async with diary(sqlite_heddle) as place:
        parked = await post(
            place.ada, place.thread, 'use diary__connect {} then diary__add_note {"text":"milk"}', **TENANT
        )
        assert parked["stop_reason"] == "requires_action"
        (action,) = parked["actions"]
        assert (action["kind"], action["connector"]) == ("connect", "diary"), action
        await place.approve(action["connect_url"])
        turn = await ended(place.ada, f"{place.thread}/turns/{parked['turn_id']}")
        assert turn["status"] == "completed"
        asked, added = turn["tool_calls"]
        assert (asked["name"], asked["is_error"]) == ("diary__connect", False)
        assert asked["output"]["tools"] == ["diary__add_note", "diary__list_notes"]
        assert (added["name"], added["is_error"]) == ("diary__add_note", False)
        assert place.vendor.notes == {"ada": ["milk"]}
        later = await post(place.ada, place.thread, "use diary__connect {}", **TENANT)
        assert "tool_calls" not in later or later["tool_calls"] == []  # it is not offered any more
        await leaves_nothing(sqlite_heddle)


async def test_a_connection_made_while_the_turn_runs_brings_its_tools_to_the_next_step(
    sqlite_heddle: Served,
) -> None:
    """The call finds the account connected, although the turn began with only the way to it."""
    async with diary(sqlite_heddle) as place, AsyncExitStack() as stack:
        admin = await sqlite_heddle.client()

        async def meanwhile(_request: Request) -> Response:
            session = {"connector": "diary", "end_user_id": "ada"}
            link = (await admin.post("/v1/connections/sessions", json=session)).raise_for_status().json()
            await place.approve(link["connect_url"])
            return JSONResponse({"output": "done"})

        url = await stack.enter_async_context(
            served(lambda _: Starlette(routes=[Route("/", meanwhile, methods=["POST"])]))
        )
        hook = {"name": "ring_ada", "description": "Rings", "webhook_url": f"{url}/"}
        (await admin.post("/v1/tools", json=hook)).raise_for_status()
        answer = await post(
            place.ada,
            place.thread,
            'use ring_ada {} then diary__connect {} then diary__add_note {"text":"bread"}',
            **TENANT,
        )
        assert [call["is_error"] for call in answer["tool_calls"]] == [False, False, False], answer
        assert place.vendor.notes == {"ada": ["bread"]}


async def test_who_declines_is_taken_at_their_word(sqlite_heddle: Served) -> None:
    async with diary(sqlite_heddle) as place:
        parked = await post(place.ada, place.thread, "use diary__connect {}", **TENANT)
        path = f"{place.thread}/turns/{parked['turn_id']}"
        await act(place.ada, path, {"id": parked["actions"][0]["id"], "type": "deny"})
        turn = await ended(place.ada, path)
        assert turn["status"] == "completed" and turn["tool_calls"][0]["is_error"]
        assert place.vendor.notes == {}


async def test_approval_of_everything_does_not_ask_whether_to_ask(sqlite_heddle: Served) -> None:
    """The end user consents on the page; a server's own rule still counts."""
    async with diary(sqlite_heddle) as place:
        parked = await post(
            place.ada, place.thread, "use diary__connect {}", **TENANT, tool_approval="always"
        )
        assert [action["kind"] for action in parked["actions"]] == ["connect"]
        path = f"{place.thread}/turns/{parked['turn_id']}"
        (await place.ada.post(f"{path}/cancel", json={})).raise_for_status()
        await turn_when(place.ada, path, "cancelled")
    admin = await sqlite_heddle.client()
    servers = (await admin.get("/v1/mcp-servers")).json()["data"]
    (await admin.delete(f"/v1/mcp-servers/{servers[0]['id']}")).raise_for_status()
    async with diary(sqlite_heddle, approval="always") as place:
        parked = await post(place.ada, place.thread, "use diary__connect {}", **TENANT)
        assert [action["kind"] for action in parked["actions"]] == ["approval"]
