"""What a client that knows only the published list of events makes of a turn's stream is what the thread and
the turn say, however often its connection was cut."""

import asyncio
from typing import Any

import httpx

from tests.serving import Served
from tests.threads.frames import split
from tests.threads.streams.client import TurnClient
from tests.threads.streams.world import body_of, elsewhere, joined, webhook
from threads.events import EventHub

PICK = {"name": "pick", "description": "Pick one", "input_schema": {"properties": {"n": {"type": "integer"}}}}
ROUNDS = 'use jot {"a":"ö \\u0007 \\"q\\""} and jot {"b":2} then jot {"fail":true} then jot {"c":[1]}'

TURNS: dict[str, dict[str, Any]] = {
    "plain": {"content": 'Grüße, 世界 😀 \u2028 \\ "quoted"\nand more'},
    "tools in rounds, in parallel, one of which fails": {"content": ROUNDS},
    "the limit of iterations": {"content": "use jot {} then jot {} then jot {}", "max_iterations": 2},
    "failed in mid-stream": {"content": "[sim: error-after=5 words=9] go"},
    "broken off in a later step": {"content": '[sim: step=2 break-after=4 words=9] use jot {"a":1}'},
    "cancelled": {"content": "[sim: pace=20ms words=200] go"},
    "a tool of the caller": {
        "content": 'use pick {"n":1} and jot {"a":1}',
        "client_tools": [PICK],
        "client_tool_timeout_ms": 0,
    },
}


async def test_a_client_of_the_published_events_reconstructs_every_turn(
    served_heddle: Served, database_url: str
) -> None:
    user, _ = await served_heddle.mint()
    hub = served_heddle.app.engine.hub
    async with webhook(served_heddle) as tool, elsewhere(database_url) as other:
        for name, fields in TURNS.items():
            made = (await user.post("/v1/threads", json={})).raise_for_status().json()
            thread = f"/v1/threads/{made['id']}"
            body = {"model": "sim-small", "max_tokens": 400, "tools": [tool], "stream": True, **fields}
            client = await watched(user, thread, body)
            path = f"{thread}/turns/{client.done['turn_id']}"  # type: ignore[index]
            if client.actions:
                await continued(user, thread, path, client)
            await says_the_same(user, thread, path, client, name)
            await cut_everywhere(client, [hub, other], path)


async def watched(user: httpx.AsyncClient, thread: str, body: dict[str, Any]) -> TurnClient:
    """The turn as the client sees it that asked for it; it stops one that would go on for long."""
    client, stopping = TurnClient(), None
    async with user.stream("POST", f"{thread}/messages", json=body) as response:
        path = f"{thread}/turns/{response.headers['x-heddle-turn-id']}"
        async for data in response.aiter_bytes(997):
            client.feed(data)
            if client.last_id > 25 and stopping is None and "words=200" in body["content"]:
                stopping = asyncio.create_task(user.post(f"{path}/cancel"))
    if stopping is not None:
        (await stopping).raise_for_status()
    return client


async def continued(user: httpx.AsyncClient, thread: str, path: str, client: TurnClient) -> None:
    """The client answers what the turn waits for, and reads on from where it was."""
    assert client.done is not None and client.done["incomplete"]
    for action in client.actions:
        result = {"output": {"picked": 1}}
        answer = await user.post(f"{thread}/tool-results/{action['tool_use_id']}", json=result)
        answer.raise_for_status()
    client.feed(await body_of(user, "GET", f"{path}/events", headers={"last-event-id": str(client.last_id)}))


async def says_the_same(
    user: httpx.AsyncClient, thread: str, path: str, client: TurnClient, name: str
) -> None:
    turn = (await user.get(path)).raise_for_status().json()
    messages = (await user.get(f"{thread}/messages?limit=100")).raise_for_status().json()["data"]
    done = client.done
    assert done is not None, name
    assert done["cost_micros"] == turn["cost_micros"] > 0, name
    assert (done["iterations"], done["seq"]) == (turn["iterations"], messages[-1]["seq"]), name
    assert done["hit_max_iterations"] == turn["hit_max_iterations"] == ("limit" in name), name
    finished = turn["status"] == "completed" and not turn["hit_max_iterations"]
    assert done.get("incomplete", False) is not finished, name
    status = {"failed in": "failed", "broken of": "failed", "cancelled": "cancelled"}
    expected = status.get(name[:9], "completed")
    assert turn["status"] == expected, (name, turn)
    stored = [row["content"] for row in messages if row["role"] == "assistant"]
    shown = [[_plain(block) for block in step.blocks] for step in client.steps]
    if expected == "failed":
        assert [error["message"] for error in client.errors] == [turn["error"]["message"]], name
        shown = shown[: len(stored)]
    else:
        assert client.errors == [], name
    assert shown == stored, name
    results = {
        block["tool_use_id"]: block.get("is_error", False)
        for row in messages[1:]
        if row["role"] == "user"
        for block in row["content"]
    }
    assert results == {tool_id: result["is_error"] for tool_id, result in client.results.items()}, name
    calls = {call["tool_use_id"]: (call["input"], call["output"]) for call in turn["tool_calls"]}
    told = {call["id"]: call["input"] for step in client.steps for call in step.calls}
    assert calls == {
        tool_id: (told[tool_id], result["output"]) for tool_id, result in client.results.items()
    }, name


def _plain(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != "stopped"}


async def cut_everywhere(client: TurnClient, hubs: list[EventHub], path: str) -> None:
    """Whatever was the last frame that came through, the rest completes it, from any process."""
    turn_id = path.rpartition("/")[2]
    wholes = [split(await joined(hub.subscribe(turn_id))) for hub in hubs]
    assert wholes[0] == wholes[1]
    for cut in range(len(wholes[0]) + 1):
        again = TurnClient()
        again.feed(b"".join(wholes[0][:cut]))
        again.feed(await joined(hubs[cut % 2].subscribe(turn_id, again.last_id)))
        assert again == client, cut
