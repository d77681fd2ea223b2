"""MCP servers that ask the end user something: as a result that any process goes on with, and as a request
of their own while the call is under way."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from tests.broker.asking_peer import SEAT_FORM, Desk, asking_peer
from tests.broker.mcp_peers import everything
from tests.serving import Served, heddle
from tests.threads.waiting.rig import act, ended, leaves_nothing, new_thread, post, turn_when
from threads.models import PendingAction, ToolCallRow


async def register(heddle: Served, name: str, url: str, **fields: Any) -> str:
    admin = await heddle.client()
    body = {"name": name, "server_url": url, "auth_mode": "tenant", **fields}
    made = await admin.post("/v1/mcp-servers", json=body)
    assert made.status_code == 201, made.text
    server_id: str = made.json()["id"]
    return server_id


def said(action: dict[str, Any], how: str, **content: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": action["id"], "type": "elicitation", "action": how}
    return {**answer, "content": content} if content else answer


async def refusal(client: httpx.AsyncClient, path: str, answer: dict[str, Any]) -> str:
    refused = await client.post(f"{path}/actions", json={"actions": [answer]})
    assert refused.status_code == 400, refused.text
    message: str = refused.json()["error"]["message"]
    return message


async def test_a_call_that_asks_goes_on_in_another_process(database_url: str, tmp_path: Path) -> None:
    async with asking_peer() as desk:
        async with heddle(database_url, tmp_path) as before:
            await register(before, "desk", desk.url)
            user, key = await before.mint(end_user_id="ada")
            other, _ = await before.mint(end_user_id="bob")
            thread = await new_thread(user)
            parked = await post(user, thread, 'use desk/book {"times":2}', tools=["desk"])
            path, (action,) = f"{thread}/turns/{parked['turn_id']}", parked["actions"]
            assert {
                name: action[name] for name in ("kind", "tool", "server", "mode", "message", "default")
            } == {
                "kind": "elicitation",
                "tool": "desk/book",
                "server": "desk",
                "mode": "form",
                "message": "Which seat, 0?",
                "default": "cancel",
            }
            assert action["requested_schema"] == SEAT_FORM
            assert "asked 1" not in json.dumps([parked, (await user.get(path)).json()])
            stranger = await other.post(
                f"{path}/actions", json={"actions": [said(action, "accept", seat="aisle")]}
            )
            assert stranger.status_code == 404
            assert "requires it" in await refusal(user, path, said(action, "accept", bags=2))
            assert "aisle, window" in await refusal(user, path, said(action, "accept", seat="roof"))
            assert "at most 3" in await refusal(user, path, said(action, "accept", seat="aisle", bags=4))
            assert "no such field" in await refusal(
                user, path, said(action, "accept", seat="aisle", pet="dog")
            )
            assert "accept, decline, cancel" in await refusal(user, path, said(action, "perhaps"))
            assert "got approve" in await refusal(user, path, {"id": action["id"], "type": "approve"})
            assert len(desk.rounds) == 1
            await leaves_nothing(before)
        async with heddle(database_url, tmp_path) as after:
            user = await after.client(key["secret"])
            answer = said(action, "accept", seat="window")
            await asyncio.gather(*(act(user, path, answer) for _ in range(3)))
            again = await turn_when(user, path, "requires_action")
            (second,) = again["actions"]
            assert (second["message"], len(desk.rounds)) == ("Which seat, 1?", 2)
            await act(user, path, said(second, "accept", seat="aisle", bags=0))
            turn = await ended(user, path)
            assert turn["status"] == "completed"
            assert turn["tool_calls"][0]["output"] == {"result": "accept: [('bags', 0), ('seat', 'aisle')]"}
            states = [state for state, _ in desk.rounds]
            assert states == [None, "asked 1 \u00fc", "asked 2 \u00fc"]
            assert desk.rounds[1][1]["seat"].content == {
                "seat": "window",
                "bags": 1,
            }  # its default, filled in
            async with after.app.db.session() as session:
                (row,) = (await session.exec(select(ToolCallRow))).all()
            assert row.suspended is None
            await leaves_nothing(after)


async def test_what_is_declined_or_expires_is_told_to_the_server(sqlite_heddle: Served) -> None:
    async with asking_peer() as desk:
        await register(sqlite_heddle, "desk", desk.url)
        user, _ = await sqlite_heddle.mint()
        thread = await new_thread(user)
        parked = await post(user, thread, "use desk/both {}", tools=["desk/both"])
        path = f"{thread}/turns/{parked['turn_id']}"
        form, page = sorted(parked["actions"], key=lambda action: str(action["mode"]))
        assert (page["url"], page["domain"]) == ("https://pay.example/now?id=1", "pay.example")
        assert "requested_schema" not in page and "url" not in form
        assert "only an accepted form" in await refusal(user, path, said(page, "accept", seat="aisle"))
        waiting = await act(user, path, said(page, "accept"))
        assert waiting["status"] == "requires_action"  # the other question is open still
        await act(user, path, {"id": form["id"], "type": "deny"})
        turn = await ended(user, path)
        expected = "[('form', 'decline'), ('page', 'accept')]"
        assert turn["tool_calls"][0]["output"] == {"result": expected}
        short = await post(user, thread, "use desk/book {}", tools=["desk/book"], action_timeout_ms=1_000)
        turn = await ended(user, f"{thread}/turns/{short['turn_id']}")
        assert turn["tool_calls"][0]["output"] == {"result": "cancel: []"}


async def test_a_server_does_not_get_to_ask_what_it_must_not(sqlite_heddle: Served) -> None:
    async with asking_peer() as desk:
        await register(sqlite_heddle, "desk", desk.url)
        user, _ = await sqlite_heddle.mint()
        thread = await new_thread(user)
        outputs = []
        for asked in ("use desk/snoop {}", 'use desk/book {"times":1000}', "use desk/wait_there {}"):
            answer = await post(user, thread, asked, tools=["desk"])
            path = f"{thread}/turns/{answer['turn_id']}"
            while answer.get("actions"):
                await act(user, path, said(answer["actions"][0], "accept", seat="aisle"))
                answer = await turn_when(user, path, "requires_action", "completed")
            outputs.append((await ended(user, path))["tool_calls"][0])
        assert "must be asked for by URL" in outputs[0]["output"]["error"]
        assert "more than 10 times" in outputs[1]["output"]["error"]
        assert outputs[2]["output"] == {"result": "after once"}
        assert len(desk.rounds) == 11
        called = await user.post("/v1/tools/call", json={"name": "desk/book", "input": {}})
        assert (called.status_code, called.json()["error"]["code"]) == (409, "input_required")
        assert called.json()["error"]["questions"][0]["requested_schema"] == SEAT_FORM
        assert "asked 1" not in called.text


async def streamed(
    client: httpx.AsyncClient, thread: str, on_action: Any, **body: Any
) -> tuple[str, list[dict[str, Any]]]:
    """Stream a turn; ``on_action`` is awaited with each event that somebody is waited for."""
    events: list[dict[str, Any]] = []
    body = {"model": "sim-small", "max_tokens": 60, "stream": True, **body}
    async with client.stream("POST", f"{thread}/messages", json=body) as response:
        assert response.status_code == 200, await response.aread()
        path = f"{thread}/turns/{response.headers['x-heddle-turn-id']}"
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line[6:]))
                if events[-1]["type"] == "qlaud.requires_action":
                    await on_action(path, events[-1]["actions"])
    return path, events


async def test_a_server_of_the_handshake_era_waits_for_the_answer(sqlite_heddle: Served) -> None:
    async with everything() as url:
        await register(sqlite_heddle, "every", url)
        user, _ = await sqlite_heddle.mint()
        thread = await new_thread(user)
        seen: list[dict[str, Any]] = []

        async def accept(path: str, actions: list[dict[str, Any]]) -> None:
            seen.extend(actions)
            content = {"name": "Ada"} if actions[0]["mode"] == "form" else {}
            await act(user, path, said(actions[0], "accept", **content))

        tools = ["every"]
        ask = "use every/trigger-elicitation-request {}"
        path, events = await streamed(user, thread, accept, content=ask, tools=tools)
        done = next(event for event in events if event["type"] == "qlaud.tool_dispatch_done")
        assert "Ada" in str(done["output"]) and not done["is_error"]
        assert (seen[0]["mode"], seen[0]["server"]) == ("form", "every")
        assert events[-1]["type"] == "qlaud.done" and "incomplete" not in events[-1]

        async def ignore(_path: str, actions: list[dict[str, Any]]) -> None:
            seen.extend(actions)

        path, events = await streamed(
            user, thread, ignore, content=ask, tools=tools, client_tool_timeout_ms=300
        )
        done = next(event for event in events if event["type"] == "qlaud.tool_dispatch_done")
        assert "cancel" in str(done["output"]).lower()
        assert (await ended(user, path))["actions"] == []
        late = await user.post(f"{path}/actions", json={"actions": [said(seen[1], "accept", name="Bo")]})
        assert late.status_code == 200  # changes nothing
        await _side_by_side(sqlite_heddle, ask, tools)
        unheard = await post(user, thread, ask, tools=tools)
        assert "cancel" in str(unheard["tool_calls"][0]["output"]).lower()
        await _url_required(user, thread, tools)
        await leaves_nothing(sqlite_heddle)
        async with sqlite_heddle.app.db.session() as session:
            rows = (await session.exec(select(PendingAction))).all()
        assert all(row.status != "open" for row in rows)


async def _side_by_side(running: Served, ask: str, tools: list[str]) -> None:
    """Two end users of one connection: each is asked by the call of their own, and answers for it."""
    asked = asyncio.Barrier(2)

    async def as_user(name: str) -> None:
        user, _ = await running.mint(end_user_id=name)

        async def accept(path: str, actions: list[dict[str, Any]]) -> None:
            await asked.wait()
            await act(user, path, said(actions[0], "accept", name=name))

        _, events = await streamed(user, await new_thread(user), accept, content=ask, tools=tools)
        done = next(event for event in events if event["type"] == "qlaud.tool_dispatch_done")
        assert f"- Name: {name}" in str(done["output"]), done

    await asyncio.gather(as_user("Ada"), as_user("Bob"))


async def _url_required(user: httpx.AsyncClient, thread: str, tools: list[str]) -> None:
    """The error -32042: the call is made again once the page was opened, and not if it was not."""
    arguments = '{"url":"https://a.example/x","errorPath":true}'
    ask = f"use every/trigger-url-elicitation {arguments}"
    parked = await post(user, thread, ask, tools=tools)
    path, (action,) = f"{thread}/turns/{parked['turn_id']}", parked["actions"]
    assert (action["mode"], action["domain"]) == ("url", "modelcontextprotocol.io")
    await act(user, path, said(action, "decline"))
    turn = await ended(user, path)
    assert "did not open the page" in turn["tool_calls"][0]["output"]["error"]


async def test_a_server_that_does_not_want_to_know_any_more(sqlite_heddle: Served) -> None:
    async with asking_peer(handshake=True) as desk:
        await register(sqlite_heddle, "desk", desk.url)
        user, _ = await sqlite_heddle.mint()
        thread = await new_thread(user)

        async def ignore(*_: Any) -> None:
            return None

        path, events = await streamed(user, thread, ignore, content="use desk/hasty {}", tools=["desk"])
        done = next(event for event in events if event["type"] == "qlaud.tool_dispatch_done")
        assert done["output"] == {"result": "went on"}
        assert (await ended(user, path))["actions"] == []
        await leaves_nothing(sqlite_heddle)


async def test_a_question_ends_with_the_process_that_waited(sqlite_url: str, tmp_path: Path) -> None:
    async with asking_peer(handshake=True) as desk:
        asked = asyncio.Event()
        async with heddle(sqlite_url, tmp_path) as before:
            await register(before, "desk", desk.url)
            user, key = await before.mint()
            thread = await new_thread(user)

            async def tell(*_: Any) -> None:
                asked.set()

            streaming = asyncio.create_task(
                streamed(user, thread, tell, content="use desk/patient {}", tools=["desk"])
            )
            await asked.wait()
            (turn,) = (await user.get(f"{thread}/turns")).json()["data"]
            path = f"{thread}/turns/{turn['id']}"
            (action,) = (await user.get(path)).json()["actions"]
            assert (action["kind"], action["message"]) == ("elicitation", "Whenever?")
        streaming.cancel()
        await asyncio.wait({streaming})
        async with heddle(sqlite_url, tmp_path) as after:
            user = await after.client(key["secret"])
            turn = await ended(user, path)
            assert (turn["status"], turn["actions"]) == ("completed", [])
            assert "unknown" in str(turn["tool_calls"][0]["output"])  # it cannot be called again unasked
            await leaves_nothing(after)


@pytest.fixture
async def desk_heddle(sqlite_heddle: Served) -> Any:
    async with asking_peer() as desk:
        await register(sqlite_heddle, "desk", desk.url)
        yield sqlite_heddle, desk


async def test_progress_is_shown_and_does_not_flood_the_log(desk_heddle: tuple[Served, Desk]) -> None:
    running, _ = desk_heddle
    user, _key = await running.mint()
    thread = await new_thread(user)

    async def nobody(*_: Any) -> None:
        raise AssertionError("nobody is asked")

    asked = 'use desk/chatter {"times":400} and desk/chatter {"times":3}'
    path, events = await streamed(user, thread, nobody, content=asked, tools=["desk"])
    told = [event for event in events if event["type"] == "qlaud.tool_progress"]
    by_call: dict[str, list[dict[str, Any]]] = {}
    for event in told:
        by_call.setdefault(event["tool_use_id"], []).append(event)
    assert len(by_call) == 2 and len(told) < 100
    for progress in by_call.values():
        last = progress[-1]
        assert (last["progress"], last["message"]) == (last["total"], f"at {last['total']:g}")
        assert [one["progress"] for one in progress] == sorted(one["progress"] for one in progress)
        done = next(
            event
            for event in events
            if event["type"] == "qlaud.tool_dispatch_done" and event["tool_use_id"] == last["tool_use_id"]
        )
        assert events.index(last) < events.index(done)
    logged = await user.get(f"{path}/events")
    assert logged.text.count("event: qlaud.tool_progress") == len(told)


async def test_cancelling_a_turn_stops_its_tool_at_the_server(desk_heddle: tuple[Served, Desk]) -> None:
    running, desk = desk_heddle
    user, _ = await running.mint()
    thread = await new_thread(user)
    turn = await post(user, thread, "use desk/dawdle {}", tools=["desk"], background=True)
    path = f"{thread}/turns/{turn['id']}"
    while "qlaud.tool_progress" not in await _logged(running, turn["id"]):
        await asyncio.sleep(0.05)
    await user.post(f"{path}/cancel")
    assert (await ended(user, path))["status"] == "cancelled"
    while not desk.stopped:
        await asyncio.sleep(0.05)
    await leaves_nothing(running)


async def _logged(running: Served, turn_id: str) -> str:
    from threads.models import TurnEventChunk

    async with running.app.db.session() as session:
        rows = await session.exec(select(TurnEventChunk).where(TurnEventChunk.turn_id == turn_id))
        return "".join(row.frames for row in rows.all())
