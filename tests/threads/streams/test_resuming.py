"""A turn goes on whoever listens, and a stream goes on where it was left, in any process."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.serving import Served
from tests.threads.frames import split
from tests.threads.streams.client import TurnClient
from tests.threads.streams.world import body_of, elsewhere, joined, webhook
from tests.threads.waiting.rig import ended, leaves_nothing, turn_when
from threads import events, live_turn

ROUNDS = '[sim: pace=8ms words=5] use jot {"wait":0.05} and jot {"b":2} then jot {"fail":1}'


async def test_every_frame_is_a_place_to_go_on_from_during_the_turn_and_after_it(
    served_heddle: Served, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From each id, as soon as it was seen and again when all is over, where the turn runs and elsewhere. So
    little is kept in memory that readers go back and forth between it and the log."""
    monkeypatch.setattr(live_turn, "TAIL_BYTES", 1_000)
    user, _ = await served_heddle.mint()
    made = (await user.post("/v1/threads", json={})).raise_for_status().json()
    async with webhook(served_heddle) as tool, elsewhere(database_url) as other:
        hubs = [served_heddle.app.engine.hub, other]
        body = {"model": "sim-small", "content": ROUNDS, "tools": [tool], "stream": True}
        during: dict[int, list[asyncio.Task[bytes]]] = {}
        client, whole = TurnClient(), b""
        async with user.stream("POST", f"/v1/threads/{made['id']}/messages", json=body) as response:
            turn_id = response.headers["x-heddle-turn-id"]
            async for data in response.aiter_bytes():
                whole += data
                client.feed(data)
                if client.last_id not in during:
                    during[client.last_id] = [
                        asyncio.create_task(joined(hub.subscribe(turn_id, client.last_id))) for hub in hubs
                    ]
        assert client.done is not None and len(client.results) == 3
        frames = split(whole)
        assert len(during) > len(frames) // 2
        for event_id, readers in during.items():
            for rest in await asyncio.gather(*readers):
                assert rest == b"".join(frames[event_id:]), event_id
        for event_id in range(len(frames) + 1):
            for hub in hubs:
                rest = await joined(hub.subscribe(turn_id, event_id))
                assert rest == b"".join(frames[event_id:]), event_id
        await leaves_nothing(served_heddle)


async def test_the_header_goes_before_the_queries_and_what_is_no_id_is_refused(
    sqlite_heddle: Served,
) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = f"/v1/threads/{(await user.post('/v1/threads', json={})).json()['id']}"
    body = {"model": "sim-small", "content": "hello"}
    turn = (await user.post(f"{thread}/messages", json=body)).raise_for_status().json()["turn_id"]
    path = f"{thread}/turns/{turn}/events"
    frames = split(await body_of(user, "GET", path))
    ways = [
        (2, {"last-event-id": "2"}, "?starting_after=3&after=4"),
        (3, {"last-event-id": ""}, "?starting_after=3&after=4"),
        (4, {}, "?after=4"),
        (0, {}, "?starting_after=0"),
        (len(frames), {"last-event-id": str(2**53)}, ""),
    ]
    for number, headers, query in ways:
        assert split(await body_of(user, "GET", path + query, headers=headers)) == frames[number:]
    for url in (path, f"{thread}/events"):
        for bad in ("x", "-1", "1.5", "+1", "1 2", "1e3", "²", "٣", "9" * 30, str(2**53 + 1), "0x1"):
            for name in ("starting_after", "after"):
                await refused(user, url, name, {"params": {name: bad}})
            await refused(user, url, "last-event-id", {"headers": {"last-event-id": bad.encode()}})
        await refused(user, url, "starting_after", {"params": {"starting_after": ""}})
        await refused(user, url, "after", {"headers": {"last-event-id": "1"}, "params": {"after": "x"}})


async def refused(user: httpx.AsyncClient, url: str, name: str, given: dict[str, Any]) -> None:
    answer = await user.get(url, **given)
    assert answer.status_code == 400, (name, given)
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", name)
    assert error["message"].startswith(f"{name}: expected the id of an event")


