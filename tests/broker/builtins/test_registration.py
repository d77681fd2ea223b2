"""Registering built-ins over HTTP: what is configured is checked, and secrets are never read back."""

from typing import Any

import httpx
import pytest
import respx
from sqlmodel import select

from broker.calls import ToolScope, ToolSelection
from broker.schemas import render_tool
from kit.clock import ManualClock
from kit.errors import HeddleError
from tests.broker.rig import ACME, Rig
from tests.serving import Served
from vault.models import Secret

CANARY = "canary-builtin-secret-5d4c3b2a"
SLACK = {
    "name": "notify",
    "provider": "qlaud-builtin/slack-message",
    "config": {"bot_token": CANARY, "channel": "C1"},
}
HTTP_CALL = {
    "name": "orders",
    "provider": "qlaud-builtin/http-call",
    "description": "Looks up an order",
    "input_schema": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    "config": {
        "url": "https://api.acme.example/orders/{{input.id}}",
        "method": "GET",
        "headers": '{"authorization": "Bearer {{secrets.key}}"}',
        "secrets": {"key": CANARY, "other": f"{CANARY}-2"},
    },
}


async def made(admin: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await admin.post("/v1/tools", json=body)
    assert answer.status_code == 201, answer.text
    tool: dict[str, Any] = answer.json()
    return tool


def refusal(response: httpx.Response) -> tuple[int, str | None, str]:
    error = response.json()["error"]
    return response.status_code, error.get("param"), error["message"]


async def test_the_catalogue_is_public(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url) as nobody:
        catalogue = (await nobody.get("/v1/builtins")).raise_for_status().json()
    entries = {entry["provider"]: entry for entry in catalogue["data"]}
    assert len(entries) >= 25
    slack = entries["qlaud-builtin/slack-message"]
    assert set(slack) == {
        "provider",
        "display_name",
        "description",
        "provider_brand",
        "auth_modes",
        "connector",
        "input_schema",
        "config_schema",
    }
    assert (slack["provider_brand"], slack["auth_modes"]) == ("Slack", ["tenant", "per_user"])
    assert slack["config_schema"]["properties"]["bot_token"]["format"] == "password"


async def test_a_built_in_from_creation_to_removal(admin: httpx.AsyncClient, served: Served) -> None:
    tool = await made(admin, SLACK)
    assert tool["kind"] == "builtin" and "secret" not in tool and "webhook_url" not in tool
    assert (tool["provider"], tool["auth_mode"]) == ("qlaud-builtin/slack-message", "tenant")
    assert (tool["config"], tool["secret_config"]) == ({"channel": "C1"}, ["bot_token"])
    assert "text" in tool["input_schema"]["properties"] and tool["description"]
    path = f"/v1/tools/{tool['id']}"
    assert (await admin.get(path)).json() == tool
    assert (await admin.get("/v1/tools")).json()["data"] == [tool]

    change = {"description": "Tell the team", "config": {"channel": "C2"}, "approval": "always"}
    edited = (await admin.patch(path, json=change)).raise_for_status().json()
    assert (edited["description"], edited["approval"]) == ("Tell the team", "always")
    assert (edited["config"], edited["secret_config"]) == ({"channel": "C2"}, ["bot_token"])

    with respx.mock() as vendor:
        vendor.route(host="127.0.0.1").pass_through()
        route = vendor.post("https://slack.com/api/chat.postMessage").mock(
            return_value=httpx.Response(200, json={"ok": True, "channel": "C2", "ts": "1"})
        )
        called = await admin.post("/v1/tools/call", json={"name": "notify", "input": {"text": "Hi"}})
        tried = await admin.post(f"{path}/test", json={"input": {"text": "Hi"}})
    assert called.json()["output"] == tried.json()["output"] == {"channel": "C2", "ts": "1"}
    assert route.calls.last.request.headers["authorization"] == f"Bearer {CANARY}"

    assert refusal(await admin.post(f"{path}/rotate-secret"))[0] == 400
    assert (await admin.delete(path)).json()["deleted"] is True
    assert (await admin.get(path)).status_code == 404
    async with served.app.db.session() as session:
        assert (await session.exec(select(Secret).where(Secret.purpose == "builtin_config"))).all() == []


async def test_secrets_change_one_by_one_and_are_never_read(admin: httpx.AsyncClient) -> None:
    seen: list[str] = []
    tool = await made(admin, HTTP_CALL)
    path = f"/v1/tools/{tool['id']}"
    assert tool["secret_config"] == ["secrets"]
    assert tool["config"]["headers"] == {"authorization": "Bearer {{secrets.key}}"}
    for change in (
        {"config": {"secrets": {"other": None}}},
        {"config": {"method": "POST", "secrets": {"third": f"{CANARY}-3"}}},
    ):
        seen.append((await admin.patch(path, json=change)).raise_for_status().text)
    refused = await admin.patch(path, json={"config": {"secrets": {"key": None}}})
    assert refusal(refused)[1] == "config.headers", "the key that a header needs cannot be taken away"
    wrong = await admin.patch(path, json={"config": {"secrets": {"key": [CANARY]}}})
    assert wrong.status_code == 400
    with respx.mock() as server:
        server.route(host="127.0.0.1").pass_through()
        route = server.post("https://api.acme.example/orders/7").mock(
            side_effect=[
                httpx.Response(200, json={"you said": CANARY}),
                httpx.Response(500, text=f"trace: {CANARY}"),
                httpx.ConnectError(f"cannot reach with {CANARY}"),
                httpx.ConnectError(f"cannot reach with {CANARY}"),
            ]
        )
        for _ in range(3):
            seen.append(
                (await admin.post("/v1/tools/call", json={"name": "orders", "input": {"id": "7"}})).text
            )
        assert route.calls[0].request.headers["authorization"] == f"Bearer {CANARY}"
    seen += [str(tool), refused.text, wrong.text, (await admin.get("/v1/tools")).text]
    assert len(seen) == 9 and "[secret]" in seen[2] and "[secret]" in seen[3]
    assert not [text for text in seen if CANARY in text]


@pytest.mark.parametrize(
    ("change", "status", "param", "told"),
    [
        ({"provider": "qlaud-builtin/none"}, 404, "provider", "GET /v1/builtins"),
        ({"webhook_url": "https://a.example/"}, 400, "webhook_url", "or else a provider"),
        ({"config": {"channel": "C1"}}, 400, "config", "bot_token"),
        ({"config": {"bot_token": CANARY + "\n"}}, 400, "config.bot_token", "match"),
        ({"config": {"bot_token": CANARY, "chanel": "C1"}}, 400, "config", "chanel"),
        ({"config": {"bot_token": CANARY, "channel": 1}}, 400, "config.channel", "string"),
        ({"config": {"bot_token": CANARY, "channel": "C" * 70_000}}, 400, "config", "larger"),
        ({"auth_mode": "both"}, 400, "auth_mode", "per_user"),
        ({"provider": "calculator", "config": None, "auth_mode": "per_user"}, 400, "auth_mode", "no users"),
        ({"provider": "github-search", "auth_mode": "per_user"}, 400, "config", "their own credentials"),
        ({"name": "a b"}, 400, "name", "letters"),
    ],
)
async def test_what_cannot_be_registered_is_told(
    admin: httpx.AsyncClient, change: dict[str, Any], status: int, param: str, told: str
) -> None:
    if change.get("provider") == "github-search":
        change = {**change, "config": {"token": CANARY}}
    answer = await admin.post("/v1/tools", json={**SLACK, **change})
    got, where, message = refusal(answer)
    assert (got, where) == (status, param), message
    assert told in message and CANARY not in answer.text


async def test_what_a_tool_is_does_not_change(admin: httpx.AsyncClient) -> None:
    hook = await made(admin, {"name": "hook", "webhook_url": "https://example.com/"})
    tool = await made(admin, SLACK)
    for made_tool, change, param in (
        (tool, {"provider": "calculator"}, "provider"),
        (tool, {"auth_mode": "per_user"}, "auth_mode"),
        (tool, {"webhook_url": "https://example.com/"}, "webhook_url"),
        (hook, {"config": {"a": 1}}, "config"),
    ):
        answer = await admin.patch(f"/v1/tools/{made_tool['id']}", json=change)
        assert refusal(answer)[:2] == (400, param), answer.text
    answer = await admin.post(
        "/v1/tools", json={"name": "x", "webhook_url": "https://a.example/", "config": {}}
    )
    assert refusal(answer)[:2] == (400, "config")
    assert refusal(await admin.post("/v1/tools", json=SLACK))[0] == 409


async def test_names_that_clients_know_are_taken(admin: httpx.AsyncClient) -> None:
    tool = await made(admin, {**SLACK, "provider": "qlaud-builtin/slack-post-message"})
    assert tool["provider"] == "qlaud-builtin/slack-message"


async def test_a_built_in_is_stored_alike_on_every_database(stored: Rig) -> None:
    config = {"bot_token": CANARY, "channel": "C1"}
    builtins = stored.broker.builtins
    row = await builtins.create(ACME, "slack-message", {"name": "notify"}, config=config)
    row = await builtins.edit(row, {"name": "told"}, {"channel": None})
    (kept,) = await stored.broker.registry.all(ACME)
    assert (kept.name, kept.config, kept.secret_config) == ("told", {}, ["bot_token"])
    assert (kept.webhook_url, kept.secret_id) == (None, None)
    assert (await builtins.store.open(kept)).values == {"bot_token": CANARY}
    await stored.broker.registry.delete(ACME, row.id)
    assert await stored.broker.registry.all(ACME) == []


async def test_of_two_changes_at_once_none_is_lost_unnoticed(rig: Rig, clock: ManualClock) -> None:
    builtins = rig.broker.builtins
    config = {"bot_token": CANARY, "channel": "C1"}
    seen = await builtins.create(ACME, "slack-message", {"name": "notify"}, config=config)
    clock.advance(seconds=1)
    await builtins.edit(seen, {}, {"bot_token": f"{CANARY}-2"})
    with pytest.raises(HeddleError) as refusal:
        await builtins.edit(seen, {}, {"channel": "C2"})
    assert refusal.value.code == "config_changed"
    (kept,) = await rig.broker.registry.all(ACME)
    assert (await builtins.store.open(kept)).values == {"bot_token": f"{CANARY}-2", "channel": "C1"}
    assert kept.config_secret_id == seen.config_secret_id, "calls under way still find it"
    await rig.broker.registry.delete(ACME, kept.id)
    with pytest.raises(HeddleError) as refusal:
        await builtins.edit(kept, {}, {"channel": "C2"})
    assert refusal.value.code == "not_found"


async def test_a_tool_whose_built_in_is_gone_does_not_stop_the_others(rig: Rig) -> None:
    await rig.broker.builtins.create(ACME, "calculator", {"name": "calc"})
    gone = await rig.broker.builtins.create(ACME, "current-time", {"name": "now"})
    await rig.broker.builtins.store.edit(gone, {"provider": "qlaud-builtin/of-another-version"}, None)
    toolset = await rig.broker.toolset(ToolScope(ACME), ToolSelection("tenant"))
    assert set(toolset.tools) == {"calc"} and "now" in toolset.withheld
    shown = [render_tool(row) for row in await rig.broker.registry.all(ACME)]
    assert [tool["input_schema"]["type"] for tool in shown] == ["object", "object"]
