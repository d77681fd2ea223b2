"""Tools over HTTP, in a whole Heddle."""

import hashlib
import hmac
import json
from typing import Any

import httpx

from tests.broker.mcp_peers import toolbox
from tests.broker.test_broker import echo_hook
from tests.broker.whole_heddle import WEATHER, refusal, served, stranger
from tests.serving import Served

__all__ = ["served"]


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