async def test_a_client_that_goes_away_stops_no_turn_streaming_or_not(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    async with webhook(served_heddle) as tool, AsyncExitStack() as stack:
        for stream in (True, False):
            thread = f"/v1/threads/{(await user.post('/v1/threads', json={})).json()['id']}"
            body = {
                "model": "sim-small",
                "content": '[sim: pace=5ms] use jot {"wait":0.4} then jot {"wait":0.4}',
                "tools": [tool],
                "stream": stream,
            }
            leaver = await stack.enter_async_context(
                httpx.AsyncClient(base_url=str(user.base_url), headers=user.headers)
            )
            asking = asyncio.create_task(leaver.post(f"{thread}/messages", json=body))
            turn = await begun(user, thread)
            await turn_when(user, f"{thread}/turns/{turn}", "running")
            asking.cancel()
            await asyncio.wait({asking})
            await leaver.aclose()
            assert asking.cancelled()
            assert (await ended(user, f"{thread}/turns/{turn}"))["status"] == "completed"
            messages = (await user.get(f"{thread}/messages")).json()["data"]
            assert [row["role"] for row in messages] == ["user", "assistant"] * 3
            client = TurnClient()
            client.feed(await body_of(user, "GET", f"{thread}/turns/{turn}/events"))
            assert client.done is not None and len(client.results) == 2
    await leaves_nothing(served_heddle)


async def begun(user: httpx.AsyncClient, thread: str) -> str:
    """The thread's turn, once its first answer is stored."""
    async with asyncio.timeout(20):
        while not (await user.get(f"{thread}/messages?after_seq=1")).json()["data"]:
            await asyncio.sleep(0.02)
    return str((await user.get(f"{thread}/turns")).json()["data"][0]["id"])


async def test_a_ping_after_silence_repeats_the_id_before_it(
    served_heddle: Served, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PING_EVERY_S", 0.15)
    user, _ = await served_heddle.mint()
    thread = f"/v1/threads/{(await user.post('/v1/threads', json={})).json()['id']}"
    async with webhook(served_heddle) as tool, elsewhere(database_url) as other:
        body = {
            "model": "sim-small",
            "content": '[sim: latency=500ms] use jot {"wait":0.6}',
            "tools": [tool],
            "background": True,
        }
        turn = (await user.post(f"{thread}/messages", json=body)).raise_for_status().json()["id"]
        hubs = [served_heddle.app.engine.hub, other]
        streams = await asyncio.gather(*(joined(hub.subscribe(turn)) for hub in hubs))
        for stream in streams:
            TurnClient().feed(stream)  # looks at the ids
            pings = [frame for frame in split(stream) if frame.startswith(b"event: ping\n")]
            assert len(set(pings)) > 1
            told = [frame for frame in split(stream) if frame not in pings]
            assert b"".join(told) == await joined(hubs[0].subscribe(turn))


async def test_a_process_that_is_to_stop_ends_its_streams_after_whole_frames(
    served_heddle: Served, database_url: str
) -> None:
    user, _ = await served_heddle.mint()
    thread = f"/v1/threads/{(await user.post('/v1/threads', json={})).json()['id']}"
    async with elsewhere(database_url) as other:
        body = {"model": "sim-small", "content": "[sim: pace=20ms words=60] x", "background": True}
        turn = (await user.post(f"{thread}/messages", json=body)).raise_for_status().json()["id"]
        path = f"{thread}/turns/{turn}/events"
        running = asyncio.create_task(body_of(user, "GET", path))
        watching = asyncio.create_task(body_of(user, "GET", f"{thread}/events"))
        await asyncio.sleep(0.4)
        served_heddle.app.stop_streams(all_of_them=False)
        await asyncio.wait_for(watching, 5)
        await asyncio.sleep(0.1)
        assert not running.done()
        served_heddle.app.stop_streams(all_of_them=True)
        first = await asyncio.wait_for(running, 5)
        client = TurnClient()
        client.feed(first)
        assert client.done is None and client.steps
        rest = await joined(other.subscribe(turn, client.last_id))
        assert first + rest == await joined(other.subscribe(turn))
