"""Test and live see nothing of each other, by enumeration of every route; and papers say which is which."""

import re
import zlib
from dataclasses import dataclass

import httpx

from tests.serving import Served

CALL = {"model": "sim-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
SHARED = {
    "/v1/models",
    "/v1/models/{model_id}",
    "/v1/builtins",
    "/v1/mcp-catalog",
    "/v1/billing/stripe-webhook",
    "/v1/billing/credits",
}
"""Routes that show nothing of any account, or have an authentication of their own."""
OF_REAL_MONEY = "/v1/billing/"


@dataclass
class Side:
    """One mode of the account, with everything in it that has an id."""

    client: httpx.AsyncClient
    ids: dict[str, str]
    """By the name of the path's parameter."""
    secrets: list[str]
    """Texts that nobody of the other mode may ever read."""


OF_ONES_OWN = ("/v1/end-users", "/v1/oauth-clients")


async def furnish(heddle: Served, client: httpx.AsyncClient, mode: str) -> Side:
    user = f"user_of_{mode}"
    key = (await client.post("/v1/keys", json={"name": f"key of {mode}", "end_user_id": user})).json()
    as_user = await heddle.client(key["secret"])
    assert (await as_user.post("/v1/messages", json=CALL)).status_code == 200
    await client.put(f"/v1/end-users/{user}", json={"budget_usd": 3})
    thread = (await client.post("/v1/threads", json={"metadata": {"of": mode}})).json()["id"]
    path = f"/v1/threads/{thread}"
    pick = {"name": "pick", "description": "Pick", "input_schema": {"type": "object"}}
    asked = {"model": "sim-small", "content": "use pick", "client_tools": [pick]}
    turn = (await client.post(f"{path}/messages", json=asked)).json()
    tool = {"name": f"tool_of_{mode}", "description": "t", "input_schema": {"type": "object"}}
    tool = (await client.post("/v1/tools", json={**tool, "webhook_url": "http://127.0.0.1:1/"})).json()
    conversation = (await client.post("/v1/conversations", json={})).json()["id"]
    kept = {"model": "sim-small", "input": "hi", "conversation": conversation}
    response = (await client.post("/v1/responses", json=kept)).json()
    job = (await client.post("/v1/jobs", json={"endpoint": "/v1/messages", "body": CALL})).json()
    ids = {
        "conversation_id": conversation,
        "response_id": response["id"],
        "job_id": job["id"],
        "key_id": key["id"],
        "end_user_id": user,
        "thread_id": thread,
        "turn_id": turn["turn_id"],
        "tool_use_id": turn["actions"][0]["tool_use_id"],
        "tool_id": tool["id"],
        "server_id": "mcp_0",
        "connection_id": "conn_0",
        "session_id": "cs_0",
        "connector": "slack_0",
        "call": "call_0",
        "checkout_id": "chk_0",
    }
    own = [value for value in ids.values() if not value.endswith("_0")]
    return Side(client, ids, [*own, f"key of {mode}", f"tool_of_{mode}"])


async def test_no_route_shows_anything_of_the_other_mode(served_heddle: Served) -> None:
    admin = await served_heddle.client()
    minted = (await admin.post("/v1/keys", json={"name": "t", "mode": "test", "scope": "admin"})).json()
    live = await furnish(served_heddle, admin, "live")
    test = await furnish(served_heddle, await served_heddle.client(minted["secret"]), "test")
    routes = (await admin.get("/openapi.json")).json()["paths"]
    walked = 0
    for path, methods in routes.items():
        if path in SHARED:
            continue
        for method in methods:
            await walk(path, method, test, live)
            if "{key_id}" not in path or path.endswith("/usage"):  # a live key manages test keys
                await walk(path, method, live, test)
            walked += 1
    assert walked > 40
    for side in (live, test):  # nothing was changed on either side
        assert (await side.client.get(f"/v1/threads/{side.ids['thread_id']}")).status_code == 200
        assert (await side.client.get(f"/v1/tools/{side.ids['tool_id']}")).status_code == 200
        keys = (await side.client.get("/v1/keys")).json()["data"]
        assert side.ids["key_id"] in {key["id"] for key in keys}


async def walk(path: str, method: str, one: Side, other: Side) -> None:
    """Ask with the other's ids: there is nothing by them. Ask for lists: nothing of the other is in them."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    if (not names and method != "get") or (path.startswith(OF_ONES_OWN) and method == "put"):
        return  # these make something of one's own
    url = path.format(**other.ids)
    body = (
        {"content": "hi", "output": "x", "model": "sim-small", "actions": [{"id": "act_0", "type": "deny"}]}
        if method != "get"
        else None
    )
    answer = await one.client.request(method, url, json=body, params={"q": "hi", "uri": "ui://x"})
    for text in other.secrets:  # what was asked for by name may be repeated
        assert text in url or text not in answer.text, (method, path)
    if path.startswith("/v1/end-users/"):
        if method == "get" and path.endswith("/statement"):
            assert answer.json()["lines"] == []
        elif method == "get":
            assert answer.status_code == 404, path
        return
    if names:
        code = answer.json()["error"]["code"]
        expected = {"not_found", "live_key_required", "stripe_not_configured"}
        assert answer.status_code in {403, 404, 422} and code in expected, (method, path, answer.text)
        assert answer.status_code == 404 or path.startswith(OF_REAL_MONEY), (method, path)


async def test_usage_is_counted_apart(sqlite_heddle: Served) -> None:
    live = await sqlite_heddle.client()
    minted = (await live.post("/v1/keys", json={"name": "t", "mode": "test", "scope": "admin"})).json()
    test = await sqlite_heddle.client(minted["secret"])
    for _ in range(3):
        await test.post("/v1/messages", json=CALL)
    of_live, of_test = [(await client.get("/v1/usage")).json() for client in (live, test)]
    assert (of_live["mode"], of_live["request_count"], of_live["total_cost_micros"]) == ("live", 0, 0)
    assert (of_test["mode"], of_test["request_count"]) == ("test", 3)
    assert of_test["total_cost_micros"] > 0
    assert (await live.get(f"/v1/keys/{minted['id']}/usage")).status_code == 404
    files = {"/v1/usage.csv": "usage.csv", "/v1/billing/ledger.csv": "ledger.csv"}
    for path, name in files.items():
        assert f'"TEST-{name}"' in (await test.get(path)).headers["content-disposition"]
        assert f'"{name}"' in (await live.get(path)).headers["content-disposition"]


def drawn(file: bytes) -> str:
    """What a PDF file draws, as its operators say it."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file, re.DOTALL)
    return b"".join(zlib.decompress(stream) for stream in streams).decode("latin-1")


async def test_a_statement_of_test_calls_cannot_be_taken_for_a_real_one(sqlite_heddle: Served) -> None:
    live = await sqlite_heddle.client()
    minted = (await live.post("/v1/keys", json={"name": "t", "mode": "test", "scope": "admin"})).json()
    test = await sqlite_heddle.client(minted["secret"])
    for client in (live, test):
        key = (await client.post("/v1/keys", json={"name": "u", "end_user_id": "ada"})).json()
        user = await sqlite_heddle.client(key["secret"])
        assert (await user.post("/v1/messages", json=CALL)).status_code == 200

    async def paper(client: httpx.AsyncClient, form: str) -> httpx.Response:
        return await client.get("/v1/end-users/ada/statement", params={"format": form})

    assert [(await paper(client, "json")).json()["mode"] for client in (live, test)] == ["live", "test"]
    page, real = (await paper(test, "html")).text, (await paper(live, "html")).text
    assert "TEST – Statement" in page and "Nothing is owed" in page and "TEST amount, not due" in page
    assert 'class="watermark"' in page and "My account (test)" in page
    assert "TEST" not in real and "Amount due" in real
    rows = [line.split(",") for line in (await paper(test, "csv")).text.splitlines()]
    assert rows[0][-1] == "mode" and rows[1][-1] == "test"
    for form in ("csv", "pdf"):
        assert 'filename="TEST-statement-' in (await paper(test, form)).headers["content-disposition"]
    texts = [drawn((await paper(client, "pdf")).content) for client in (live, test)]
    assert "TEST" not in texts[0] and texts[1].count("TEST") >= 4
