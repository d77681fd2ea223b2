"""Clients are told when their tools have changed."""

from pathlib import Path
from typing import Any

import mcp_types

from tests.gateway.mcp_server.rig import LEGACY, client, listening, mall, register, until


class Told:
    """What a client hears without having asked."""

    def __init__(self) -> None:
        self.changes = 0

    async def __call__(self, message: Any) -> None:
        notification = getattr(message, "root", message)
        if isinstance(notification, mcp_types.ToolListChangedNotification):
            self.changes += 1


async def test_a_client_of_a_handshake_revision_is_told(tmp_path: Path) -> None:
    async with mall(f"sqlite:///{tmp_path / 'heddle.db'}", tmp_path) as place:
        told = Told()
        async with client(place, mode=LEGACY, message_handler=told) as connected:
            watch = place.shop.heddle.app.mcp.watch
            await until(lambda: len(watch) == 1)
            await listening(place)
            tool_id = await register(place, "hook_one")
            await until(lambda: told.changes == 1)
            assert "hook_one" in {tool.name for tool in (await connected.list_tools()).tools}
            (await place.admin.delete(f"/v1/tools/{tool_id}")).raise_for_status()
            await until(lambda: told.changes == 2)
            servers = (await place.admin.get("/v1/mcp-servers")).json()["data"]
            box = next(server for server in servers if server["name"] == "toolbox")
            (await place.admin.post(f"/v1/mcp-servers/{box['id']}/refresh", json={})).raise_for_status()
            await register(place, "hook_two")
            await until(lambda: told.changes == 3)  # the refresh changed nothing, and was not told


async def test_who_connects_the_first_account_is_told_of_the_tools_behind_it(tmp_path: Path) -> None:
    async with mall(f"sqlite:///{tmp_path / 'heddle.db'}", tmp_path) as place:
        told, key = Told(), await place.key(end_user_id="ada")
        place.shop.heddle.app.mcp.watch._lookout._every_s = 600  # nobody looks unless told to
        async with client(place, key, LEGACY, message_handler=told) as connected:
            await listening(place)
            body = {"connector": "notes", "end_user_id": "ada"}
            link = (await place.admin.post("/v1/connections/sessions", json=body)).json()
            await place.connect(link["connect_url"])
            await until(lambda: told.changes == 1)
            assert "notes__add_note" in {tool.name for tool in (await connected.list_tools()).tools}
