"""A thread's changes for whoever watches it: all of them, in order, once, from any process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlmodel import select, update

from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from tests.serving import Served
from tests.threads.frames import split
from tests.threads.streams.world import body_of, joined
from tests.threads.waiting.rig import ended, post, turn_when
from threads import change_stream, changes
from threads.change_stream import ThreadChanges
from threads.models import Thread, ThreadChange
from threads.store import ThreadStore

OWNER = Caller("acct_1", "key_1", "standard")
PICK = {"name": "pick", "description": "Pick one", "input_schema": {"properties": {"n": {"type": "integer"}}}}


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events but the pings, with their ids under ``__id``; they ascend."""
    found = []
    for frame in split(data):
        kind, event_id, text = frame.decode().strip().split("\n")
        event = json.loads(text.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        if event["type"] != "ping":
            found.append({**event, "__id": int(event_id.removeprefix("id: "))})
    ids = [event["__id"] for event in found]
    assert ids == sorted(set(ids))
    return found


def lasting(data: bytes) -> list[dict[str, Any]]:
    """The events, without the content of the message that is withdrawn: it is there only for a moment."""
    return [{**event, "message": None} if event.get("seq") == 7 else event for event in events_of(data)]


def said(events: list[dict[str, Any]]) -> list[str]:
    """What happened, in words."""
    return [
        " ".join(
            str(part)
            for part in (event["type"], event.get("seq"), event.get("status"), event.get("title"))
            if part is not None
        )
        for event in events
    ]


@asynccontextmanager
async def watching_elsewhere(database_url: str) -> AsyncIterator[ThreadChanges]:
    db = Database(database_url)
    try:
        yield ThreadChanges(db)
    finally:
        await db.close()


async def test_whoever_watches_a_thread_sees_all_that_happens_in_it_until_it_is_deleted(
    served_heddle: Served, database_url: str
) -> None:
    user, _ = await served_heddle.mint()
    made = (await user.post("/v1/threads", json={})).raise_for_status().json()
    thread = f"/v1/threads/{made['id']}"
    async with watching_elsewhere(database_url) as other:
        account = (await served_heddle.app.keys.authenticate(user.headers["x-api-key"])).account_id
        caller = Caller(account, "key_2", "standard")
        own = asyncio.create_task(body_of(user, "GET", f"{thread}/events"))
        others = asyncio.create_task(joined(await other.open(caller, made["id"], None)))
        late = asyncio.create_task(joined(await other.open(caller, made["id"], 0)))
        await asyncio.sleep(0.2)
        await happenings(user, thread)
        resumed = await everywhere(
            user, thread, caller, made["id"], [served_heddle.app.thread_changes, other]
        )
        deleting = asyncio.create_task(body_of(user, "GET", f"{thread}/events?starting_after=10"))
        await asyncio.sleep(0.2)
        (await user.delete(thread)).raise_for_status()
        whole = await asyncio.wait_for(own, 10)
        assert whole.startswith(b'event: ping\nid: 0\ndata: {"type":"ping"}\n\n')
        events = lasting(whole)
        assert events == lasting(await others) == lasting(await late)
        assert lasting(await deleting) == events[10:]
        assert (await user.get(f"{thread}/events")).status_code == 404
    assert [event["__id"] for event in events] == list(range(1, len(events) + 1))
    assert said(events) == [
        *("message 1", "turn running", "message 2", "turn requires_action"),
        *("turn queued", "turn running", "message 3", "message 4", "turn completed"),
        *("message 5", "turn running", "message 6", "turn completed", "thread A title"),
        *("message 7", "turn running", "message_withdrawn 7", "turn failed", "deleted"),
    ]
    assert resumed == events[:-1]
    shown = [event["message"] for event in events if event["type"] == "message"]
    assert [message and message["role"] for message in shown[:6]] == ["user", "assistant"] * 3
    assert shown[5]["content"] == [{"type": "text", "text": "You said: next"}]


async def happenings(user: httpx.AsyncClient, thread: str) -> None:
    parked = await post(user, thread, "use pick {}", client_tools=[PICK], client_tool_timeout_ms=0)
    queued = await post(user, thread, "next", background=True, on_busy="queue")
    result = f"{thread}/tool-results/{parked['actions'][0]['tool_use_id']}"
    (await user.post(result, json={"output": 1})).raise_for_status()
    await ended(user, f"{thread}/turns/{queued['id']}")
    (await user.patch(thread, json={"title": "A title"})).raise_for_status()
    refused = await user.post(
        f"{thread}/messages", json={"model": "sim-small", "content": "[sim: status=400]"}
    )
    assert refused.status_code == 400, refused.text
    turns = (await user.get(f"{thread}/turns")).json()["data"]
    await turn_when(user, f"{thread}/turns/{turns[0]['id']}", "failed")


async def everywhere(
    user: httpx.AsyncClient, thread: str, caller: Caller, thread_id: str, watches: list[ThreadChanges]
) -> list[dict[str, Any]]:
    """All that has happened so far; after whichever change one asks, the rest of it follows."""
    newest = 18
    rests = []
    for after in range(newest):
        stream = await watches[after % 2].open(caller, thread_id, after)
        data = b""
        async with asyncio.timeout(10):
            while not data or events_of(data)[-1]["__id"] < newest:
                data += await anext(stream)
        rests.append(lasting(data))
    assert all(rest == rests[0][after:] for after, rest in enumerate(rests))
    async with user.stream("GET", f"{thread}/events", headers={"last-event-id": "17"}) as response:
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                assert line == "id: 18"
                break
    return rests[0]


@pytest.fixture
async def thread(db: Database, clock: ManualClock) -> Thread:
    store = ThreadStore(db, clock)
    return await store.create(OWNER, end_user_id=None, metadata={}, thread_id=None)


async def test_writers_side_by_side_leave_no_gap_and_old_changes_go(
    db: Database, clock: ManualClock, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "KEPT", 30)
    monkeypatch.setattr(changes, "PRUNED_AT_ONCE", 10)
    store, watch = ThreadStore(db, clock), ThreadChanges(db)
    stream = await watch.open(OWNER, thread.id, 0)

    async def edit(number: int) -> None:
        await store.edit(OWNER, thread.id, changes={"title": str(number)}, metadata={})

    await asyncio.gather(*(edit(number) for number in range(25)))
    data = b""
    while data.count(b"\n\n") < 25:
        data += await anext(stream)
    seen = events_of(data)
    assert [event["__id"] for event in seen] == list(range(1, 26))
    assert sorted(int(event["title"]) for event in seen) == list(range(25))
    await asyncio.gather(*(edit(number) for number in range(60)))
    async with db.session() as session:
        kept = (await session.exec(select(ThreadChange.number))).all()
    assert 30 <= len(kept) <= 40
    for after in (3, 25, 1_000_000):  # what it knows is too old, or cannot be
        (reset,) = events_of(await anext(await watch.open(OWNER, thread.id, after)))
        assert (reset["type"], reset["__id"]) == ("reset", 85)
    assert events_of(await anext(await watch.open(OWNER, thread.id, 60)))[0]["__id"] == 61


async def test_a_watcher_hears_of_what_this_process_does_at_once(
    db: Database, clock: ManualClock, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_stream, "POLL_EVERY_S", 1_000.0)
    store, watch = ThreadStore(db, clock), ThreadChanges(db)
    stream = await watch.open(OWNER, thread.id, None)
    await anext(stream)
    hearing = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.1)
    await store.edit(OWNER, thread.id, changes={"title": "new"}, metadata={})
    assert said(events_of(await asyncio.wait_for(hearing, 10))) == ["thread new"]
    hearing = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.1)
    await store.delete(OWNER, thread.id)
    assert said(events_of(await asyncio.wait_for(hearing, 10))) == ["deleted"]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_thread_that_is_swept_away_as_empty_or_purged_meanwhile_ends_its_streams(
    db: Database, clock: ManualClock, thread: Thread
) -> None:
    streams = [await ThreadChanges(db).open(OWNER, thread.id, after) for after in (None, 0)]
    await anext(streams[0])
    await db.write(lambda session: session.exec(update(Thread).values(deleted_at=clock.now_ms())))
    for stream in streams:
        assert said(events_of(await joined(stream))) == ["deleted"]


async def test_only_those_who_may_see_a_thread_may_watch_it(sqlite_heddle: Served) -> None:
    owner, _ = await sqlite_heddle.mint(end_user_id="ann")
    stranger, _ = await sqlite_heddle.mint(end_user_id="bob")
    thread = f"/v1/threads/{(await owner.post('/v1/threads', json={})).json()['id']}"
    for client, path in ((stranger, thread), (owner, "/v1/threads/01890000-0000-7000-8000-000000000000")):
        answer = await client.get(f"{path}/events")
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    async with owner.stream("GET", f"{thread}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
