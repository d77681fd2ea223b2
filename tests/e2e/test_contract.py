"""The public clients' floor: their calls, their byte rules, with nothing but the base URL changed."""

import asyncio
import json
import uuid

import pytest

from gateway.demo.webhook import WeatherHook, build_weather_hook
from gateway.loopback import served
from tests.serving import Served, read_events, text_of, types_of

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


async def weather_tool(heddle: Served, name: str = "get_weather") -> tuple[str, WeatherHook]:
    hook = WeatherHook()
    url = await heddle.stack.enter_async_context(served(lambda _: build_weather_hook(hook)))
    admin = await heddle.client()
    body = {
        "name": name,
        "description": "Weather",
        "input_schema": SCHEMA,
        "webhook_url": f"{url}/weather",
    }
    tool = (await admin.post("/v1/tools", json=body)).raise_for_status().json()
    hook.secret = tool["secret"]
    return tool["id"], hook


async def test_a_client_mints_a_key_and_streams_a_turn_with_tools(served_heddle: Served) -> None:
    tool_id, hook = await weather_tool(served_heddle)
    user, key = await served_heddle.mint(max_spend_usd=1)
    assert key["secret"].startswith("ak_live_")
    assert len(key["secret"]) == len("ak_live_") + 64
    thread = (await user.post("/v1/threads", json={"end_user_id": "u1"})).raise_for_status().json()
    assert uuid.UUID(thread["id"]).version == 7
    assert (thread["object"], thread["end_user_id"], thread["metadata"]) == ("thread", "u1", {})

    events = await read_events(
        user,
        "POST",
        f"/v1/threads/{thread['id']}/messages",
        json={
            "model": "sim-small",
            "max_tokens": 300,
            "content": 'use get_weather {"city":"Oslo"} and get_weather {"city":"Lima"}',
            "tools": [tool_id],
            "stream": True,
        },
    )
    message = ["message_start", "content_block_start", "content_block_delta", "content_block_stop"]
    tool_use = ["content_block_start", "content_block_delta", "content_block_stop"]
    closing = ["message_delta", "message_stop"]
    assert types_of(events[:-1])[: len(message + tool_use * 2 + closing)] == message + tool_use * 2 + closing
    between = types_of(events)[len(message + tool_use * 2 + closing) :]
    assert sorted(between[:4]) == ["qlaud.tool_dispatch_done"] * 2 + ["qlaud.tool_dispatch_start"] * 2
    assert between[4:] == ["qlaud.iteration_start", *message, *closing, "qlaud.done"]
    done = events[-1]
    assert done["thread_id"] == thread["id"]
    assert (done["iterations"], done["hit_max_iterations"], done["seq"]) == (2, False, 4)
    assert done["cost_micros"] > 0
    assert "snow" in text_of(events)
    assert [event["__id"] for event in events] == list(range(1, len(events) + 1))
    assert {call["end_user_id"] for call in hook.seen} == {"u1"}
    assert len(hook.seen) == 2

    uses = [
        e["content_block"]["id"]
        for e in events
        if e["type"] == "content_block_start" and "id" in e["content_block"]
    ]
    finished = {e["tool_use_id"]: e["output"] for e in events if e["type"] == "qlaud.tool_dispatch_done"}
    assert set(uses) == set(finished)
    assert finished[uses[0]] == {"city": "Oslo", "celsius": 4, "sky": "snow"}


