"""MCP servers that have a model called: where that is allowed, at the cost of the turn."""

import pytest
from sqlmodel import select

from gateway.billing.models import UsageEvent
from kit.money import micros
from tests.broker.asking_peer import asking_peer
from tests.serving import Served
from tests.threads.waiting.rig import leaves_nothing, new_thread, post
from tests.threads.waiting.test_elicitation import register

ANSWER = "sim-small: You said: seven?"


@pytest.mark.parametrize("handshake", [False, True])
async def test_a_server_has_a_model_called(sqlite_heddle: Served, handshake: bool) -> None:
    async with asking_peer(handshake=handshake) as desk:
        server_id = await register(sqlite_heddle, "desk", desk.url, allow_sampling=True)
        user, _ = await sqlite_heddle.mint(end_user_id="ada")
        thread = await new_thread(user)
        answer = await post(user, thread, "use desk/ponder {}", tools=["desk"])
        assert answer["tool_calls"][0]["output"] == {"result": ANSWER}
        async with sqlite_heddle.app.db.session() as session:
            events = (await session.exec(select(UsageEvent))).all()
        assert len(events) == 3  # two steps of the turn, and this
        assert {(event.end_user_id, event.turn_id) for event in events} == {("ada", answer["turn_id"])}
        assert micros(sum(event.cost_nanos for event in events)) == answer["cost_micros"]
        messages = (await user.get(f"{thread}/messages")).json()["data"]
        assert len(messages) == 4

        called = await user.post("/v1/tools/call", json={"name": "desk/ponder", "input": {}})
        assert called.json()["is_error"]  # there is no turn whose model it could be
        admin = await sqlite_heddle.client()
        edited = await admin.patch(f"/v1/mcp-servers/{server_id}", json={"allow_sampling": False})
        assert edited.status_code == 200, edited.text
        refused = await post(user, thread, "use desk/ponder {}", tools=["desk"])
        assert refused["tool_calls"][0]["is_error"]
        async with sqlite_heddle.app.db.session() as session:
            assert len((await session.exec(select(UsageEvent))).all()) == 5
        await leaves_nothing(sqlite_heddle)


async def test_the_turns_budget_covers_what_its_servers_have_called(sqlite_heddle: Served) -> None:
    async with asking_peer() as desk:
        await register(sqlite_heddle, "desk", desk.url, allow_sampling=True)
        user, _ = await sqlite_heddle.mint()
        whole = await post(user, await new_thread(user), "use desk/ponder {}", tools=["desk"])
        limit = whole["cost_micros"] * 5
        asked = 'use desk/ponder {"words":40000}'
        turn = await post(
            user, await new_thread(user), asked, tools=["desk"], max_cost_usd=f"{limit / 1_000_000:.6f}"
        )
        (call,) = turn["tool_calls"]
        assert "turn_budget_reached" in str(call["output"]), call
        assert turn["cost_micros"] <= limit
