"""MCP Apps: what the host of a tool's user interface needs reaches the client, and no model."""

import json
from typing import Any

from tests.broker.asking_peer import HTML, UI, asking_peer
from tests.serving import Served, read_events
from tests.threads.waiting.rig import new_thread
from tests.threads.waiting.test_elicitation import register


async def test_a_tools_user_interface_reaches_the_client(sqlite_heddle: Served) -> None:
    async with asking_peer() as desk:
        server_id = await register(sqlite_heddle, "desk", desk.url)
        user, _ = await sqlite_heddle.mint(end_user_id="ada")
        thread = await new_thread(user)
        body = {"model": "sim-small", "max_tokens": 60, "content": "use desk/seats {}", "tools": ["desk"]}
        events = await read_events(user, "POST", f"{thread}/messages", json={**body, "stream": True})
        named: dict[str, dict[str, Any]] = {event["type"]: event for event in events}
        start, done = named["qlaud.tool_dispatch_start"], named["qlaud.tool_dispatch_done"]
        assert (start["mcp"]["server_id"], start["mcp"]["tool"]) == (server_id, "seats")
        assert start["mcp"]["_meta"]["ui"]["resourceUri"] == UI
        assert done["mcp"]["result"] == {
            "content": [{"type": "text", "text": "two seats are free"}],
            "structuredContent": {"free": ["1A", None]},
            "isError": False,
            "_meta": {"desk/plan": "A320"},
        }
        messages = (await user.get(f"{thread}/messages")).text
        assert "two seats are free" in messages and "A320" not in messages and UI not in messages
        (turn,) = (await user.get(f"{thread}/turns")).json()["data"]
        shown = (await user.get(f"{thread}/turns/{turn['id']}")).json()["tool_calls"][0]
        assert shown["mcp"] == done["mcp"]

        route = f"/v1/mcp-servers/{server_id}/resources"
        read = await user.get(route, params={"uri": UI})
        assert read.headers["content-type"] == "application/json"
        (content,) = read.json()["contents"]
        assert (content["uri"], content["text"]) == (UI, HTML)
        assert content["mimeType"] == "text/html;profile=mcp-app"
        for uri, status in (
            ("ui://desk/nothing", 404),
            ("file:///etc/passwd", 400),
            ("https://a.example/", 400),
        ):
            assert (await user.get(route, params={"uri": uri})).status_code == status, uri
        assert (await user.get(route, params={"uri": UI, "end_user_id": "bob"})).status_code == 403
        assert (await user.get("/v1/mcp-servers/mcp_0/resources", params={"uri": UI})).status_code == 404


async def test_tools_for_user_interfaces_are_not_offered_to_models(sqlite_heddle: Served) -> None:
    async with asking_peer() as desk:
        await register(sqlite_heddle, "desk", desk.url)
        user, _ = await sqlite_heddle.mint()
        thread = await new_thread(user)
        ask = 'use desk/take_seat {"seat":"1A"}'
        body = {"model": "sim-small", "max_tokens": 60, "content": ask}
        for chosen in ({"tools": ["desk"]}, {"tools_mode": "tenant"}):
            answer = (await user.post(f"{thread}/messages", json={**body, **chosen})).json()
            assert answer["tool_calls"] == [], json.dumps(answer)
        named = await user.post(f"{thread}/messages", json={**body, "tools": ["desk/take_seat"]})
        assert (named.status_code, named.json()["error"]["code"]) == (400, "unknown_tool")
        called = await user.post("/v1/tools/call", json={"name": "desk/take_seat", "input": {"seat": "1A"}})
        assert called.json()["output"] == {"result": "took 1A"}
