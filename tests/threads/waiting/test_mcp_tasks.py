"""Tools that become tasks at their MCP server: parked, asked for by any process, answered, given up."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.broker.asking_peer import SEAT_FORM, Desk, asking_peer
from tests.serving import Served, heddle
from tests.threads.waiting.rig import PATIENCE_S, act, ended, leaves_nothing, new_thread, post, turn_when
from tests.threads.waiting.test_elicitation import register, said

RESULT = {"content": [{"type": "text", "text": "arrived"}], "isError": False}


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_task_is_asked_for_over_a_restart(database_url: str, tmp_path: Path) -> None:
    async with asking_peer() as desk:
        async with heddle(database_url, tmp_path) as before:
            await register(before, "desk", desk.url)
            user, key = await before.mint(end_user_id="ada")
            thread = await new_thread(user)
            parked = await post(user, thread, 'use desk/travel {"to":"Oslo"}', tools=["desk"])
            path, (action,) = f"{thread}/turns/{parked['turn_id']}", parked["actions"]
            named = ("kind", "tool", "server", "message", "default")
            assert [action[name] for name in named] == ["task", "desk/travel", "desk", "packing", "error"]
            await until(lambda: desk.polls > 0)
            await leaves_nothing(before)
        desk.tasks["task-1"] = {"status": "completed", "result": RESULT}
        async with heddle(database_url, tmp_path) as after:
            user = await after.client(key["secret"])
            turn = await ended(user, path)
            assert (turn["status"], turn["tool_calls"][0]["output"]) == ("completed", "arrived")
            polls = desk.polls
            await asyncio.sleep(1.2)
            assert (desk.polls, desk.cancelled) == (polls, [])  # what has ended is not asked for
            await leaves_nothing(after)


@pytest.fixture
async def desk_heddle(sqlite_heddle: Served) -> Any:
    async with asking_peer() as desk:
        await register(sqlite_heddle, "desk", desk.url)
        yield sqlite_heddle, desk


async def test_a_task_asks_once_and_gets_the_answer(desk_heddle: tuple[Served, Desk]) -> None:
    running, desk = desk_heddle
    user, _ = await running.mint()
    thread = await new_thread(user)
    parked = await post(user, thread, 'use desk/travel {"to":"Oslo"}', tools=["desk"])
    path = f"{thread}/turns/{parked['turn_id']}"
    params = {"message": "Which seat?", "requestedSchema": SEAT_FORM}
    question = {"method": "elicitation/create", "params": params}
    desk.tasks["task-1"] = {"status": "input_required", "inputRequests": {"seat": question}}
    async with asyncio.timeout(PATIENCE_S):
        while len((turn := await turn_when(user, path, "requires_action"))["actions"]) < 2:
            await asyncio.sleep(0.05)
    polls = desk.polls
    await until(lambda: desk.polls > polls + 1)
    turn = await turn_when(user, path, "requires_action")
    task, seat = sorted(turn["actions"], key=lambda action: str(action["kind"]), reverse=True)
    assert (task["kind"], seat["kind"], seat["requested_schema"]) == ("task", "elicitation", SEAT_FORM)
    await act(user, path, said(seat, "accept", seat="aisle"))
    await until(lambda: desk.updates)
    assert desk.updates == [{"seat": {"action": "accept", "content": {"seat": "aisle", "bags": 1}}}]
    desk.tasks["task-1"] = {"status": "completed", "result": RESULT}
    turn = await ended(user, path)
    assert (turn["tool_calls"][0]["output"], len(desk.updates)) == ("arrived", 1)
    stream = (await user.get(f"{path}/events")).text
    ids = [int(line[4:]) for line in stream.splitlines() if line.startswith("id: ")]
    assert ids == sorted(set(ids)) and stream.count("event: qlaud.requires_action") == 2
    assert stream.count("event: qlaud.tool_dispatch_done") == 1


async def test_a_task_that_nobody_waits_for_is_given_up(desk_heddle: tuple[Served, Desk]) -> None:
    running, desk = desk_heddle
    user, _ = await running.mint()
    thread = await new_thread(user)
    paths = []
    for _number in range(3):
        parked = await post(user, await new_thread(user), 'use desk/travel {"to":"Oslo"}', tools=["desk"])
        paths.append(f"/v1/threads/{parked['thread_id']}/turns/{parked['turn_id']}")
    await user.post(f"{paths[0]}/cancel")
    turn = await turn_when(user, paths[1], "requires_action")
    await act(user, paths[1], {"id": turn["actions"][0]["id"], "type": "deny", "reason": "too far"})
    desk.tasks["task-3"] = {"status": "failed", "error": {"code": -32603, "message": "no trains"}}
    assert (await ended(user, paths[0]))["status"] == "cancelled"
    denied, failed = await ended(user, paths[1]), await ended(user, paths[2])
    assert "too far" in denied["tool_calls"][0]["output"]["error"]
    assert "no trains" in failed["tool_calls"][0]["output"]["error"]
    await until(lambda: len(desk.cancelled) == 2)
    assert sorted(desk.cancelled) == ["task-1", "task-2"]
    del desk.tasks["task-1"]
    forgotten = await post(user, thread, 'use desk/travel {"to":"Oslo"}', tools=["desk"])
    desk.tasks.clear()
    turn = await ended(user, f"{thread}/turns/{forgotten['turn_id']}")
    assert "Task not found" in turn["tool_calls"][0]["output"]["error"]
    called = await user.post("/v1/tools/call", json={"name": "desk/travel", "input": {"to": "x"}})
    assert called.json()["is_error"] and "only a thread" in called.json()["output"]["error"]
    await until(lambda: len(desk.cancelled) == 3)
