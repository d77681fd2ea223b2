"""Turns in dynamic mode: four tools that never change, through which any other is found and called."""

import json
from pathlib import Path
from typing import Any

import httpx

from broker.calls import ToolScope, ToolSelection
from gateway.inference.estimate import family_of, tokens_in_window
from tests.broker.dynamic.rig import KEY, manage, market
from tests.serving import Served, heddle
from tests.threads.waiting.rig import Tools, act, ended, new_thread, post, webhooks
from tests.tool_library import tools as library

DYNAMIC = {"tools_mode": "dynamic"}
NO_TOOLS: tuple[dict[str, Any], ...] = ({"tools": []}, {"tools_mode": "none"})
META = ["qlaud_get_tool_schemas", "qlaud_manage_connections", "qlaud_multi_execute", "qlaud_search_tools"]
MAX_TOKENS = 1_500
FAMILIES = (
    ("anthropic", "anthropic", "claude-sonnet-4-5"),
    ("openai-chat", "openai", "gpt-4o"),
    ("google", "google", "gemini-2.5-flash"),
    ("openai-chat", "somebody", "unknown"),
)


def batch(*calls: tuple[str, dict[str, Any]]) -> str:
    return "use qlaud_multi_execute " + json.dumps(
        {"calls": [{"name": name, "input": given} for name, given in calls]}
    )


async def only_call(user: httpx.AsyncClient, thread: str, content: str, **fields: Any) -> dict[str, Any]:
    """The call of a turn that made one."""
    answer = await post(user, thread, content, **DYNAMIC, **fields)
    assert answer["stop_reason"] != "requires_action", answer
    (call,) = answer["tool_calls"]
    found: dict[str, Any] = call
    return found


async def test_a_model_finds_a_tool_reads_its_schema_and_calls_it(database_url: str, tmp_path: Path) -> None:
    async with market(database_url, tmp_path) as stalls:
        ada = await stalls.user("ada")
        thread = await new_thread(ada)
        calls = json.dumps({"calls": [{"name": "get_weather", "input": {"city": "Oslo"}}]})
        answer = await post(
            ada,
            thread,
            'use qlaud_search_tools {"intent":"weather in a city"} then qlaud_get_tool_schemas '
            f'{{"names":["get_weather"]}} then qlaud_multi_execute {calls}',
            **DYNAMIC,
        )
        found, schemas, executed = answer["tool_calls"]
        assert found["output"]["results"][0]["name"] == "get_weather"
        assert schemas["output"]["schemas"][0]["name"] == "get_weather"
        assert executed["output"] == {
            "results": [{"tool": "get_weather", "output": {"city": "Oslo"}, "is_error": False}]
        }
        (one,) = executed["dispatch"]["calls"]
        assert (one["tool"], one["kind"], one["status"]) == ("get_weather", "webhook", 200)
        (call,) = stalls.calls
        assert (call["end_user_id"], call["turn_id"]) == ("ada", answer["turn_id"])
        turn = await ended(ada, f"{thread}/turns/{answer['turn_id']}")
        assert turn["tool_calls"][2]["dispatch"] == executed["dispatch"]

        (needed,) = (await only_call(ada, thread, batch(("qlaud-mcp/abacus/add", {"a": 2, "b": 3}))))[
            "output"
        ]["results"]
        assert needed["output"]["error"] == "connection_required"
        assert needed["output"]["connect_url"].startswith(stalls.served.url)
        await manage(ada, "connect", tool="qlaud-mcp/abacus", credentials={"api_key": KEY})
        done = await only_call(ada, thread, batch(("qlaud-mcp/abacus/add", {"a": 2, "b": 3})))
        assert not done["output"]["results"][0]["is_error"]
        assert stalls.abacus.calls == ["add"]


async def test_what_a_turn_is_shown_is_the_same_and_small_whatever_there_is(sqlite_heddle: Served) -> None:
    broker, account = sqlite_heddle.app.broker, ToolScope("acct_of_many", "ada")
    before = (await broker.toolset(account, ToolSelection("dynamic"))).definitions
    for tool in list(library().values())[:50]:
        columns = {
            "name": tool.name.replace("/", "_")[:64],
            "description": tool.description,
            "input_schema": tool.input_schema,
            "webhook_url": "https://example.com/",
            "timeout_ms": 1_000,
        }
        await broker.registry.create("acct_of_many", columns)
    after = (await broker.toolset(account, ToolSelection("dynamic"))).definitions
    assert [tool["name"] for tool in after] == META
    assert json.dumps(before) == json.dumps(after)
    for dialect, provider, model in FAMILIES:
        request = {"model": model, "messages": [], "tools": after}
        assert tokens_in_window(request, family_of(dialect, provider, model)) < MAX_TOKENS, provider


