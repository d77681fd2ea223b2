"""Bad input gets the documented status and error form, and nothing is lost or left behind."""

import json
from typing import Any

import pytest

from kit.paging import encode_cursor
from tests.serving import Served

HELLO: dict[str, Any] = {
    "model": "sim-small",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hi"}],
}
NOBODY = "01900000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code", "param"),
    [
        ("POST", "/v1/messages", b"{not json", 400, "invalid_json", None),
        ("POST", "/v1/messages", b"[1]", 400, "invalid_json", None),
        ("POST", "/v1/messages", b"[" * 100_000, 400, "invalid_json", None),
        ("POST", "/v1/messages", b"\xff\xfe", 400, "invalid_json", None),
        ("POST", "/v1/chat/completions", b"{not json", 400, "invalid_json", None),
        ("POST", "/v1/threads", b"{not json", 400, "invalid_json", None),
        ("POST", "/v1/keys", b"{not json", 400, "invalid_json", None),
        ("GET", "/v1/no-such-route", b"", 404, "no_such_route", None),
        ("PUT", "/v1/keys", b"{}", 405, "method_not_allowed", None),
        ("GET", "/v1/threads?cursor=garbage", b"", 400, "invalid_request", "cursor"),
        ("GET", "/v1/threads?limit=0", b"", 400, "invalid_request", "limit"),
        ("GET", "/v1/threads?limit=many", b"", 400, "invalid_request", "limit"),
    ],
)
async def test_malformed_requests(
    sqlite_heddle: Served,
    method: str,
    path: str,
    content: bytes,
    status: int,
    code: str,
    param: str | None,
) -> None:
    admin = await sqlite_heddle.client()
    answer = await admin.request(method, path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error.get("param") == param
    if not path.startswith("/v1/chat"):
        assert answer.json()["type"] == "error"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("path", "change", "status", "code", "param"),
    [
        ("/v1/messages", {"model": "no-such-model"}, 404, "model_not_found", "model"),
        ("/v1/messages", {"model": 7}, 400, "invalid_request", "model"),
        ("/v1/messages", {"model": "m" * 500}, 400, "invalid_request", "model"),
        ("/v1/messages", {"max_tokens": -1}, 400, "invalid_request", "max_tokens"),
        ("/v1/messages", {"max_tokens": None}, 400, "invalid_request", "max_tokens"),
        ("/v1/messages", {"max_tokens": True}, 400, "invalid_request", "max_tokens"),
        ("/v1/messages", {"messages": []}, 400, "invalid_request", "messages"),
        ("/v1/messages", {"messages": "hi"}, 400, "invalid_request", "messages"),
        ("/v1/messages", {"stream": "yes"}, 400, "invalid_request", "stream"),
        ("/v1/chat/completions", {"model": "no-such-model"}, 404, "model_not_found", "model"),
        ("/v1/chat/completions", {"n": 0}, 400, "invalid_request", "n"),
        ("/v1/chat/completions", {"n": 1000}, 400, "invalid_request", "n"),
    ],
)
async def test_inference_fields(
    sqlite_heddle: Served, path: str, change: dict[str, Any], status: int, code: str, param: str
) -> None:
    admin = await sqlite_heddle.client()
    answer = await admin.post(path, json={**HELLO, **change})
    assert answer.status_code == status, answer.text
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (code, param)
    assert (await admin.get("/v1/usage")).json()["request_count"] == 0


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1/chat/completions", "/v1/threads", "/v1/keys", "/v1/models"]
)
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"x-api-key": ""}, "missing_key"),
        ({"authorization": "Basic abc"}, "missing_key"),
        ({"x-api-key": "ak_live_" + "0" * 64}, "unknown_key"),
        ({"authorization": "Bearer " + "x" * 10_000}, "unknown_key"),
    ],
)
async def test_keys_that_do_not_open_anything(
    sqlite_heddle: Served, path: str, headers: dict[str, str], code: str
) -> None:
    client = await sqlite_heddle.client()
    del client.headers["x-api-key"]
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code


