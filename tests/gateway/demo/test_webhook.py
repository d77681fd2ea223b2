"""The demo's endpoint answers Heddle's own dispatches, and nobody else's."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from broker.calls import ToolCall, ToolResult, ToolScope
from broker.signing import new_secret, signed_headers
from broker.webhook import WebhookDispatcher, WebhookTarget
from gateway.demo.webhook import MAX_REMEMBERED, TOLERANCE_S, WeatherHook, build_weather_hook, get_weather
from gateway.loopback import served
from kit.clock import ManualClock
from kit.outbound import OutboundPolicy, parse_networks

SECRET = new_secret()
BODY = msgspec.json.encode({"tool_use_id": "toolu_1", "input": {"city": "Oslo"}, "end_user_id": "ada"})


@pytest.fixture
def hook(clock: ManualClock) -> WeatherHook:
    return WeatherHook(SECRET, clock)


@pytest.fixture
async def client(hook: WeatherHook) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=build_weather_hook(hook))
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
        yield client


def signed(clock: ManualClock, secret: str = SECRET, webhook_id: str = "msg_1") -> dict[str, str]:
    return signed_headers(secret, message_id=webhook_id, timestamp_s=clock.now_ms() // 1000, body=BODY)


async def test_the_brokers_dispatch_is_answered_and_a_repeated_one_not_done_twice(
    hook: WeatherHook, clock: ManualClock
) -> None:
    dispatcher = WebhookDispatcher(OutboundPolicy(parse_networks("loopback")), clock)
    async with served(lambda _url: build_weather_hook(hook)) as base_url:
        target = WebhookTarget("tool_1", "get_weather", f"{base_url}/weather", 5000, True, SECRET)
        scope = ToolScope(account_id="acc", end_user_id="ada", thread_id="th", turn_id="turn", metadata={})
        call = ToolCall("toolu_1", "get_weather", {"city": "Oslo"}, clock.now_ms())
        results = [await dispatcher.call(target, scope, call) for _ in range(2)]
        await dispatcher.close()
    for result in results:
        assert isinstance(result, ToolResult)
        assert not result.is_error
        assert result.output == {"city": "Oslo", "celsius": 4, "sky": "snow"}
    [seen] = hook.seen
    assert (seen["input"], seen["end_user_id"], seen["thread_id"]) == ({"city": "Oslo"}, "ada", "th")
    assert SECRET not in repr(hook)


@pytest.mark.parametrize("header", ["webhook-signature", "x-qlaud-signature"])
async def test_both_signatures_must_match(
    client: httpx.AsyncClient, hook: WeatherHook, clock: ManualClock, header: str
) -> None:
    forged = signed(clock, new_secret())[header]
    answer = await client.post("/weather", content=BODY, headers={**signed(clock), header: forged})
    assert (answer.status_code, answer.json()) == (401, {"error": f"{header} does not match"})
    assert hook.seen == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"webhook-id": "msg_2"}, "webhook-signature does not match"),
        ({"webhook-timestamp": "soon"}, "webhook-timestamp is not a Unix time"),
        ({"x-qlaud-timestamp": "9" * 30}, "x-qlaud-timestamp is not a Unix time"),
        ({"x-qlaud-timestamp": "1"}, "x-qlaud-timestamp is more than 300 seconds away"),
        ({"webhook-signature": "v1"}, "webhook-signature does not match"),
        ({"x-qlaud-signature": ""}, "headers are missing: x-qlaud-signature"),
    ],
)
async def test_changed_headers_are_refused(
    client: httpx.AsyncClient, clock: ManualClock, change: dict[str, str], error: str
) -> None:
    answer = await client.post("/weather", content=BODY, headers={**signed(clock), **change})
    assert answer.status_code == 401
    assert error in answer.json()["error"]


async def test_a_changed_body_is_refused(client: httpx.AsyncClient, clock: ManualClock) -> None:
    answer = await client.post("/weather", content=BODY + b" ", headers=signed(clock))
    assert answer.status_code == 401


async def test_an_old_dispatch_is_refused(client: httpx.AsyncClient, clock: ManualClock) -> None:
    headers = signed(clock)
    clock.advance(seconds=TOLERANCE_S)
    assert (await client.post("/weather", content=BODY, headers=headers)).status_code == 200
    clock.advance(seconds=1)
    assert (await client.post("/weather", content=BODY, headers=headers)).status_code == 401


async def test_one_of_several_signatures_is_enough(client: httpx.AsyncClient, clock: ManualClock) -> None:
    headers = signed(clock)
    headers["webhook-signature"] = "v1,AAAA v2,BBBB " + headers["webhook-signature"]
    assert (await client.post("/weather", content=BODY, headers=headers)).status_code == 200


async def test_an_endpoint_without_a_secret_believes_nobody(
    client: httpx.AsyncClient, hook: WeatherHook, clock: ManualClock
) -> None:
    hook.secret = ""
    answer = await client.post("/weather", content=BODY, headers=signed(clock, secret=""))
    assert (answer.status_code, answer.json()["error"]) == (401, "this endpoint has no secret yet")


async def test_what_is_remembered_is_bounded(
    client: httpx.AsyncClient, hook: WeatherHook, clock: ManualClock
) -> None:
    for number in range(MAX_REMEMBERED + 5):
        headers = signed(clock, webhook_id=f"msg_{number}")
        assert (await client.post("/weather", content=BODY, headers=headers)).status_code == 200
    assert len(hook.seen) == MAX_REMEMBERED


@pytest.mark.parametrize("arguments", [None, [], {}, {"city": 5}, {"city": "  "}])
def test_what_the_tool_cannot_do_is_an_error_for_the_model(arguments: Any) -> None:
    assert get_weather(arguments)["is_error"] is True
