"""A turn says which of its end user's accounts at a vendor its tools use."""

import json
from typing import Any

import httpx
import pytest

from tests.connectors.browsing import connect
from tests.serving import Served
from tests.threads.waiting.rig import ended, new_thread, post, turn_when
from tests.threads.waiting.test_connect_tool import Diary, diary

WORK = {"connections": {"diary": "work"}}
MODES: dict[str, dict[str, Any]] = {
    "explicit": {"tools": ["diary"]},
    "tenant": {"tools_mode": "tenant"},
    "dynamic": {"tools_mode": "dynamic"},
}
LIST = {
    "explicit": "use diary__list_notes {}",
    "tenant": "use diary__list_notes {}",
    "dynamic": "use qlaud_multi_execute "
    + json.dumps({"calls": [{"name": "diary/list_notes", "input": {}}]}),
}


async def link(place: Diary, user: str, label: str = "") -> None:
    """The end user's account ``user`` is connected under this label."""
    admin = await place.heddle.client()
    session = {"connector": "diary", "end_user_id": "ada", "label": label}
    made = (await admin.post("/v1/connections/sessions", json=session)).raise_for_status().json()
    await connect(place.browser, made["connect_url"], user=user)


@pytest.mark.parametrize("mode", MODES)
async def test_each_mode_uses_the_account_that_is_named(sqlite_heddle: Served, mode: str) -> None:
    async with diary(sqlite_heddle) as place:
        await link(place, "ada@home")
        await link(place, "ada@work", "work")

        async def whose(**fields: Any) -> str:
            answer = await post(place.ada, place.thread, LIST[mode], **MODES[mode], **fields)
            return str(answer["tool_calls"][0]["output"])

        assert "ada@home has 0 notes" in await whose()
        assert "ada@work has 0 notes" in await whose(**WORK)
        assert "ada@home has 0 notes" in await whose(connections={"another": "work"})


async def test_a_turn_waits_for_that_account_and_goes_on_with_it(served_heddle: Served) -> None:
    """The other account's connection does not wake it, and its declined link does not end the wait."""
    async with diary(served_heddle) as place:
        parked = await post(place.ada, place.thread, LIST["explicit"], **MODES["explicit"], **WORK)
        (action,) = parked["actions"]
        assert (action["kind"], action["label"]) == ("connect", "work")
        path = f"{place.thread}/turns/{parked['turn_id']}"
        await link(place, "ada@home")
        await served_heddle.app.engine.declined(await account(place), "diary", "ada", "")
        waiting = await turn_when(place.ada, path, "requires_action")
        assert [one["id"] for one in waiting["actions"]] == [action["id"]]
        await connect(place.browser, action["connect_url"], user="ada@work")
        turn = await ended(place.ada, path)
        assert "ada@work has 0 notes" in str(turn["tool_calls"][0]["output"])


async def account(place: Diary) -> str:
    admin = await place.heddle.client()
    (row,) = (await admin.get("/v1/connections?end_user_id=ada")).json()["data"]
    found = await place.heddle.app.connections.by_id(row["id"])
    assert found is not None
    return found.account_id


async def test_calls_in_a_batch_and_what_is_managed_take_it_too(sqlite_heddle: Served) -> None:
    async with diary(sqlite_heddle) as place:
        await link(place, "ada@work", "work")
        admin = await sqlite_heddle.client()

        async def asked(path: str, **body: Any) -> Any:
            answer = await admin.post(path, json={"end_user_id": "ada", **body})
            return answer.raise_for_status().json()

        calls = [{"name": "diary/list_notes", "input": {}}]
        assert "ada@work has 0 notes" in str(await asked("/v1/tools/execute", calls=calls, **WORK))
        needed = await asked("/v1/tools/execute", calls=calls)
        assert "connection_required" in str(needed)
        status = {"action": "status", "tool": "diary"}
        assert (await asked("/v1/connections", **status, **WORK))["status"] == "connected"
        assert (await asked("/v1/connections", **status))["status"] == "not_connected"
        await asked("/v1/connections", action="disconnect", tool="diary")
        assert (await asked("/v1/connections", **status, **WORK))["status"] == "connected"
        await asked("/v1/connections", action="disconnect", tool="diary", **WORK)
        assert (await asked("/v1/connections", **status, **WORK))["status"] == "not_connected"


@pytest.mark.parametrize("wrong", ["work", ["work"], {"diary": 7}, {"diary": "x" * 101}])
async def test_labels_that_are_none_are_refused(sqlite_heddle: Served, wrong: Any) -> None:
    client: httpx.AsyncClient = await sqlite_heddle.client()
    thread = await new_thread(client)
    body = {"model": "sim-small", "max_tokens": 20, "content": "hi", "connections": wrong}
    answer = await client.post(f"{thread}/messages", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "connections", answer.text
