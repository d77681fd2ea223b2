"""What holds for every built-in: repeats, time, credentials of end users, and arguments."""

import asyncio
from typing import Any

import httpx
import pytest
import respx

from broker.calls import NeedsConnection, ToolResult, ToolScope, ToolSelection
from kit.clock import ManualClock
from kit.errors import InvalidRequest
from tests.broker.rig import ACME, Rig

ADA = ToolScope(ACME, "ada")
GITHUB = "https://api.github.com/search/issues"
SLACK = "https://slack.com/api/chat.postMessage"
RESEND = "https://api.resend.com/emails"
FOUND = httpx.Response(200, json={"total_count": 0, "items": []})
MAIL = {"to": ["ada@example.com"], "subject": "s", "text": "t"}


async def slack(rig: Rig, **columns: Any) -> None:
    config = {"bot_token": "xoxb-secret-0123", "channel": "C1"}
    await rig.broker.builtins.create(ACME, "slack-message", {"name": "tool", **columns}, config=config)


async def resend(rig: Rig) -> None:
    config = {"api_key": "re_secret_0123", "from": "a@acme.example"}
    await rig.broker.builtins.create(ACME, "send-email", {"name": "tool"}, config=config)


async def search(rig: Rig, auth_mode: str = "tenant") -> None:
    config = {"token": "ghp_secret0123"} if auth_mode == "tenant" else {}
    await rig.broker.builtins.create(
        ACME, "github-search", {"name": "tool"}, auth_mode=auth_mode, config=config
    )


async def paste(rig: Rig, key: str) -> None:
    """Ada connects her account by pasting a key into the page of her link."""
    link = await rig.sessions.create(ACME, "github", "ada")
    session, target = await rig.sessions.look_up(link.connect_url.rpartition("/")[2])
    await rig.sessions.paste(session, target, {"personal_access_token": key})


async def test_a_write_is_not_sent_again_after_it_may_have_taken_effect(rig: Rig) -> None:
    await slack(rig)
    with respx.mock() as vendor:
        route = vendor.post(SLACK).mock(side_effect=httpx.ReadError)
        lost = await rig.call("tool", {"text": "Hi"})
        route.mock(return_value=httpx.Response(503))
        failed = await rig.call("tool", {"text": "Hi"})
        assert route.call_count == 2
    for result in (lost, failed):
        assert "Whether it took effect is not known." in result.output["error"]


async def test_a_write_that_certainly_did_nothing_is_sent_again(rig: Rig) -> None:
    await slack(rig)
    with respx.mock() as vendor:
        answer = httpx.Response(200, json={"ok": True, "channel": "C1", "ts": "1"})
        vendor.post(SLACK).mock(side_effect=[httpx.ConnectError, answer])
        result = await rig.call("tool", {"text": "Hi"})
    assert not result.is_error and result.record["attempts"] == 2


async def test_a_write_with_an_idempotency_key_is_sent_again_under_the_same_key(rig: Rig) -> None:
    await resend(rig)
    with respx.mock() as vendor:
        route = vendor.post(RESEND).mock(
            side_effect=[httpx.ReadTimeout, httpx.Response(200, json={"id": "1"})] * 2
        )
        for _ in range(2):
            assert not (await rig.call("tool", MAIL)).is_error
    keys = [call.request.headers["idempotency-key"] for call in route.calls]
    assert keys[0] == keys[1] and keys[2] == keys[3] and keys[0] != keys[2]


async def test_a_read_is_repeated_once(rig: Rig) -> None:
    await search(rig)
    with respx.mock() as vendor:
        route = vendor.get(GITHUB).mock(side_effect=[httpx.Response(503), FOUND])
        assert not (await rig.call("tool", {"query": "x"})).is_error
        route.mock(side_effect=[httpx.Response(503), httpx.Response(502), FOUND])
        failed = await rig.call("tool", {"query": "x"})
    assert failed.is_error and failed.record["status"] == 502


async def test_a_spent_rate_limit_is_told_with_the_time_of_its_renewal(rig: Rig) -> None:
    await search(rig)
    with respx.mock() as vendor:
        vendor.get(GITHUB).mock(
            return_value=httpx.Response(403, json={"message": "secondary"}, headers={"retry-after": "60"})
        )
        result = await rig.call("tool", {"query": "x"})
    assert "takes no more calls" in result.output["error"] and "60 seconds" in result.output["error"]


async def test_a_vendor_that_takes_too_long(rig: Rig) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    await slack(rig, timeout_ms=100)
    with respx.mock(assert_all_called=False) as vendor:
        vendor.post(SLACK).mock(side_effect=never)
        result = await rig.call("tool", {"text": "Hi"})
    assert result.is_error and "0.1 seconds" in result.output["error"]
    assert "not known" in result.output["error"] and result.record["status"] == "timeout"


