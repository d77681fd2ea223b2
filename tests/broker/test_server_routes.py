"""MCP servers over HTTP, in a whole Heddle."""

from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway.demo.story import approve_in_browser
from tests.broker.mcp_peers import Toolbox, toolbox
from tests.broker.test_broker import notebook
from tests.broker.whole_heddle import WEATHER, refusal, served, stranger
from tests.serving import Served

__all__ = ["served"]


async def test_an_mcp_server_from_registration_to_removal(admin: httpx.AsyncClient) -> None:
    async with toolbox(Toolbox(bearer="s3cret")) as box:
        body = {"name": "chest", "server_url": box.base_url}
        denied = await admin.post("/v1/mcp-servers", json=body)
        assert refusal(denied)[:2] == (400, "mcp_unauthorized")
        body["auth_headers"] = {"authorization": "Bearer s3cret"}  # type: ignore[assignment]
        answer = await admin.post("/v1/mcp-servers", json=body)
        server = answer.json()
        assert answer.status_code == 201 and server["id"].startswith("mcp_")
        assert "chest/add" in [tool["name"] for tool in server["tools"]] and server["skipped"] == []
        path = f"/v1/mcp-servers/{server['id']}"
        reads = [await admin.get(path), await admin.get("/v1/mcp-servers"), answer]
        assert all("s3cret" not in read.text for read in reads)
        assert reads[1].json()["data"] == [reads[0].json()]
        refreshed = (await admin.post(f"{path}/refresh")).json()
        assert refreshed == {"added": [], "removed": [], "changed": [], "skipped": []}
        assert (await admin.delete(path)).json()["deleted"] is True
        assert refusal(await admin.get(path))[0] == 404
        assert refusal(await admin.post("/v1/tools/call", json={"name": "chest/add", "input": {}}))[0] == 400


async def test_what_is_allowed_of_a_server_is_set_read_and_changed(
    served: Served, admin: httpx.AsyncClient
) -> None:
    async with toolbox(Toolbox(bearer="s3cret")) as box:
        rules = {"deny": ["slow"], "policies": {"add": {"approval": "first_use", "timeout_ms": 500}}}
        body = {
            "name": "chest",
            "server_url": box.base_url,
            "auth_headers": {"authorization": "Bearer s3cret"},
            "tools": rules,
            "pin": True,
            "approval": "always",
        }
        server = (await admin.post("/v1/mcp-servers", json=body)).raise_for_status().json()
        assert (server["pin"], server["approval"], server["tool_rules"]) == (True, "always", rules)
        told = {tool["name"]: (tool["approval"], tool["usable"], tool["changed"]) for tool in server["tools"]}
        assert told["chest/add"] == ("first_use", True, False) and told["chest/fail"] == (
            "always",
            True,
            False,
        )
        assert told["chest/slow"] == ("always", False, False)
        denied = await admin.post("/v1/tools/call", json={"name": "chest/slow", "input": {"seconds": 0}})
        assert refusal(denied)[:2] == (400, "unknown_tool")

        path = f"/v1/mcp-servers/{server['id']}"
        changes = {"tools": None, "timeout_ms": 9_000, "auth_headers": {"authorization": "Bearer next"}}
        changed = (await admin.patch(path, json=changes)).raise_for_status().json()
        assert (changed["tool_rules"], changed["timeout_ms"], changed["pin"]) == ({}, 9_000, True)
        box.bearer = "next"
        called = await admin.post("/v1/tools/call", json={"name": "chest/slow", "input": {"seconds": 0}})
        assert called.json()["is_error"] is False, called.text

        stale = {"tools": {"add": "0" * 64}}
        assert refusal(await admin.post(f"{path}/approve", json=stale))[:2] == (409, "tool_changed")
        assert refusal(await admin.post(f"{path}/approve", json={"tools": ["nothing"]}))[0] == 404
        assert (await admin.post(f"{path}/approve", json={})).json()["approved"] == []
        other = await stranger(served)
        assert refusal(await other.patch(path, json={"pin": False}))[0] == 404
        assert refusal(await other.post(f"{path}/approve", json={}))[0] == 404


async def test_a_pinned_tool_that_changed_is_refused_by_name(admin: httpx.AsyncClient) -> None:
    box = Toolbox()
    async with toolbox(box):
        body = {"name": "chest", "server_url": box.base_url, "pin": True}
        server = (await admin.post("/v1/mcp-servers", json=body)).raise_for_status().json()
    box.description = "Adds, and tells the neighbours."
    async with toolbox(box, port=urlsplit(box.base_url).port or 0):
        refreshed = (await admin.post(f"/v1/mcp-servers/{server['id']}/refresh")).json()
        assert refreshed["changed"] == ["add"]
        call = {"name": "chest/add", "input": {"a": 1, "b": 1}}
        assert refusal(await admin.post("/v1/tools/call", json=call))[:2] == (409, "tool_changed")
        thread = (await admin.post("/v1/threads", json={})).json()["id"]
        turn = {"model": "sim-small", "content": "hi", "tools": ["chest/add"]}
        refused = await admin.post(f"/v1/threads/{thread}/messages", json=turn)
        assert refusal(refused)[:2] == (409, "tool_changed")
        assert (await admin.get(f"/v1/threads/{thread}/messages")).json()["data"] == []
        (await admin.post(f"/v1/mcp-servers/{server['id']}/approve", json={})).raise_for_status()
        assert (await admin.post("/v1/tools/call", json=call)).json()["is_error"] is False


