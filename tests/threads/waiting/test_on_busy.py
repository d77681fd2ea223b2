"""A message to a thread that is busy: refused, queued, or in place of what runs."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import Served, heddle, read_events, text_of, types_of
from tests.threads.frames import frames_of
from tests.threads.waiting.rig import PICK, ended, leaves_nothing, new_thread, post, texts, turn_when
from threads import events as turn_stream
from threads.beginning import MAX_QUEUED

SLOW = "[sim: pace=30ms words=100] slow"


async def test_queued_messages_are_answered_in_order(
    served_heddle: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_stream, "PING_EVERY_S", 0.2)
    user, _ = await served_heddle.mint()
    thread = await new_thread(user)
    path = f"{thread}/messages"
    first = await post(user, thread, 'use pick {"n":0}', client_tools=[PICK])
    queued: list[str] = []
    for number in range(2):
        turn = await post(user, thread, f"number {number}", background=True, on_busy="queue")
        assert turn["status"] == "queued"
        queued.append(f"{thread}/turns/{turn['id']}")
    streaming = asyncio.create_task(
        read_events(
            user,
            "POST",
            path,
            json={"model": "sim-small", "content": "number 2", "stream": True, "on_busy": "queue"},
        )
    )
    rejected = await user.post(path, json={"model": "sim-small", "content": "x"})
    assert (rejected.status_code, rejected.json()["error"]["turn_id"]) == (409, first["turn_id"])
    assert [role for role, _ in await texts(user, thread)] == ["user", "assistant"]
    gone = await post(user, thread, "never", background=True, on_busy="queue")
    cancelled = await user.post(f"{thread}/turns/{gone['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    last = asyncio.create_task(post(user, thread, "number 3", on_busy="queue"))
    await asyncio.sleep(0.5)
    result = f"{thread}/tool-results/{first['actions'][0]['tool_use_id']}"
    (await user.post(result, json={"output": "zero"})).raise_for_status()
    events, whole = await streaming, await last
    assert text_of(events) == "You said: number 2"
    assert types_of(events)[0] == "ping"
    assert events[-1]["type"] == "qlaud.done"
    numbered = [event["__id"] for event in events if event["type"] != "ping"]
    assert numbered == list(range(1, len(numbered) + 1))
    assert whole["content"][0]["text"] == "You said: number 3"
    for turn_path in queued:
        assert (await ended(user, turn_path))["status"] == "completed"
    said = await texts(user, thread)
    assert [text for role, text in said if role == "assistant"][2:] == [
        f"You said: number {number}" for number in range(4)
    ]
    closing = await read_events(user, "GET", f"{thread}/turns/{gone['id']}/events")
    assert types_of(closing) == ["qlaud.done"]
    await leaves_nothing(served_heddle)


async def test_a_queue_has_a_limit_and_a_refused_turn_makes_room_for_the_next(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = await new_thread(user)
    waiting = await post(user, thread, "use pick {}", client_tools=[PICK])
    turns = []
    for number in range(MAX_QUEUED):
        fields = {"model": "no-such-model"} if number == 0 else {}
        turns.append(await post(user, thread, f"{number}", background=True, on_busy="queue", **fields))
    body = {"model": "sim-small", "content": "x", "on_busy": "queue"}
    full = await user.post(f"{thread}/messages", json=body)
    assert (full.status_code, full.json()["error"]["code"]) == (409, "queue_full")
    (await user.post(f"{thread}/turns/{waiting['turn_id']}/cancel")).raise_for_status()
    ends = [await ended(user, f"{thread}/turns/{turn['id']}") for turn in turns]
    assert [turn["status"] for turn in ends] == ["failed"] + ["completed"] * (MAX_QUEUED - 1)
    assert ends[0]["error"]["code"] == "model_not_found"
    said = [text for role, text in await texts(user, thread) if role == "user"]
    assert said == ["use pick {}", *(str(number) for number in range(1, MAX_QUEUED))]
    await leaves_nothing(sqlite_heddle)


async def test_an_interruption_keeps_and_bills_what_was_delivered(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    thread = await new_thread(user)
    slow = await post(user, thread, SLOW, background=True)
    behind = await post(user, thread, "behind", background=True, on_busy="queue")
    await asyncio.sleep(0.5)
    stopped = await post(user, thread, "stop that", on_busy="interrupt")
    assert stopped["content"][0]["text"].startswith("You said: stop that")
    turn = await ended(user, f"{thread}/turns/{slow['id']}")
    assert (turn["status"], turn["cost_micros"] > 0) == ("cancelled", True)
    assert (await ended(user, f"{thread}/turns/{behind['id']}"))["status"] == "completed"
    said = await texts(user, thread)
    assert [role for role, _ in said] == ["user", "assistant"] * 3
    assert 0 < len(said[1][1].split()) < 100
    assert [said[2][1], said[4][1]] == ["stop that", "behind"]
    refused = await _refusal(user, thread, on_busy="interrupt", model="no-such-model")
    assert refused.status_code == 404  # of a free thread
    waiting = await post(user, thread, "use pick {}", client_tools=[PICK])
    refused = await _refusal(user, thread, on_busy="interrupt", model="no-such-model")
    assert refused.status_code == 404  # in place of one that waited
    assert (await user.get(f"{thread}/turns/{waiting['turn_id']}")).json()["status"] == "cancelled"
    await leaves_nothing(served_heddle)


async def _refusal(client: httpx.AsyncClient, thread: str, **fields: Any) -> httpx.Response:
    return await client.post(f"{thread}/messages", json={"model": "sim-small", "content": "x", **fields})


async def test_of_many_interruptions_every_message_stays_and_the_last_is_answered(
    database_url: str, tmp_path: Path
) -> None:
    async with heddle(database_url, tmp_path) as running:
        user, _ = await running.mint()
        thread = await new_thread(user)
        await post(user, thread, SLOW, background=True)
        await asyncio.sleep(0.2)
        turns = await asyncio.gather(
            *(
                post(user, thread, f"{SLOW} {number}", background=True, on_busy="interrupt")
                for number in range(6)
            )
        )
        last = await post(user, thread, "the end", on_busy="interrupt")
        assert last["content"][0]["text"] == "You said: the end"
        states = [(await ended(user, f"{thread}/turns/{turn['id']}"))["status"] for turn in turns]
        assert set(states) == {"cancelled"}
        said = [text for role, text in await texts(user, thread) if role == "user"]
        assert len(said) == 8
        await leaves_nothing(running)


async def test_a_turn_of_another_process_is_interrupted_and_the_queue_survives_it(
    postgres_url: str, tmp_path: Path
) -> None:
    async with heddle(postgres_url, tmp_path) as other:
        async with heddle(postgres_url, tmp_path) as one:
            user, key = await one.mint()
            elsewhere = await other.client(key["secret"])
            thread = await new_thread(user)
            slow = await post(user, thread, SLOW, background=True)
            await asyncio.sleep(0.3)
            stopped = await post(elsewhere, thread, "stop that", on_busy="interrupt")
            assert stopped["content"][0]["text"].startswith("You said: stop that")
            assert (await ended(user, f"{thread}/turns/{slow['id']}"))["status"] == "cancelled"
            slow = await post(user, thread, SLOW, background=True)
            queued = await post(user, thread, "afterwards", background=True, on_busy="queue")
        for turn in (slow, queued):  # their process has gone
            assert (await ended(elsewhere, f"{thread}/turns/{turn['id']}"))["status"] == "completed"
        await leaves_nothing(other)


async def test_a_turn_may_run_for_so_long_and_no_longer(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = await new_thread(user)
    body = {"model": "sim-small", "content": SLOW, "stream": True, "max_duration_ms": 1000}
    events = await read_events(user, "POST", f"{thread}/messages", json=body)
    error = next(event for event in events if event["type"] == "qlaud.error")
    assert (error["status"], error["code"]) == (504, "turn_time_reached")
    turn = await ended(user, f"{thread}/turns/{events[-1]['turn_id']}")
    assert (turn["status"], turn["cost_micros"] > 0) == ("failed", True)
    parked = await post(user, thread, "use pick {}", client_tools=[PICK], max_duration_ms=1000)
    await asyncio.sleep(1.2)
    path = f"{thread}/tool-results/{parked['actions'][0]['tool_use_id']}"
    (await user.post(path, json={"output": 1})).raise_for_status()
    turn = await ended(user, f"{thread}/turns/{parked['turn_id']}")
    assert turn["status"] == "completed"  # what it waited does not count
    await leaves_nothing(sqlite_heddle)


async def test_a_thread_is_deleted_with_what_waits_in_it(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = await new_thread(user)
    waiting = await post(user, thread, "use pick {}", client_tools=[PICK])
    await turn_when(user, f"{thread}/turns/{waiting['turn_id']}", "requires_action")
    queued = await post(user, thread, "later", background=True, on_busy="queue")
    (await user.delete(thread)).raise_for_status()
    result = f"{thread}/tool-results/{waiting['actions'][0]['tool_use_id']}"
    assert (await user.post(result, json={"output": 1})).status_code == 404
    async with asyncio.timeout(10):
        for turn_id in (waiting["turn_id"], queued["id"]):
            frames = await frames_of(sqlite_heddle.app.engine.hub.subscribe(turn_id))
            assert frames[-1].startswith(b"event: qlaud.done")
    await leaves_nothing(sqlite_heddle)
