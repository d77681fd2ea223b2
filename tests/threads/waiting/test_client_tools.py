"""Tools that the caller runs: while its stream waits, or after the turn has parked."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from tests.serving import Served, heddle, text_of, types_of
from tests.threads.frames import frames_of
from tests.threads.waiting.rig import (
    PICK,
    act,
    ended,
    leaves_nothing,
    new_thread,
    post,
    turn_when,
    webhooks,
)


async def stream(
    client: httpx.AsyncClient, thread: str, answer: Any, **body: Any
) -> tuple[str, list[dict[str, Any]]]:
    """Stream a turn; ``answer`` is awaited with each dispatch event. Returns the turn's path too."""
    events: list[dict[str, Any]] = []
    body = {"model": "sim-small", "max_tokens": 60, "stream": True, "client_tools": [PICK], **body}
    async with client.stream("POST", f"{thread}/messages", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line[6:]))
                if events[-1]["type"] == "qlaud.tool_dispatch_start":
                    await answer(events[-1])
        return f"{thread}/turns/{response.headers['x-heddle-turn-id']}", events


async def test_the_stream_waits_for_the_callers_tool(database_url: str, tmp_path: Path) -> None:
    async with heddle(database_url, tmp_path) as running, webhooks() as tools:
        await tools.register(running)
        user, _ = await running.mint(end_user_id="ada")
        other, _ = await running.mint(end_user_id="bob")
        thread = await new_thread(user)
        statuses: list[int] = []

        async def answer(event: dict[str, Any]) -> None:
            path = f"{thread}/tool-results/{event['tool_use_id']}"
            for client in (other, user, user):  # not another end user's, and not twice
                statuses.append((await client.post(path, json={"output": {"n": 7}})).status_code)

        asked = 'use pick {"n":1} and note {"a":1} then pick {"n":2}'
        path, events = await stream(user, thread, answer, content=asked, tools=["note"])
        assert sorted(statuses) == [200] * 2 + [404] * 7  # a server's tool is not the caller's
        done = [event for event in events if event["type"] == "qlaud.tool_dispatch_done"]
        outputs = [event["output"] for event in done if event["name"] == "pick"]
        assert outputs == [{"n": 7}, {"n": 7}]
        assert events[-1]["iterations"] == 3
        assert "qlaud.requires_action" not in types_of(events)
        assert (await ended(user, path))["actions"] == []
        clash = await user.post(
            f"{thread}/messages",
            json={
                "model": "sim-small",
                "content": "x",
                "tools": ["note"],
                "client_tools": [{**PICK, "name": "note"}],
            },
        )
        assert (clash.status_code, clash.json()["error"]["param"]) == (400, "client_tools")
        await leaves_nothing(running)


async def test_a_turn_that_waited_long_enough_parks_and_survives_a_restart(
    database_url: str, tmp_path: Path
) -> None:
    async def not_now(_: dict[str, Any]) -> None:
        return None

    async with heddle(database_url, tmp_path) as before:
        user, key = await before.mint()
        thread = await new_thread(user)
        asked = 'use pick {"n":1} and pick {"n":2} and pick {"n":"three"}'
        path, events = await stream(user, thread, not_now, content=asked, client_tool_timeout_ms=50)
        assert types_of(events)[-2:] == ["qlaud.requires_action", "qlaud.done"]
        first, second = sorted(events[-2]["actions"], key=lambda action: str(action["input"]))
        assert (first["kind"], first["tool"], first["input"], first["default"]) == (
            "client_tool",
            "pick",
            {"n": 1},
            "error",
        )
        unknown = await user.post(f"{thread}/tool-results/nothing", json={"output": 1})
        assert (unknown.status_code, (await user.get(path)).json()["status"]) == (404, "requires_action")
        await leaves_nothing(before)
    async with heddle(database_url, tmp_path) as after:
        user = await after.client(key["secret"])
        result = {"output": "one", "is_error": False}
        await user.post(f"{thread}/tool-results/{first['tool_use_id']}", json=result)
        assert (await user.get(path)).json()["status"] == "requires_action"
        answers = [{"id": second["id"], "type": "tool_output", "output": "two", "is_error": True}]
        states = await asyncio.gather(*(act(user, path, *answers) for _ in range(3)))
        assert {state["id"] for state in states} == {path.rpartition("/")[2]}
        turn = await ended(user, path)
        assert turn["status"] == "completed"
        outputs = [(call["output"], call["is_error"]) for call in turn["tool_calls"]]
        assert outputs[:2] == [("one", False), ("two", True)]
        assert "do not fit" in outputs[2][0]["error"]  # nobody was asked to run what cannot be run
        again = await user.post(f"{thread}/tool-results/{first['tool_use_id']}", json=result)
        assert again.status_code == 404
        whole = await frames_of(after.app.engine.hub.subscribe(turn["id"]))
        ids = [int(frame.split(b"id: ")[1].split(b"\n")[0]) for frame in whole]
        assert ids == sorted(set(ids)) and ids[-1] > ids[0] + 1_000_000
        kinds = [frame.split(b"\n")[0] for frame in whole]
        assert kinds.count(b"event: qlaud.tool_dispatch_done") == 3
        assert kinds[-1] == b"event: qlaud.done"
        await leaves_nothing(after)


