"""Tools and MCP servers over HTTP, in a whole Heddle."""

import hashlib
import hmac
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlmodel import Session

from gateway.accounts.keys import NewKey
from gateway.accounts.models import Account
from gateway.demo.story import approve_in_browser
from gateway.settings import McpServerSettings
from tests.broker.mcp_peers import Toolbox, toolbox
from tests.broker.test_broker import CITY, echo_hook, notebook
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


@pytest.fixture
async def admin(served: Served) -> httpx.AsyncClient:
    return await served.client()


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


async def test_a_tool_from_creation_to_removal(admin: httpx.AsyncClient) -> None:
    made = (await admin.post("/v1/tools", json={**WEATHER, "timeout_ms": 5000})).raise_for_status()
    tool = made.json()
    assert made.status_code == 201 and tool["id"].startswith("tool_")
    secret = tool.pop("secret")
    assert secret.startswith("whsec_")

    path = f"/v1/tools/{tool['id']}"
    assert (await admin.get(path)).json() == tool
    assert {name: tool[name] for name in WEATHER} == WEATHER
    assert (tool["kind"], tool["timeout_ms"], tool["idempotent"]) == ("webhook", 5000, False)
    assert isinstance(tool["created_at"], int)

    listed = (await admin.get("/v1/tools")).json()
    assert listed["data"] == listed["tools"] == [tool] and listed["has_more"] is False

    edited = (await admin.patch(path, json={"name": "weather", "idempotent": True})).json()
    assert (edited["name"], edited["idempotent"], edited["timeout_ms"]) == ("weather", True, 5000)

    rotated = (await admin.post(f"{path}/rotate-secret")).json()
    assert rotated["secret"].startswith("whsec_") and rotated["secret"] != secret
    expiry = (await admin.get(path)).json()["rotation_overlap_until"]
    assert rotated["rotation_overlap_until"] == expiry > tool["created_at"] + 23 * 3_600_000
    at_once = (await admin.post(f"{path}/rotate-secret", json={"overlap_s": 0})).json()
    assert at_once["rotation_overlap_until"] is None
    for overlap_s in (-1, 31 * 86_400, "soon", 1.5):
        refused = await admin.post(f"{path}/rotate-secret", json={"overlap_s": overlap_s})
        assert refusal(refused)[0] == 400 and "overlap_s" in refusal(refused)[2]

    gone = (await admin.delete(path)).json()
    assert gone == {"id": tool["id"], "object": "tool.deleted", "deleted": True}
    assert refusal(await admin.get(path))[:2] == (404, "not_found")


async def test_many_tools_are_paged_newest_first(admin: httpx.AsyncClient) -> None:
    for number in range(5):
        (await admin.post("/v1/tools", json={**WEATHER, "name": f"t{number}"})).raise_for_status()
    names: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await admin.get("/v1/tools", params=query)).json()
        names += [tool["name"] for tool in page["data"]]
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
    assert names == ["t4", "t3", "t2", "t1", "t0"]


BAD_TOOLS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"name": "a.b"}, 400, "name", "letters, digits, underscores or hyphens"),
    ({"name": "n" * 65}, 400, "name", "64"),
    ({"name": ""}, 400, "name", "1"),
    ({"input_schema": {"type": "array"}}, 400, "input_schema", 'expected "object"'),
    (
        {"input_schema": {"type": "object", "properties": {"a": {"type": "x"}}}},
        400,
        "input_schema",
        "properties/a/type",
    ),
    ({"input_schema": {"$ref": "http://127.0.0.1:1/s"}}, 400, "input_schema", "not local"),
    ({"webhook_url": "http://example.com/"}, 400, "webhook_url", "https"),
    ({"webhook_url": "https://10.1.2.3/"}, 400, "webhook_url", "private address"),
    ({"webhook_url": "https://[::1"}, 400, "webhook_url", "cannot be"),
    ({"webhook_url": "https://a b/"}, 400, "webhook_url", "spaces"),
    ({"timeout_ms": 120_001}, 400, "timeout_ms", "120000"),
    ({"approval": "sometimes"}, 400, "approval", "first_use"),
]


async def test_what_a_tool_cannot_be_is_told(admin: httpx.AsyncClient) -> None:
    for change, status, param, told in BAD_TOOLS:
        for response in (
            await admin.post("/v1/tools", json={**WEATHER, **change}),
            await admin.patch("/v1/tools/tool_0", json=change),
        ):
            error = response.json()["error"]
            assert (response.status_code, error.get("param")) == (status, param), error
            assert told in error["message"]