async def test_what_a_call_in_a_batch_needs_is_asked_before_any_is_made(sqlite_heddle: Served) -> None:
    async with webhooks() as tools:
        await tools.register(sqlite_heddle)
        admin = await sqlite_heddle.client()
        both = batch(("note", {"a": 1}), ("nothing", {}))
        ada, _ = await sqlite_heddle.mint(end_user_id="ada")
        thread = await new_thread(ada)
        await called_once_approved(ada, thread, tools, both, tool_approval={"note": "always"})
        await called_once_approved(ada, thread, tools, both, tool_approval="always")
        searched = await only_call(
            ada, thread, 'use qlaud_search_tools {"intent":"note"}', tool_approval="always"
        )
        assert searched["output"]["results"][0]["name"] == "note"

        edited = await admin.patch(f"/v1/tools/{tools.ids['note']}", json={"approval": "first_use"})
        edited.raise_for_status()
        await called_once_approved(ada, thread, tools, both)
        assert not (await only_call(ada, thread, both))["output"]["results"][0]["is_error"]

        edited = await admin.patch(f"/v1/tools/{tools.ids['note']}", json={"approval": "always"})
        edited.raise_for_status()
        made = len(tools.calls)
        parked = await post(ada, thread, both, **DYNAMIC)
        path = f"{thread}/turns/{parked['turn_id']}"
        await act(ada, path, {"id": parked["actions"][0]["id"], "type": "deny", "reason": "not today"})
        turn = await ended(ada, path)
        assert "not today" in str(turn["tool_calls"][0]["output"]) and len(tools.calls) == made


async def called_once_approved(
    user: httpx.AsyncClient, thread: str, tools: Tools, content: str, **fields: Any
) -> None:
    made = len(tools.calls)
    parked = await post(user, thread, content, **DYNAMIC, **fields)
    (action,) = parked["actions"]
    assert (action["kind"], action["tool"]) == ("approval", "qlaud_multi_execute")
    assert "note" in action["tools"] or "qlaud_multi_execute" in action["tools"]
    assert len(tools.calls) == made
    path = f"{thread}/turns/{parked['turn_id']}"
    await act(user, path, {"id": action["id"], "type": "approve"})
    turn = await ended(user, path)
    results = turn["tool_calls"][0]["output"]["results"]
    assert [result["is_error"] for result in results] == [False, True], results
    assert len(tools.calls) == made + 1


async def test_a_turn_may_say_what_can_be_found_and_called(sqlite_heddle: Served) -> None:
    async with webhooks() as tools:
        await tools.register(sqlite_heddle)
        admin = await sqlite_heddle.client()
        thread = await new_thread(admin)
        found = await only_call(admin, thread, 'use qlaud_search_tools {"intent":"note later linear"}')
        names = {one["name"] for one in found["output"]["results"]}
        assert {"note", "later", "qlaud-mcp/linear"} <= names
        narrow = {"tools": ["note", "qlaud-mcp/linear"]}
        found = await only_call(
            admin, thread, 'use qlaud_search_tools {"intent":"note later linear"}', **narrow
        )
        assert {one["name"] for one in found["output"]["results"]} == {"note", "qlaud-mcp/linear"}
        refused = await only_call(admin, thread, batch(("note", {}), ("later", {})), **narrow)
        assert [result["is_error"] for result in refused["output"]["results"]] == [False, True]
        assert [call["name"] for call in tools.calls] == ["note"]

        for fields, param in (
            ({"tools": ["nothing"]}, "tools"),
            ({"tool_approval": {"nothing": "always"}}, "tool_approval"),
        ):
            body = {"model": "sim-small", "content": "hi", **DYNAMIC, **fields}
            answer = await admin.post(f"{thread}/messages", json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
            assert answer.json()["error"]["code"] == "unknown_tool"


async def test_a_webhook_that_answers_later_cannot_be_waited_for_in_a_batch(sqlite_heddle: Served) -> None:
    async with webhooks() as tools:
        await tools.register(sqlite_heddle)
        admin = await sqlite_heddle.client()
        call = await only_call(admin, await new_thread(admin), batch(("later", {})))
        (result,) = call["output"]["results"]
        assert result["is_error"] and "answers later" in result["output"]["error"]
        assert call["dispatch"]["calls"][0]["status"] == "answers_later"


async def test_a_turn_that_says_nothing_of_tools_finds_them_by_itself(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with heddle(sqlite_url, tmp_path, default_tools_mode="dynamic") as served:
        user, _ = await served.mint(end_user_id="ada")
        thread = await new_thread(user)
        asked = 'use qlaud_search_tools {"intent":"create an issue in linear"}'
        answer = await post(user, thread, asked)
        (call,) = answer["tool_calls"]
        assert "qlaud-mcp/linear" in [one["name"] for one in call["output"]["results"]]
        for none in NO_TOOLS:
            assert (await post(user, thread, asked, **none))["tool_calls"] == []