async def test_any_process_takes_the_answer(postgres_url: str, tmp_path: Path) -> None:
    async with (
        heddle(postgres_url, tmp_path) as one,
        heddle(postgres_url, tmp_path) as other,
    ):
        user, key = await one.mint()
        elsewhere = await other.client(key["secret"])
        thread = await new_thread(user)
        started = asyncio.get_running_loop().time()

        async def answer(event: dict[str, Any]) -> None:
            path = f"{thread}/tool-results/{event['tool_use_id']}"
            (await elsewhere.post(path, json={"output": "from elsewhere"})).raise_for_status()

        _, events = await stream(user, thread, answer, content='use pick {"n":1} then pick {"n":2}')
        assert "from elsewhere" in text_of(events)
        assert asyncio.get_running_loop().time() - started < 25  # it did not park first
        parked = await post(user, thread, 'use pick {"n":3}', client_tools=[PICK])
        path = f"{thread}/turns/{parked['turn_id']}"
        ids = [action["id"] for action in parked["actions"]]
        await asyncio.gather(
            *(
                act(client, path, {"id": ids[0], "type": "tool_output", "output": name})
                for client, name in ((user, "a"), (elsewhere, "b"), (user, "c"), (elsewhere, "d"))
            )
        )
        turn = await ended(elsewhere, path)
        assert (turn["status"], turn["tool_calls"][0]["output"] in {"a", "b", "c", "d"}) == (
            "completed",
            True,
        )
        running = await post(user, thread, "[sim: pace=50ms words=400] go", background=True)
        path = f"{thread}/turns/{running['id']}"
        assert (await elsewhere.post(f"{path}/cancel")).json()["status"] == "cancelled"
        for app in (one, other):
            await leaves_nothing(app)


async def test_nobody_answers(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = await new_thread(user)
    parked = await post(user, thread, 'use pick {"n":1}', client_tools=[PICK], action_timeout_ms=1000)
    assert (parked["stop_reason"], parked["status"]) == ("requires_action", "requires_action")
    path = f"{thread}/turns/{parked['turn_id']}"
    assert parked["actions"][0]["expires_at"] <= (await user.get(path)).json()["created_at"] + 3000
    turn = await ended(user, path)
    assert (turn["status"], turn["tool_calls"][0]["is_error"]) == ("completed", True)
    assert "did not answer in time" in turn["tool_calls"][0]["output"]["error"]
    late = {"id": parked["actions"][0]["id"], "type": "tool_output", "output": "late"}
    assert (await act(user, path, late))["status"] == "completed"
    busy = await post(user, thread, 'use pick {"n":1}', client_tools=[PICK])
    waiting = f"{thread}/turns/{busy['turn_id']}"
    for wrong, status in (
        ({"id": busy["actions"][0]["id"], "type": "approve"}, 400),
        ({"id": parked["actions"][0]["id"], "type": "deny"}, 404),
        ({"id": "act_none", "type": "deny"}, 404),
    ):
        good = {"id": busy["actions"][0]["id"], "type": "deny"}
        refused = await user.post(f"{waiting}/actions", json={"actions": [good, wrong]})
        assert refused.status_code == status, refused.text
        assert (await turn_when(user, waiting, "requires_action"))["actions"]  # nothing changed
    assert (await user.post(f"{waiting}/cancel")).json()["status"] == "cancelled"
    (await user.delete(thread)).raise_for_status()
    await leaves_nothing(sqlite_heddle)


async def test_the_callers_tool_is_not_handed_arguments_that_would_have_to_be_mended(
    sqlite_heddle: Served,
) -> None:
    """Its caller reads them off the stream, where they are as the model gave them."""
    user, _ = await sqlite_heddle.mint()
    answer = await post(user, await new_thread(user), 'use pick {"n":"1"}', client_tools=[PICK])
    [call] = answer["tool_calls"]
    assert call["is_error"] and 'n: "1" is not of type "integer"' in str(call["output"])
