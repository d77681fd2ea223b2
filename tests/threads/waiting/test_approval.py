"""Calls that somebody must approve of, while the others run; and webhooks that answer later."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.serving import Served, heddle
from tests.threads.waiting.rig import act, ended, leaves_nothing, new_thread, post, turn_when, webhooks


async def test_only_the_calls_that_need_it_wait(database_url: str, tmp_path: Path) -> None:
    async with webhooks() as tools:
        async with heddle(database_url, tmp_path) as before:
            await tools.register(before)
            user, key = await before.mint(end_user_id="ada")
            other, _ = await before.mint(end_user_id="bob")
            thread = await new_thread(user)
            parked = await post(
                user,
                thread,
                'use note {"a":1} and later {"b":1} and later {"b":2}',
                tools=["note", "later"],
                tool_approval={"later": "always", tools.ids["note"]: "never"},
            )
            path = f"{thread}/turns/{parked['turn_id']}"
            assert [call["name"] for call in tools.calls] == ["note"]
            yes, no = sorted(parked["actions"], key=lambda action: str(action["input"]))
            assert (yes["kind"], yes["tool"], yes["input"], yes["default"]) == (
                "approval",
                "later",
                {"b": 1},
                "deny",
            )
            hidden = await other.post(
                f"{path}/actions", json={"actions": [{"id": yes["id"], "type": "approve"}]}
            )
            assert hidden.status_code == 404
            denied = {"id": no["id"], "type": "deny", "reason": "not on Sundays"}
            assert (await act(user, path, denied))["status"] == "requires_action"
        async with heddle(database_url, tmp_path) as after:
            user = await after.client(key["secret"])
            approved = {"id": yes["id"], "type": "approve"}
            await asyncio.gather(*(act(user, path, approved) for _ in range(3)))
            waiting = await turn_when(user, path, "requires_action")
            (action,) = waiting["actions"]
            assert (action["kind"], action["tool_id"]) == ("webhook", tools.ids["later"])
            assert [call["input"] for call in tools.named("later")] == [{"b": 1}]
            forged = {"id": action["id"], "type": "tool_output", "output": "mine"}
            refused = await user.post(f"{path}/actions", json={"actions": [forged]})
            assert refused.status_code == 400  # who sees the turn is not the webhook
            results = f"/v1/tools/{tools.ids['later']}/results/{action['tool_use_id']}"
            admin = await after.client()
            for _ in range(2):
                (await admin.post(results, json={"output": "done"})).raise_for_status()
            turn = await ended(user, path)
            assert turn["status"] == "completed"
            outputs = {call["tool_use_id"]: call for call in turn["tool_calls"]}
            assert outputs[yes["tool_use_id"]]["output"] == "done"
            assert "not on Sundays" in outputs[no["tool_use_id"]]["output"]["error"]
            assert len(tools.calls) == 2
            await leaves_nothing(after)


async def test_a_webhook_brings_its_output_signed(served_heddle: Served) -> None:
    async with webhooks() as tools:
        await tools.register(served_heddle)
        user, _ = await served_heddle.mint()
        stranger = await served_heddle.stack.enter_async_context(_nobody(served_heddle))
        body = json.dumps({"output": {"late": True}}).encode()
        for form in ("webhook", "x-qlaud"):
            thread = await new_thread(user)
            content = f'use later {{"form":"{form}"}}'
            parked = await post(user, thread, content, tools=["later"])
            path, action = f"{thread}/turns/{parked['turn_id']}", parked["actions"][0]
            results = f"/v1/tools/{tools.ids['later']}/results/{action['tool_use_id']}"
            for wrong in (
                {},
                tools.signed(body, form=form, secret="whsec_d3Jvbmc="),
                tools.signed(b"another body", form=form),
                tools.signed(body, form=form, age_s=400),
            ):
                assert (await stranger.post(results, content=body, headers=wrong)).status_code == 401
            signed = tools.signed(body, form=form)
            for nowhere in (results + "x", results.replace("tool_", "tool_0")):
                assert (await stranger.post(nowhere, content=body, headers=signed)).status_code == 404
            assert (await user.post(results, json={"output": 1})).status_code == 403
            unsaid = json.dumps({"turn_id": parked["turn_id"]}).encode()
            answer = await stranger.post(results, content=unsaid, headers=tools.signed(unsaid, form=form))
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "output")
            assert (await user.get(path)).json()["status"] == "requires_action"
            for _ in range(2):
                answer = await stranger.post(results, content=body, headers=signed)
                assert (answer.status_code, answer.json()["status"]) == (200, "resolved")
            turn = await ended(user, path)
            assert (turn["status"], turn["tool_calls"][0]["output"]) == ("completed", {"late": True})


async def test_an_output_that_comes_before_the_202(sqlite_heddle: Served) -> None:
    async with webhooks() as tools:
        await tools.register(sqlite_heddle)
        admin = await sqlite_heddle.client()

        async def at_once(call: dict[str, Any]) -> None:
            results = f"/v1/tools/{call['tool_id']}/results/{call['tool_use_id']}"
            (await admin.post(results, json={"output": "early"})).raise_for_status()

        tools.before_202 = at_once
        answer = await post(admin, await new_thread(admin), "use later {}", tools=["later"])
        assert (answer["stop_reason"], answer["tool_calls"][0]["output"]) == ("end_turn", "early")
        tools.before_202 = None
        same = [await post(admin, await new_thread(admin), "use later {}", tools=["later"]) for _ in range(2)]
        use_id = same[0]["actions"][0]["tool_use_id"]
        assert use_id == same[1]["actions"][0]["tool_use_id"]
        results = f"/v1/tools/{tools.ids['later']}/results/{use_id}"
        assert (await admin.post(results, json={"output": "x"})).json()["error"][
            "code"
        ] == "ambiguous_tool_use"
        for number, parked in enumerate(same):
            body = {"output": f"number {number}", "turn_id": parked["turn_id"]}
            (await admin.post(results, json=body)).raise_for_status()
            turn = await ended(admin, f"/v1/threads/{parked['thread_id']}/turns/{parked['turn_id']}")
            assert turn["tool_calls"][0]["output"] == f"number {number}"
        called = await admin.post("/v1/tools/call", json={"name": "later", "input": {}})
        assert called.json()["is_error"]
        await leaves_nothing(sqlite_heddle)


def _nobody(heddle: Served) -> Any:
    import httpx

    return httpx.AsyncClient(base_url=heddle.url, timeout=30, verify=False)
