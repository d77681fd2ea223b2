"""Dynamic mode over REST: what is found, for whom, and what becomes of it once an account is connected."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from broker.models import McpServer, McpTool
from tests.broker.dynamic.rig import (
    KEY,
    Market,
    connect_notebook,
    execute,
    manage,
    market,
    search,
)
from tests.broker.whole_heddle import stranger

ADD = {"name": "qlaud-mcp/abacus/add", "input": {"a": 2, "b": 3}}


@pytest.fixture
async def stalls(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Market]:
    async with market(sqlite_url, tmp_path) as stalls:
        yield stalls


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_tool_is_found_described_and_called(database_url: str, tmp_path: Path) -> None:
    async with market(database_url, tmp_path) as stalls:
        ada = await stalls.user("ada")
        found = await search(ada, "do I need an umbrella in Oslo?")
        assert found["get_weather"] == {
            "name": "get_weather",
            "kind": "webhook",
            "description": "The weather in a city",
            "connection": "not_needed",
        }
        for field in ("names", "tools"):
            body = {field: ["get_weather", "get_wheather"]}
            told = (await ada.post("/v1/tools/schemas", json=body)).raise_for_status().json()
            (schema,) = told["schemas"]
            assert set(schema) == {"name", "description", "input_schema"}
            assert schema["input_schema"]["required"] == ["city"]
            assert told["errors"][0]["name"] == "get_wheather"
        results = await execute(
            ada,
            {"name": "get_weather", "input": {"city": "Oslo"}},
            {"tool": "get_weather", "args": {"city": "Rome"}},
            {"tool": "get_weather", "args": {"town": "Rome"}},
            {"name": "nothing", "input": {}},
        )
        assert [(result["tool"], result["is_error"]) for result in results] == [
            ("get_weather", False),
            ("get_weather", False),
            ("get_weather", True),
            ("nothing", True),
        ]
        assert [result["output"] for result in results[:2]] == [{"city": "Oslo"}, {"city": "Rome"}]
        assert "city" in results[2]["output"]["error"]
        assert "There is no tool nothing." in results[3]["output"]["error"]
        assert sorted(call["input"]["city"] for call in stalls.calls) == ["Oslo", "Rome"]
        assert {call["end_user_id"] for call in stalls.calls} == {"ada"}
        assert len({call["tool_use_id"] for call in stalls.calls}) == 2


async def test_whoever_connects_a_vendor_has_its_tools_and_nobody_else(stalls: Market) -> None:
    ada, bob = await stalls.user("ada"), await stalls.user("bob")
    found = await search(ada, "keep a note in my notebook")
    assert found["qlaud-mcp/notebook"]["kind"] == "catalog"
    assert found["qlaud-mcp/notebook"]["connection"] == "not_connected"
    assert not any(name.startswith("qlaud-mcp/notebook/") for name in found)

    await connect_notebook(ada, "ada at the vendor")
    hers = await search(ada, "keep a note in my notebook")
    (add,) = [name for name in hers if name.startswith("qlaud-mcp/notebook/") and "add" in name]
    assert (hers[add]["kind"], hers[add]["connection"]) == ("mcp", "connected")
    told = (await ada.post("/v1/tools/schemas", json={"names": ["qlaud-mcp/notebook"]})).json()
    assert add in [schema["name"] for schema in told["schemas"]]
    schema = next(schema for schema in told["schemas"] if schema["name"] == add)["input_schema"]
    note = dict.fromkeys(schema["properties"], "buy thread")
    (kept,) = await execute(ada, {"name": add, "input": note})
    assert not kept["is_error"], kept

    his = await search(bob, "keep a note in my notebook")
    assert not any(name.startswith("qlaud-mcp/notebook/") for name in his)
    assert his["qlaud-mcp/notebook"]["connection"] == "not_connected"
    assert (await manage(bob, "status", tool=add))["status"] == "not_connected"
    assert (await manage(ada, "status", tool=add))["status"] == "connected"
    (refused,) = await execute(bob, {"name": add, "input": note})
    assert refused["is_error"] and refused["output"]["connect_url"].startswith(stalls.served.url)
    assert "connect_url" not in str(refused["dispatch"])

    assert (await manage(ada, "disconnect", tool="qlaud-mcp/notebook"))["status"] == "not_connected"
    (gone,) = await execute(ada, {"name": add, "input": note})
    assert gone["output"]["error"] == "connection_required"
    async with stalls.served.app.db.session() as session:  # the account's own tools are what they were
        assert (await session.exec(select(McpServer))).all() == []
        assert (await session.exec(select(McpTool))).all() == []


async def test_a_key_is_taken_checked_used_and_never_shown(stalls: Market) -> None:
    ada, bob = await stalls.user("ada"), await stalls.user("bob")
    connecting: dict[str, Any] = {"action": "connect", "tool": "qlaud-mcp/abacus"}
    empty = await ada.post("/v1/connections", json={**connecting, "credentials": {}})
    assert (empty.status_code, "API key" in empty.json()["error"]["message"]) == (400, True)
    wrong = {"action": "connect", "tool": "qlaud-mcp/notebook", "credentials": {"api_key": KEY}}
    assert refusal(await ada.post("/v1/connections", json=wrong)) == (400, "invalid_request")
    asked = {"action": "status", "tool": "qlaud-mcp/abacus", "credentials": {"api_key": KEY}}
    assert refusal(await ada.post("/v1/connections", json=asked)) == (400, "invalid_request")

    stored = await ada.post("/v1/connections", json={**connecting, "credentials": {"api_key": KEY}})
    assert stored.json() == {"status": "connected", "tool": "qlaud-mcp/abacus"}
    (result,) = await execute(ada, ADD)
    assert (result["is_error"], "5" in str(result["output"])) == (False, True), result
    listed = await manage(ada, "list")
    assert {"tool": "qlaud-mcp/abacus", "status": "connected"} in listed["tools"]
    assert listed["tools"][0]["tool"] == "qlaud-mcp/abacus"
    assert {"tool": "qlaud-mcp/abacus", "status": "not_connected"} in (await manage(bob, "list"))["tools"]
    for path in ("/v1/connections", "/v1/tools"):
        assert KEY not in (await ada.get(path)).text
    assert KEY not in f"{listed} {stored.text} {await search(ada, 'add numbers')}"


async def test_nothing_is_found_called_or_connected_across_accounts(stalls: Market) -> None:
    ada = await stalls.user("ada")
    body = {"action": "connect", "tool": "qlaud-mcp/abacus", "credentials": {"api_key": KEY}}
    (await ada.post("/v1/connections", json=body)).raise_for_status()
    assert "qlaud-mcp/abacus/add" in await search(ada, "add two numbers with the abacus")
    other = await stranger(stalls.served)
    for fields in ({}, {"end_user_id": "ada"}):
        assert "get_weather" not in await search(other, "the weather in a city", **fields)
        found = await search(other, "add two numbers with the abacus", **fields)
        assert not any(name.startswith("qlaud-mcp/abacus/") for name in found)
        weather, added = await execute(other, {"name": "get_weather", "input": {"city": "x"}}, ADD, **fields)
        assert weather["is_error"] and added["is_error"]
        told = (await other.post("/v1/tools/schemas", json={"names": ["get_weather"], **fields})).json()
        assert told["schemas"] == []
        assert (await manage(other, "status", tool="qlaud-mcp/abacus", **fields))["status"] == "not_connected"
    assert (stalls.calls, stalls.abacus.calls) == ([], [])


async def test_an_accounts_own_server_stands_for_the_vendor_it_was_made_of(stalls: Market) -> None:
    admin, ada = await stalls.served.client(), await stalls.user("ada")
    sums = {"catalog_slug": "abacus", "name": "sums", "auth_mode": "per_user", "tools": {"deny": ["fail"]}}
    made = (await admin.post("/v1/mcp-servers", json=sums)).raise_for_status().json()
    found = await search(ada, "abacus sums")
    assert "qlaud-mcp/abacus" not in found and found["sums"]["connection"] == "not_connected"
    for tool in ("sums", "sums/add", made["id"], "qlaud-mcp/abacus"):
        (needed,) = await execute(ada, {"name": tool, "input": {"a": 1, "b": 2}})
        assert needed["output"]["error"] == "connection_required", needed
    await manage(ada, "connect", tool="sums", credentials={"api_key": KEY})
    for tool in ("sums/add", "sums__add", "qlaud-mcp/abacus/add"):
        (result,) = await execute(ada, {"name": tool, "input": {"a": 1, "b": 2}})
        assert not result["is_error"], result
    denied, several = await execute(ada, {"name": "sums/fail"}, {"name": "sums"})
    assert denied["is_error"] and "tools; call one of them" in several["output"]["error"]
    assert "sums/fail" not in await search(ada, "sums that always fail")
    assert (await search(ada, "adds sums"))["sums/add"]["connection"] == "connected"


WRONG: list[tuple[str, dict[str, Any], tuple[int, str]]] = [
    ("/v1/tools/search", {"intent": "  "}, (400, "invalid_request")),
    ("/v1/tools/search", {"intent": "x", "limit": 21}, (400, "invalid_request")),
    ("/v1/tools/schemas", {}, (400, "invalid_request")),
    ("/v1/tools/schemas", {"names": []}, (400, "invalid_request")),
    ("/v1/tools/execute", {"calls": []}, (400, "invalid_request")),
    ("/v1/tools/execute", {"calls": [{"name": "x"}] * 17}, (400, "invalid_request")),
    ("/v1/tools/execute", {"calls": [{"name": "x", "input": [1]}]}, (400, "invalid_request")),
    ("/v1/tools/execute", {"calls": [{"name": "qlaud_multi_execute"}]}, (400, "invalid_request")),
    ("/v1/connections", {"action": "connect", "tool": "qlaud-mcp/abacus"}, (400, "end_user_required")),
    ("/v1/connections", {"action": "connect", "tool": "nothing"}, (404, "not_found")),
    ("/v1/connections", {"action": "connect"}, (400, "invalid_request")),
    ("/v1/connections", {"action": "steal", "tool": "x"}, (400, "invalid_request")),
    ("/v1/mcp-servers", {"name": "qlaud-mcp", "server_url": "https://x.test"}, (400, "invalid_request")),
]


async def test_what_is_wrong_is_said(stalls: Market) -> None:
    admin = await stalls.served.client()
    for path, body, expected in WRONG:
        answer = await admin.post(path, json=body)
        assert refusal(answer) == expected, (path, body, answer.text)


async def test_a_key_acts_for_its_own_end_user_only(stalls: Market) -> None:
    bob = await stalls.user("bob")
    for path, body in (
        ("/v1/tools/search", {"intent": "x"}),
        ("/v1/tools/schemas", {"names": ["x"]}),
        ("/v1/tools/execute", {"calls": [{"name": "x"}]}),
        ("/v1/connections", {"action": "list"}),
    ):
        assert refusal(await bob.post(path, json={**body, "end_user_id": "ada"})) == (
            403,
            "end_user_mismatch",
        )