async def test_an_end_user_connects_and_acts_with_their_own_key(rig: Rig) -> None:
    await search(rig, "per_user")
    asked = await rig.ask("tool", {"query": "x"}, ADA)
    assert isinstance(asked, NeedsConnection) and asked.connector == "github"
    await paste(rig, "ghp_adas_own_key")
    with respx.mock() as vendor:
        route = vendor.get(GITHUB).mock(return_value=FOUND)
        assert not (await rig.call("tool", {"query": "x"}, ADA)).is_error
    assert route.calls.last.request.headers["authorization"] == "Bearer ghp_adas_own_key"


async def test_a_key_that_the_vendor_no_longer_takes_asks_to_connect_again(rig: Rig) -> None:
    await search(rig, "per_user")
    await paste(rig, "ghp_adas_own_key")
    with respx.mock() as vendor:
        vendor.get(GITHUB).mock(return_value=httpx.Response(401, json={"message": "Bad credentials"}))
        first = await rig.ask("tool", {"query": "x"}, ADA)
        second = await rig.ask("tool", {"query": "x"}, ADA)
        assert vendor.calls.call_count == 1
    assert isinstance(first, NeedsConnection) and isinstance(second, NeedsConnection)
    await paste(rig, "ghp_adas_next_key")
    with respx.mock() as vendor:
        vendor.get(GITHUB).mock(return_value=FOUND)
        assert isinstance(await rig.ask("tool", {"query": "x"}, ADA), ToolResult)


async def test_an_end_users_key_that_comes_back_is_taken_out(rig: Rig) -> None:
    await search(rig, "per_user")
    await paste(rig, "ghp_adas_own_key")
    echo = {"total_count": 1, "items": [{"title": "Bearer ghp_adas_own_key"}]}
    with respx.mock() as vendor:
        vendor.get(GITHUB).mock(return_value=httpx.Response(200, json=echo))
        result = await rig.call("tool", {"query": "x"}, ADA)
    assert "ghp_adas" not in repr(result) and result.output["total"] == 1


async def test_without_an_end_user_a_per_user_tool_is_refused_by_name_and_else_left_out(rig: Rig) -> None:
    await search(rig, "per_user")
    with pytest.raises(InvalidRequest) as refusal:
        await rig.broker.toolset(ToolScope(ACME), ToolSelection("explicit", ("tool",)))
    assert refusal.value.code == "end_user_required"
    assert (await rig.broker.toolset(ToolScope(ACME), ToolSelection("tenant"))).tools == {}
    assert list((await rig.broker.toolset(ADA, ToolSelection("tenant"))).tools) == ["tool"]


async def test_a_developers_looser_schema_does_not_loosen_the_tools_own(rig: Rig) -> None:
    await slack(rig, input_schema={"type": "object"})
    with respx.mock() as vendor:
        result = await rig.call("tool", {"text": "Hi", "blocks": []})
        assert not vendor.calls
    assert result.is_error and "blocks" in result.output["error"]


async def test_recipients_that_are_not_allowed(rig: Rig) -> None:
    config = {
        "api_key": "re_secret_0123",
        "from": "a@acme.example",
        "allowed_recipients": ["@acme.example", "ada@example.com"],
    }
    await rig.broker.builtins.create(ACME, "send-email", {"name": "tool"}, config=config)
    with respx.mock() as vendor:
        vendor.post(RESEND).mock(return_value=httpx.Response(200, json={"id": "1"}))
        fine = await rig.call("tool", {**MAIL, "cc": ["Grace@Acme.example"]})
        refused = await rig.call("tool", {**MAIL, "bcc": ["eve@evil-acme.example"]})
        assert vendor.calls.call_count == 1
    assert not fine.is_error
    assert refused.is_error and "eve@evil-acme.example is not among" in refused.output["error"]


async def test_what_time_it_is(rig: Rig, clock: ManualClock) -> None:
    await rig.broker.builtins.create(ACME, "current-time", {"name": "now"})
    here = await rig.call("now", {"time_zone": "Asia/Kathmandu"})
    assert here.output == {
        "time": "2027-01-15T13:45:00+05:45",
        "time_zone": "Asia/Kathmandu",
        "weekday": "Friday",
        "unix_ms": clock.now_ms(),
    }
    for nowhere in ("Mars/Olympus", "../../etc/passwd", "\u0000"):
        assert (await rig.call("now", {"time_zone": nowhere})).is_error


async def test_a_calculation(rig: Rig) -> None:
    await rig.broker.builtins.create(ACME, "calculator", {"name": "calc"})
    assert (await rig.call("calc", {"expression": "0.1 + 0.2"})).output == {"result": "0.3"}
    wrong = await rig.call("calc", {"expression": "1/0"})
    assert wrong.is_error and "divides by zero" in wrong.output["error"]
