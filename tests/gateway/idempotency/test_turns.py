"""A message that is posted again joins the turn that it started, whatever has become of it meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import update

from gateway.idempotency.models import IdempotencyRecord
from tests.serving import Served, heddle, read_events, text_of, types_of

KEY = {"idempotency-key": "order-7"}
SLOW = "[sim: pace=20ms words=30] tell me a story"


def message(content: str, **fields: Any) -> dict[str, Any]:
    return {"json": {"model": "sim-small", "content": content, **fields}, "headers": KEY}


async def new_thread(client: httpx.AsyncClient) -> str:
    made = (await client.post("/v1/threads", json={})).raise_for_status().json()
    return f"/v1/threads/{made['id']}/messages"


async def turns_of(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    answer = await client.get(path.replace("/messages", "/turns"))
    found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
    return found


async def first_events(client: httpx.AsyncClient, path: str, count: int, **request: Any) -> str:
    """Leave a stream after some of its events; returns the turn's id."""
    async with client.stream("POST", path, **request) as answer:
        lines = answer.aiter_lines()
        while count:
            count -= (await anext(lines)).startswith("data: ")
        return str(answer.headers["x-heddle-turn-id"])


async def test_whoever_left_a_stream_gets_all_of_it_from_the_same_turn(served_heddle: Served) -> None:
    client = await served_heddle.client()
    path = await new_thread(client)
    turn_id = await first_events(client, path, 5, **message(SLOW, stream=True))
    during = await read_events(client, "POST", path, **message(SLOW, stream=True))
    after = await client.post(path, **message(SLOW, stream=True))
    assert (after.headers["x-heddle-turn-id"], after.headers["idempotent-replayed"]) == (turn_id, "true")
    assert types_of(during)[0] == "message_start"
    assert during[-1]["type"] == "qlaud.done"
    assert len(text_of(during).split()) == 30
    again = await read_events(client, "POST", path, **message(SLOW, stream=True))
    assert again == during
    other = await client.post(path, **message("another story", stream=True))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")
    assert [turn["id"] for turn in await turns_of(client, path)] == [turn_id]
    assert (await client.get("/v1/usage")).json()["request_count"] == 1


async def test_whole_and_background_answers_come_from_the_turn_too(sqlite_heddle: Served) -> None:
    client = await sqlite_heddle.client()
    path = await new_thread(client)
    first = asyncio.create_task(client.post(path, **message(SLOW)))
    while not (turns := await turns_of(client, path)):
        await asyncio.sleep(0.02)
    again = await client.post(path, **message(SLOW))
    while again.status_code == 409:  # until its first step is accepted
        assert again.json()["error"]["code"] == "idempotency_in_progress"
        await asyncio.sleep(0.02)
        again = await client.post(path, **message(SLOW))
    assert (await first).content == again.content
    assert again.headers["x-qlaud-assistant-seq"] == (await first).headers["x-qlaud-assistant-seq"]
    assert [turn["id"] for turn in turns] == [again.json()["turn_id"]]
    elsewhere = await new_thread(client)
    hidden = {**message("hi", background=True), "headers": {"idempotency-key": "b"}}
    started, joined = [await client.post(elsewhere, **hidden) for _ in range(2)]
    assert (started.status_code, joined.status_code) == (202, 202)
    assert started.json()["id"] == joined.json()["id"]
    assert len(await turns_of(client, elsewhere)) == 1


async def test_a_turn_that_failed_on_its_way_fails_again_and_one_that_was_refused_is_tried_again(
    sqlite_heddle: Served,
) -> None:
    admin = await sqlite_heddle.client()
    path = await new_thread(admin)
    broken = message("[sim: words=90 break-after=6] x")
    failed = await admin.post(path, **broken)
    again = await admin.post(path, **broken)
    assert (failed.status_code, again.status_code) == (502, 502)
    assert again.json()["error"] == failed.json()["error"]
    assert again.json()["error"]["code"] == "upstream_broke_off"
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await turns_of(admin, path)) == 1
    assert (await admin.get("/v1/usage")).json()["request_count"] == 1
    poor, key = await sqlite_heddle.mint(max_spend_usd=0)
    path = await new_thread(poor)
    refused = await poor.post(path, **message("hi"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "key_cap_reached")
    (await admin.patch(f"/v1/keys/{key['id']}", json={"max_spend_usd": 1})).raise_for_status()
    answered = await poor.post(path, **message("hi"))
    assert (answered.status_code, "idempotent-replayed" in answered.headers) == (200, False)


async def test_a_deleted_thread_is_not_read_through_its_repeats(sqlite_heddle: Served) -> None:
    client = await sqlite_heddle.client()
    path = await new_thread(client)
    (await client.post(path, **message("my secret"))).raise_for_status()
    (await client.delete(path.removesuffix("/messages"))).raise_for_status()
    again = await client.post(path, **message("my secret"))
    assert (again.status_code, "my secret" in again.text) == (404, False)


async def test_after_a_restart_the_turn_is_found_again(database_url: str, tmp_path: Path) -> None:
    async with heddle(database_url, tmp_path) as before:
        client = await before.client()
        path = await new_thread(client)
        turn_id = await first_events(client, path, 5, **message(SLOW, stream=True))
    async with heddle(database_url, tmp_path) as after:
        client = await after.client()
        events = await read_events(client, "POST", path, **message(SLOW, stream=True))
        assert (events[-1]["type"], events[-1]["turn_id"]) == ("qlaud.done", turn_id)
        assert len(text_of(events).split()) == 30
        unaccepted = update(IdempotencyRecord).values(state="running", lease_until=0)
        await after.app.db.write(lambda session: session.exec(unaccepted))
        assert await read_events(client, "POST", path, **message(SLOW, stream=True)) == events
        assert len(await turns_of(client, path)) == 1