async def test_a_revoked_key_stops_at_once(served_heddle: Served) -> None:
    user, key = await served_heddle.mint()
    assert (await user.post("/v1/messages", json=HELLO)).status_code == 200
    admin = await served_heddle.client()
    assert (await admin.delete(f"/v1/keys/{key['id']}")).json()["ok"] is True
    refused = await user.post("/v1/messages", json=HELLO)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "key_revoked"


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/keys", {}, 400, "name"),
        ("/v1/keys", {"name": "x" * 201}, 400, "name"),
        ("/v1/keys", {"name": "   "}, 400, "name"),
        ("/v1/keys", {"name": "x", "scope": "root"}, 400, "scope"),
        ("/v1/keys", {"name": "x", "max_spend_usd": -1}, 400, "max_spend_usd"),
        ("/v1/keys", {"name": "x", "max_spend_usd": "NaN"}, 400, "max_spend_usd"),
        ("/v1/keys", {"name": "x", "max_spend_usd": 1e30}, 400, "max_spend_usd"),
        ("/v1/keys", {"name": "x", "cap_period": "year"}, 400, "cap_period"),
        ("/v1/keys", {"name": "x", "rpm": -5}, 400, "rpm"),
        ("/v1/threads", {"id": "not-a-uuid"}, 400, "id"),
        ("/v1/threads", {"end_user_id": "u" * 201}, 400, "end_user_id"),
        ("/v1/threads", {"metadata": {"k": "v" * 20_000}}, 400, "metadata"),
        ("/v1/tools", {"name": "has space", "webhook_url": "https://x.test/"}, 400, "name"),
        ("/v1/tools", {"name": "n" * 65, "webhook_url": "https://x.test/"}, 400, "name"),
        ("/v1/tools", {"name": "ok", "webhook_url": "http://example.com/"}, 400, "webhook_url"),
        ("/v1/tools", {"name": "ok", "webhook_url": "https://10.0.0.1/"}, 400, "webhook_url"),
        ("/v1/tools", {"name": "ok", "webhook_url": "file:///etc/passwd"}, 400, "webhook_url"),
        ("/v1/tools", {"name": "ok", "webhook_url": "https://u:p@x.test/"}, 400, "webhook_url"),
        (
            "/v1/tools",
            {"name": "ok", "webhook_url": "https://x.test/", "input_schema": {"type": "strin"}},
            400,
            "input_schema",
        ),
        (
            "/v1/tools",
            {
                "name": "ok",
                "webhook_url": "https://x.test/",
                "input_schema": {"type": "object", "properties": {"a": {"type": "nope"}}},
            },
            400,
            "input_schema",
        ),
        (
            "/v1/tools",
            {"name": "ok", "webhook_url": "https://x.test/", "timeout_ms": 10**9},
            400,
            "timeout_ms",
        ),
        ("/v1/tools", {"name": "ok", "provider": "qlaud-builtin/http-call"}, 400, "config"),
        ("/v1/tools", {"name": "ok", "provider": "qlaud-builtin/nothing"}, 404, "provider"),
        ("/v1/mcp-servers", {"name": "Has Caps", "server_url": "https://x.test/"}, 400, "name"),
        ("/v1/mcp-servers", {"name": "ok"}, 400, "server_url"),
        ("/v1/mcp-servers", {"catalog_slug": "no-such-vendor"}, 404, "catalog_slug"),
        ("/v1/connections/sessions", {"connector": "none", "end_user_id": "u"}, 404, "connector"),
        ("/v1/connections/sessions", {"connector": "linear"}, 400, "end_user_id"),
        (
            "/v1/connections/sessions",
            {"connector": "linear", "end_user_id": "u", "return_url": "javascript:alert(1)"},
            400,
            "return_url",
        ),
    ],
)
async def test_control_plane_fields(
    sqlite_heddle: Served, path: str, body: dict[str, Any], status: int, param: str
) -> None:
    admin = await sqlite_heddle.client()
    answer = await admin.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"content": ""}, 400, "content"),
        ({"content": None}, 400, "content"),
        ({"content": [{"no": "type"}]}, 400, "content"),
        ({"content": [{"type": "tool_result", "tool_use_id": "x"}]}, 400, "content"),
        ({"model": None}, 400, "model"),
        ({"model": "no-such-model"}, 404, "model"),
        ({"messages": [{"role": "user", "content": "x"}]}, 400, "messages"),
        ({"tools": "all"}, 400, "tools"),
        ({"tools": ["no_such_tool"]}, 400, "tools"),
        ({"max_iterations": 0}, 400, "max_iterations"),
        ({"max_cost_usd": "lots"}, 400, "max_cost_usd"),
        ({"tools_mode": "clever"}, 400, "tools_mode"),
        ({"client_tools": [{"name": "no spaces"}]}, 400, "client_tools"),
        ({"tool_approval": {"no_such_tool": "always"}}, 400, "tool_approval"),
    ],
)
async def test_turn_fields(sqlite_heddle: Served, change: dict[str, Any], status: int, param: str) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    path = f"/v1/threads/{thread}/messages"
    answer = await user.post(path, json={"model": "sim-small", "content": "hi", "stream": True, **change})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param
    assert (await user.get(path)).json()["data"] == []
    ok = await user.post(path, json={"model": "sim-small", "content": "hi"})
    assert ok.status_code == 200