BAD_SERVERS: list[tuple[dict[str, Any], int, str | None, str]] = [
    ({"name": "Upper", "server_url": "https://example.com/"}, 400, "name", "a name like"),
    ({"name": "x" * 32, "server_url": "https://example.com/"}, 400, "name", "a name like"),
    ({"name": "ok", "server_url": "http://example.com/"}, 400, "server_url", "https"),
    ({"name": "ok", "server_url": "https://192.168.0.1/"}, 400, "server_url", "private"),
    ({"name": "ok"}, 400, "server_url", "either"),
    ({"server_url": "https://example.com/"}, 400, "name", "a name"),
    ({"name": "github", "server_url": "https://example.com/"}, 409, "name", "catalogue"),
    ({"name": "time", "server_url": "http://127.0.0.1:1/mcp"}, 502, None, "could not be asked"),
    (
        {"name": "ok", "server_url": "https://example.com/", "tools": {"allow": "x"}},
        400,
        "tools.allow",
        "list",
    ),
    (
        {"name": "ok", "server_url": "https://example.com/", "tools": {"policies": {"a": {"approval": "x"}}}},
        400,
        "tools.policies.a.approval",
        "first_use",
    ),
    ({"catalog_slug": "nobody"}, 404, "catalog_slug", "nobody"),
    (
        {"name": "ok", "server_url": "https://example.com/", "auth_headers": {"a b": "x"}},
        400,
        "auth_headers",
        "not a valid HTTP header",
    ),
    (
        {"name": "ok", "server_url": "https://example.com/", "auth_headers": {"x": "a\r\nb: c"}},
        400,
        "auth_headers",
        "not a valid HTTP header",
    ),
    (
        {"name": "ok", "server_url": "https://example.com/", "auth_headers": {"Host": "x"}},
        400,
        "auth_headers",
        "set by the protocol",
    ),
    (
        {
            "name": "ok",
            "server_url": "https://example.com/",
            "auth_headers": {"x": "y"},
            "auth_mode": "per_user",
        },
        400,
        "auth_headers",
        "expected auth_mode tenant",
    ),
]


async def test_what_an_mcp_server_cannot_be_is_told(admin: httpx.AsyncClient) -> None:
    for body, status, param, told in BAD_SERVERS:
        response = await admin.post("/v1/mcp-servers", json=body)
        error = response.json()["error"]
        assert (response.status_code, error.get("param")) == (status, param), error
        assert told in error["message"]


async def test_the_operators_names_are_taken(admin: httpx.AsyncClient) -> None:
    async with toolbox() as box:
        response = await admin.post("/v1/mcp-servers", json={"name": "time", "server_url": box.base_url})
    assert refusal(response)[:2] == (409, "name_taken")
    assert refusal(await admin.post("/v1/tools", json={**WEATHER, "name": "time"}))[:2] == (409, "name_taken")


async def test_an_end_user_connects_and_calls(served: Served, admin: httpx.AsyncClient) -> None:
    async with notebook() as vendor:
        body = {"name": "notes", "server_url": f"{vendor.base_url}/mcp", "auth_mode": "per_user"}
        made = (await admin.post("/v1/mcp-servers", json=body)).json()
        assert made["tools"] == [] and made["discovered_at"] is None

        call = {"name": "notes/add_note", "input": {"text": "milk"}}
        assert refusal(await admin.post("/v1/tools/call", json=call))[:2] == (400, "end_user_required")
        bound, _ = await served.mint(end_user_id="u1")
        needed = (await bound.post("/v1/tools/call", json=call)).json()["error"]
        assert (needed["code"], needed["connector"]) == ("connection_required", "notes")

        await approve_in_browser(needed["connect_url"], user="ada")
        called = (await bound.post("/v1/tools/call", json=call)).raise_for_status().json()
        assert called["content"][0]["text"] == "Noted for ada: milk"
        assert vendor.notes == {"ada": ["milk"]}
        listed = (await bound.get(f"/v1/mcp-servers/{made['id']}")).json()
        assert [tool["name"] for tool in listed["tools"]] == ["notes/add_note", "notes/list_notes"]
        refresh = f"/v1/mcp-servers/{made['id']}/refresh"
        assert (await admin.post(refresh, params={"end_user_id": "u1"})).json()["added"] == []
        assert refusal(await admin.post(refresh))[:2] == (400, "end_user_required")


async def test_the_catalogue_is_public(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url) as anybody:
        entries = (await anybody.get("/v1/mcp-catalog")).json()["data"]
        assert {"github", "linear"} <= {entry["slug"] for entry in entries}
        fields = {"slug", "display_name", "category", "kind", "server_url", "api_url", "auth", "auth_kinds"}
        assert all(set(entry) == fields | {"config_schema", "docs_url"} for entry in entries)
        assert {entry["kind"] for entry in entries} == {"mcp"}
        apis = (await anybody.get("/v1/mcp-catalog", params={"kind": "api", "q": "gmail"})).json()["data"]
        assert [(entry["slug"], entry["server_url"]) for entry in apis] == [("google", None)]
        found = (await anybody.get("/v1/mcp-catalog", params={"q": "GitHub"})).json()["data"]
        assert [entry["slug"] for entry in found] == ["github"]
        category = found[0]["category"]
        there = (await anybody.get("/v1/mcp-catalog", params={"category": category})).json()["data"]
        assert found[0] in there
        assert (await anybody.get("/v1/mcp-catalog", params={"category": "none"})).json()["data"] == []
