"""Approvals that the tool's owner wants: always, or once for each end user and definition."""

from pathlib import Path
from typing import Any

import httpx

from tests.serving import Served, heddle
from tests.threads.waiting.rig import Tools, act, ended, new_thread, post, webhooks


async def set_approval(admin: httpx.AsyncClient, tools: Tools, **changes: Any) -> None:
    (await admin.patch(f"/v1/tools/{tools.ids['note']}", json=changes)).raise_for_status()


async def asks(user: httpx.AsyncClient, thread: str, **fields: Any) -> dict[str, Any] | None:
    """The action that the turn opens before it calls the tool; None if it calls it."""
    answer = await post(user, thread, 'use note {"a":1}', tools=["note"], **fields)
    if answer["stop_reason"] != "requires_action":
        return None
    (action,) = answer["actions"]
    assert (action["kind"], action["tool"]) == ("approval", "note")
    return {**action, "path": f"{thread}/turns/{answer['turn_id']}"}


async def approve(user: httpx.AsyncClient, action: dict[str, Any]) -> None:
    await act(user, action["path"], {"id": action["id"], "type": "approve"})
    assert (await ended(user, action["path"]))["status"] == "completed"


async def test_a_first_use_is_asked_once_for_each_end_user_and_definition(
    database_url: str, tmp_path: Path
) -> None:
    async with webhooks() as tools, heddle(database_url, tmp_path) as served:
        await tools.register(served)
        admin = await served.client()
        await set_approval(admin, tools, approval="first_use")
        ada, _ = await served.mint(end_user_id="ada")
        bob, _ = await served.mint(end_user_id="bob")
        first = await asks(ada, await new_thread(ada))
        assert first is not None and tools.calls == []
        await approve(ada, first)
        assert len(tools.calls) == 1
        assert await asks(ada, await new_thread(ada)) is None  # another thread of hers
        assert await asks(bob, await new_thread(bob)) is not None
        assert await asks(ada, await new_thread(ada), tool_approval="always") is not None
        await set_approval(admin, tools, description="Note it, and tell everybody")
        again = await asks(ada, await new_thread(ada))
        assert again is not None
        await act(ada, again["path"], {"id": again["id"], "type": "deny"})
        assert await asks(ada, await new_thread(ada)) is not None  # a refusal is no approval


async def test_without_an_end_user_a_first_use_is_asked_once_a_thread(sqlite_heddle: Served) -> None:
    async with webhooks() as tools:
        await tools.register(sqlite_heddle)
        admin = await sqlite_heddle.client()
        await set_approval(admin, tools, approval="first_use")
        thread = await new_thread(admin)
        first = await asks(admin, thread)
        assert first is not None
        await approve(admin, first)
        assert await asks(admin, thread) is None
        assert await asks(admin, await new_thread(admin)) is not None


async def test_a_turn_cannot_do_without_an_approval_that_the_tools_owner_wants(
    sqlite_heddle: Served,
) -> None:
    async with webhooks() as tools:
        await tools.register(sqlite_heddle)
        admin = await sqlite_heddle.client()
        await set_approval(admin, tools, approval="always")
        user, _ = await sqlite_heddle.mint(end_user_id="ada")
        for rules in ("never", {"note": "never"}):
            action = await asks(user, await new_thread(user), tool_approval=rules)
            assert action is not None
            await approve(user, action)