async def test_only_an_admin_key_writes(served: Served, admin: httpx.AsyncClient) -> None:
    tool = (await admin.post("/v1/tools", json=WEATHER)).json()
    user, _ = await served.mint()
    path = f"/v1/tools/{tool['id']}"
    assert (await user.get(path)).json()["name"] == "get_weather"
    for attempt in (
        user.post("/v1/tools", json={**WEATHER, "name": "x"}),
        user.patch(path, json={"timeout_ms": 1000}),
        user.delete(path),
        user.post(f"{path}/rotate-secret"),
        user.post(f"{path}/test", json={"input": {"city": "Oslo"}}),
        user.post("/v1/mcp-servers", json={"name": "x", "server_url": "https://example.com/"}),
        user.delete("/v1/mcp-servers/mcp_0"),
        user.post("/v1/mcp-servers/mcp_0/refresh"),
    ):
        assert refusal(await attempt)[:2] == (403, "admin_required")


async def test_another_account_finds_nothing(served: Served, admin: httpx.AsyncClient) -> None:
    other = await stranger(served)
    tool = (await admin.post("/v1/tools", json=WEATHER)).json()
    async with toolbox() as box:
        server = (
            await admin.post("/v1/mcp-servers", json={"name": "chest", "server_url": box.base_url})
        ).json()
    for method, path in (
        ("GET", f"/v1/tools/{tool['id']}"),
        ("PATCH", f"/v1/tools/{tool['id']}"),
        ("DELETE", f"/v1/tools/{tool['id']}"),
        ("POST", f"/v1/tools/{tool['id']}/rotate-secret"),
        ("POST", f"/v1/tools/{tool['id']}/test"),
        ("GET", f"/v1/mcp-servers/{server['id']}"),
        ("DELETE", f"/v1/mcp-servers/{server['id']}"),
        ("POST", f"/v1/mcp-servers/{server['id']}/refresh"),
    ):
        response = await other.request(method, path, json={} if method != "GET" else None)
        assert refusal(response)[:2] == (404, "not_found"), (method, path)
    assert (await other.get("/v1/tools")).json()["data"] == []
    assert (await other.get("/v1/mcp-servers")).json()["data"] == []
    for name in ("get_weather", "chest/add", tool["id"], server["id"]):
        response = await other.post("/v1/tools/call", json={"name": name, "input": {}})
        assert refusal(response)[:2] == (400, "unknown_tool")
    assert (await other.post("/v1/tools", json=WEATHER)).status_code == 201


async def test_the_test_route_shows_what_was_sent_and_received(admin: httpx.AsyncClient) -> None:
    async with echo_hook() as (received, url):
        tool = (await admin.post("/v1/tools", json={**WEATHER, "webhook_url": url})).json()
        path = f"/v1/tools/{tool['id']}/test"
        answer = await admin.post(path, json={"input": {"city": "Oslo"}, "end_user_id": "ada"})
        shown = answer.json()
        assert shown["output"] == {"city": "Oslo"} and shown["is_error"] is False
        sent = shown["request"]
        assert (sent["method"], sent["url"]) == ("POST", url)
        assert json.loads(sent["body"]) == received[0] and received[0]["end_user_id"] == "ada"
        assert json.loads(shown["response"]["body"]) == {"output": {"city": "Oslo"}}
        signed = f"{sent['headers']['x-qlaud-timestamp']}.{sent['body']}".encode()
        signature = hmac.new(tool["secret"].encode(), signed, hashlib.sha256).hexdigest()
        assert sent["headers"]["x-qlaud-signature"] == signature
        assert tool["secret"] not in answer.text

        wrong = (await admin.post(path, json={"input": {}})).json()
        assert wrong["is_error"] and wrong["request"] is None and len(received) == 1


async def test_a_tool_is_called_without_a_model(served: Served, admin: httpx.AsyncClient) -> None:
    async with echo_hook() as (received, url):
        tool = (await admin.post("/v1/tools", json={**WEATHER, "webhook_url": url})).json()
        bound, _ = await served.mint(end_user_id="ada")
        for name in ("get_weather", tool["id"]):
            called = await bound.post("/v1/tools/call", json={"name": name, "input": {"city": "Oslo"}})
            assert called.json()["output"] == {"city": "Oslo"}
        assert {call["end_user_id"] for call in received} == {"ada"}
        body = {"name": "get_weather", "input": {"city": "Oslo"}, "end_user_id": "bob"}
        assert refusal(await bound.post("/v1/tools/call", json=body))[:2] == (403, "end_user_mismatch")
        wrong = (await bound.post("/v1/tools/call", json={"name": "get_weather", "input": {}})).json()
        assert wrong["is_error"] and "required property" in wrong["output"]["error"]
    time = {"name": "time/get_current_time", "input": {"timezone": "UTC"}}
    assert "UTC" in (await admin.post("/v1/tools/call", json=time)).json()["content"][0]["text"]
    several = await admin.post("/v1/tools/call", json={"name": "time", "input": {}})
    assert refusal(several)[0] == 400


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