async def test_a_body_that_is_too_large_is_a_413(sqlite_heddle: Served) -> None:
    admin = await sqlite_heddle.client()
    huge = b'{"model":"' + b"x" * (33 * 1024 * 1024) + b'"}'
    for path in ("/v1/messages", "/v1/chat/completions"):
        answer = await admin.post(path, content=huge)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"


async def test_a_standard_key_cannot_reach_the_control_plane(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    for method, path in (
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/billing/ledger"),
        ("POST", "/v1/tools"),
        ("POST", "/v1/mcp-servers"),
    ):
        body = {"name": "x", "webhook_url": "https://x.test/", "server_url": "https://x.test/"}
        answer = await user.request(method, path, json=body if method == "POST" else None)
        assert answer.status_code == 403, (method, path, answer.text)


async def test_names_are_taken_once(served_heddle: Served) -> None:
    admin = await served_heddle.client()
    body = {"name": "once", "webhook_url": "https://x.test/"}
    assert (await admin.post("/v1/tools", json=body)).status_code == 201
    again = await admin.post("/v1/tools", json=body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")
    thread = {"id": NOBODY}
    assert (await admin.post("/v1/threads", json=thread)).status_code == 201
    again = await admin.post("/v1/threads", json=thread)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "id_taken")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/threads", {"metadata": {"a": {"b": "\0"}}}, "metadata"),
        ("/v1/threads", {"metadata": {"\ud800": 1}}, "metadata"),
        ("/v1/threads/{thread}/messages", {"model": "sim-small", "content": "\0"}, "content"),
        ("/v1/keys", {"name": "a\0"}, "name"),
        ("/v1/tools", {"name": "ok", "webhook_url": "https://x.test/", "description": "\0"}, "description"),
        ("/v1/connections/sessions", {"connector": "linear", "end_user_id": "\0"}, "end_user_id"),
    ],
)
async def test_text_that_no_database_keeps(
    served_heddle: Served, path: str, body: dict[str, Any], param: str
) -> None:
    admin = await served_heddle.client()
    thread = (await admin.post("/v1/threads", json={})).json()["id"]
    # json.dumps escapes what is not ASCII, so that half a surrogate pair can be sent at all
    answer = await admin.post(
        path.format(thread=thread), content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert "U+0000" in answer.json()["error"]["message"]


async def test_urls_that_no_database_can_be_asked_about(served_heddle: Served) -> None:
    admin = await served_heddle.client()
    thread = (await admin.post("/v1/threads", json={})).json()["id"]
    huge = encode_cursor(2**80, "a")
    for path, statuses in (
        ("/v1/threads/%00", {400, 404}),
        ("/v1/threads?end_user_id=%00", {200, 400}),
        ("/v1/threads?metadata[a]=%00", {200, 400}),
        (f"/v1/threads?cursor={huge}", {400}),
        (f"/v1/threads/{thread}/messages?after_seq={2**80}", {400}),
        (f"/v1/usage?from_ms={2**80}", {400}),
        (f"/v1/usage/events?from_ms=-{2**80}", {400}),
        ("/v1/connections?end_user_id=%00", {200, 400}),
        ("/v1/keys/%00", {400, 404}),
        ("/v1/tools/%00", {400, 404}),
        ("/v1/models/%00", {404}),
    ):
        answer = await admin.get(path)
        assert answer.status_code in statuses, (path, answer.text)


async def test_what_a_model_says_is_kept_in_a_storable_form(served_heddle: Served) -> None:
    admin = await served_heddle.client()
    tool = {"name": "note", "webhook_url": "http://127.0.0.1:9/nobody"}
    tool_id = (await admin.post("/v1/tools", json=tool)).raise_for_status().json()["id"]
    user, _ = await served_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    path = f"/v1/threads/{thread}/messages"
    said = r'use note {"text": "a\u0000b"}'
    body = {"model": "sim-small", "content": said, "tools": [tool_id]}
    answer = await user.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["tool_calls"][0]["input"] == {"text": "a\ufffdb"}
    kept = (await user.get(path)).json()["data"]
    assert kept[1]["content"][-1]["input"] == {"text": "a\ufffdb"}