async def test_messages_page_by_seq_in_both_orders(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    path = f"/v1/threads/{thread}/messages"
    for number in range(3):
        turn = {"model": "sim-small", "content": f"number {number}"}
        (await user.post(path, json=turn)).raise_for_status()
    page = (await user.get(path, params={"limit": 4, "order": "desc"})).json()
    assert [message["seq"] for message in page["data"]] == [6, 5, 4, 3]
    assert page["has_more"] and page["next_before_seq"] == 3
    page = (await user.get(path, params={"limit": 4, "order": "desc", "before_seq": 3})).json()
    assert [message["seq"] for message in page["data"]] == [2, 1]
    assert not page["has_more"]
    page = (await user.get(path, params={"limit": 2, "after_seq": 1})).json()
    assert [message["seq"] for message in page["data"]] == [2, 3]
    assert page["next_after_seq"] == 3
    assert page["data"][0]["usage"]["input_tokens"] > 0
    assert page["data"][0]["cost_micros"] > 0


async def test_frames_obey_the_byte_rules(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    body = {"model": "sim-small", "content": "grüße 你好 🧵 end", "stream": True}
    answer = await user.post(f"/v1/threads/{thread}/messages", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-qlaud-thread-id"] == thread
    assert answer.headers["x-heddle-turn-id"].startswith("turn_")
    assert answer.content.endswith(b"\n\n")
    assert b"\r" not in answer.content
    assert "你".encode() in answer.content
    assert b"\\u" not in answer.content
    payloads = []
    for frame in answer.content.split(b"\n\n")[:-1]:
        event, event_id, data = frame.split(b"\n")
        payloads.append(payload := json.loads(data.removeprefix(b"data: ")))
        assert event == b"event: " + payload["type"].encode()
        assert event_id.removeprefix(b"id: ").isdigit()
        assert json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode() == data[6:]
        if payload["type"] == "content_block_delta":
            assert b'"delta":{"type":"text_delta","text":' in data
            assert set(payload["delta"]) == {"type", "text"}
    assert "grüße 你好 🧵 end" in text_of(payloads)


async def test_a_whole_answer_has_the_turn_beside_the_message(sqlite_heddle: Served) -> None:
    tool_id, _ = await weather_tool(sqlite_heddle)
    user, _ = await sqlite_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    body = {"model": "sim-small", "content": 'use get_weather {"city":"Cairo"}', "tools": [tool_id]}
    answer = await user.post(f"/v1/threads/{thread}/messages", json=body)
    message = answer.raise_for_status().json()
    assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")
    assert "29" in message["content"][0]["text"]
    assert (message["thread_id"], message["iterations"]) == (thread, 2)
    assert message["tool_calls"][0]["output"]["sky"] == "sun"
    assert message["tool_calls"][0]["dispatch"]["target"] == "127.0.0.1"
    assert answer.headers["x-qlaud-assistant-seq"] == "4"


async def test_tools_are_listed_as_clients_read_them(sqlite_heddle: Served) -> None:
    tool_id, _ = await weather_tool(sqlite_heddle)
    user, _ = await sqlite_heddle.mint()
    listed = (await user.get("/v1/tools")).raise_for_status().json()
    assert [tool["id"] for tool in listed["data"]] == [tool_id]
    assert listed["tools"] == listed["data"]
    assert "secret" not in json.dumps(listed)


async def test_money_that_does_not_cover_a_turn_is_a_402_status(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint(max_spend_usd=0)
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    for stream in (True, False):
        body = {"model": "sim-small", "content": "hello", "stream": stream}
        refused = await user.post(f"/v1/threads/{thread}/messages", json=body)
        assert refused.status_code == 402
        error = refused.json()["error"]
        assert (error["type"], error["code"], error["cap_micros"]) == ("billing_error", "key_cap_reached", 0)
    assert (await user.get(f"/v1/threads/{thread}/messages")).json()["data"] == []
    direct = {"model": "sim-small", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}]}
    assert (await user.post("/v1/messages", json=direct)).status_code == 402
    chat = await user.post("/v1/chat/completions", json=direct)
    assert chat.status_code == 402
    assert chat.json()["error"]["code"] == "key_cap_reached"
    assert "type" not in chat.json()


async def test_threads_are_listed_filtered_edited_and_deleted(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    made = []
    for number in range(3):
        body = {"end_user_id": f"u{number}", "metadata": {"app": "a" if number else "b", "n": number}}
        made.append((await user.post("/v1/threads", json=body)).json()["id"])
        await asyncio.sleep(0.002)
    listed = (await user.get("/v1/threads", params={"limit": 2})).json()
    assert [thread["id"] for thread in listed["data"]] == [made[2], made[1]]
    rest = (await user.get("/v1/threads", params={"limit": 2, "cursor": listed["next_cursor"]})).json()
    assert [thread["id"] for thread in rest["data"]] == [made[0]]
    filtered = (await user.get("/v1/threads", params={"metadata[app]": "a"})).json()["data"]
    assert {thread["id"] for thread in filtered} == {made[1], made[2]}
    of_user = (await user.get("/v1/threads", params={"end_user_id": "u0"})).json()["data"]
    assert [thread["id"] for thread in of_user] == [made[0]]
    edited = await user.patch(
        f"/v1/threads/{made[0]}", json={"title": "T", "metadata": {"app": None, "new": 1}}
    )
    assert (edited.json()["title"], edited.json()["metadata"]) == ("T", {"n": 0, "new": 1})
    assert (await user.delete(f"/v1/threads/{made[0]}")).json()["deleted"] is True
    for path in ("", "/messages", "/turns"):
        assert (await user.get(f"/v1/threads/{made[0]}{path}")).status_code == 404
    assert (await user.delete("/v1/threads/empty")).json() == {"deleted": 0}


async def test_a_client_posting_results_for_a_server_tool_changes_nothing(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    answer = await user.post(f"/v1/threads/{thread}/tool-results/toolu_1", json={"output": "x"})
    assert answer.status_code == 404
    assert answer.json()["type"] == "error"


async def test_a_client_that_goes_away_does_not_stop_its_turn(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    body = {"model": "sim-small", "content": "[sim: pace=10ms words=40] go", "stream": True}
    async with user.stream("POST", f"/v1/threads/{thread}/messages", json=body) as response:
        turn_id = response.headers["x-heddle-turn-id"]
        async for line in response.aiter_lines():
            if line.startswith("id: 4"):
                break
    path = f"/v1/threads/{thread}/turns/{turn_id}"
    rest = await read_events(user, "GET", f"{path}/events", headers={"last-event-id": "4"})
    assert rest[0]["__id"] == 5
    assert rest[-1]["type"] == "qlaud.done"
    whole = await read_events(user, "GET", f"{path}/events")
    assert [event["__id"] for event in whole] == list(range(1, len(whole) + 1))
    assert whole[4:] == rest
    assert len(text_of(whole).split()) == 40
    assert (await user.get(path)).json()["status"] == "completed"


async def test_one_turn_at_a_time(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    body = {"model": "sim-small", "content": "[sim: latency=300ms] x", "background": True}
    path = f"/v1/threads/{thread}/messages"
    answers = await asyncio.gather(*(user.post(path, json=body) for _ in range(5)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [202, 409, 409, 409, 409]
    busy = next(answer for answer in answers if answer.status_code == 409)
    assert busy.json()["error"]["code"] == "turn_in_progress"


async def test_a_cancelled_turn_leaves_a_thread_that_goes_on(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    path = f"/v1/threads/{thread}"
    body = {"model": "sim-small", "content": "[sim: pace=50ms words=200] x", "background": True}
    turn = (await user.post(f"{path}/messages", json=body)).json()["id"]
    await asyncio.sleep(0.3)
    cancelled = await user.post(f"{path}/turns/{turn}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert cancelled.json()["cost_micros"] > 0
    again = await user.post(f"{path}/messages", json={"model": "sim-small", "content": "and now"})
    assert again.json()["content"][0]["text"] == "You said: and now"
    admin = await served_heddle.client()
    assert (await admin.get("/v1/billing/balance")).json()["held_micros"] == 0


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_turn_ends_at_its_iteration_limit(sqlite_heddle: Served, limit: int) -> None:
    tool_id, hook = await weather_tool(sqlite_heddle)
    user, _ = await sqlite_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    rounds = " then ".join(['get_weather {"city":"Oslo"}'] * 4)
    body = {
        "model": "sim-small",
        "content": f"use {rounds}",
        "tools": [tool_id],
        "max_iterations": limit,
    }
    message = (await user.post(f"/v1/threads/{thread}/messages", json=body)).raise_for_status().json()
    assert (message["iterations"], message["hit_max_iterations"]) == (limit, True)
    assert len(hook.seen) == limit


async def test_a_turn_stops_at_its_budget_and_keeps_what_it_has(sqlite_heddle: Served) -> None:
    tool_id, _ = await weather_tool(sqlite_heddle)
    user, _ = await sqlite_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    path = f"/v1/threads/{thread}/messages"
    body = {
        "model": "sim-small",
        "max_tokens": 50,
        "content": 'use get_weather {"city":"Oslo"}',
        "tools": [tool_id],
        "max_cost_usd": "0.00065",
        "stream": True,
    }
    events = await read_events(user, "POST", path, json=body)
    error = next(event for event in events if event["type"] == "qlaud.error")
    assert (error["status"], error["code"], error["iteration"]) == (402, "turn_budget_reached", 2)
    assert events[-1]["type"] == "qlaud.done"
    assert events[-1]["incomplete"] is True
    stored = (await user.get(path)).json()["data"]
    assert [message["role"] for message in stored] == ["user", "assistant", "user"]


async def test_upstream_faults_before_the_stream_are_http_statuses(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    path = f"/v1/threads/{thread}/messages"
    for simulated, status in ((529, 529), (500, 502), (503, 503), (429, 429)):
        body = {"model": "sim-small", "content": f"[sim: status={simulated}]", "stream": True}
        answer = await user.post(path, json=body)
        assert answer.status_code == status
        assert answer.json()["error"]["provider"] == "sim"
    assert (await user.get(path)).json()["data"] == []


async def test_a_provider_that_breaks_off_ends_the_stream_with_an_error_event(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    body = {"model": "sim-small", "content": "[sim: words=90 break-after=6] x", "stream": True}
    events = await read_events(user, "POST", f"/v1/threads/{thread}/messages", json=body)
    error = next(event for event in events if event["type"] == "qlaud.error")
    assert error["code"] == "upstream_broke_off"
    assert events[-1]["type"] == "qlaud.done"
    assert events[-1]["cost_micros"] > 0
    admin = await sqlite_heddle.client()
    usage = (await admin.get("/v1/usage/events")).json()["data"][0]
    assert (usage["status"], usage["estimated"]) == ("error", True)
    assert (await admin.get("/v1/billing/balance")).json()["held_micros"] == 0
    again = await user.post(f"/v1/threads/{thread}/messages", json={"model": "sim-small", "content": "again"})
    assert again.json()["content"][0]["text"].endswith("again")


async def test_a_json_body_needs_no_content_type(sqlite_heddle: Served) -> None:
    user, _ = await sqlite_heddle.mint()
    form = {"content-type": "application/x-www-form-urlencoded"}  # what curl -d says
    for headers in (form, {}):
        made = await user.post("/v1/threads", content=b'{"metadata":{"a":1}}', headers=headers)
        assert (made.status_code, made.json()["metadata"]) == (201, {"a": 1})
        broken = await user.post("/v1/threads", content=b'{"metadata":', headers=headers)
        assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_json")
