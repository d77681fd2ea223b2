"""How many calls an endpoint gets at once, and what becomes of calls to one that keeps failing."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from broker.calls import ToolScope
from broker.endpoints import CircuitOpen, EndpointBusy, EndpointLimits, Endpoints
from broker.webhook import WebhookDispatcher
from kit.breaker import FAILURES_TO_OPEN, FIRST_PAUSE_S
from kit.clock import ManualClock
from tests.broker.rig import LOOPBACK
from tests.broker.webhook_peers import CALL, SCOPE, answering, called, endpoint, target

URL = "https://example.com/hook"


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.05


async def fails(endpoints: Endpoints, account: str = "acc_1", url: str = URL, *, times: int) -> None:
    for _ in range(times):
        async with endpoints.turn(account, url, until=soon()) as report:
            report.made(works=False)


async def test_more_calls_than_an_endpoint_takes_wait_for_their_turn(clock: ManualClock) -> None:
    under_way, most, go_on = 0, 0, asyncio.Event()

    async def busy(_: Request, __: int) -> Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await go_on.wait()
        under_way -= 1
        return JSONResponse({"output": "fine"})

    dispatcher = WebhookDispatcher(LOOPBACK, clock, EndpointLimits(per_endpoint=2))
    async with endpoint(busy) as (receiver, url):
        calls = [asyncio.create_task(called(dispatcher, target(url), SCOPE, CALL)) for _ in range(6)]
        while len(receiver.received) < 2:
            await asyncio.sleep(0.01)
        hasty = await called(dispatcher, target(url, timeout_ms=100), SCOPE, CALL)
        assert hasty.is_error and hasty.record["status"] == "busy" and "attempts" not in hasty.record
        assert "was not called" in hasty.output["error"] and len(receiver.received) == 2
        go_on.set()
        results = await asyncio.gather(*calls)
    await dispatcher.close()
    assert [result.output for result in results] == ["fine"] * 6 and most == 2
    assert any(result.record.get("waited_ms", 0) >= 100 for result in results)


async def test_an_endpoint_that_keeps_failing_is_left_alone_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    seconds = Seconds()
    dispatcher = WebhookDispatcher(LOOPBACK, clock)
    dispatcher._endpoints = Endpoints(now_s=seconds)
    monkeypatch.setattr("broker.webhook.MAX_ATTEMPTS", 1)
    down = [Response("oops", 500)] * (FAILURES_TO_OPEN + 1)
    async with endpoint(answering(*down, {"output": "well again"})) as (receiver, url):
        for _ in range(FAILURES_TO_OPEN):
            await called(dispatcher, target(url), SCOPE, CALL)
        left_alone = await called(dispatcher, target(url), SCOPE, CALL)
        assert left_alone.is_error and left_alone.record["status"] == "circuit_open"
        assert left_alone.record["retry_in_s"] == FIRST_PAUSE_S
        assert "not called for another 5 seconds" in left_alone.output["error"]
        assert len(receiver.received) == FAILURES_TO_OPEN

        others = await called(dispatcher, target(url), ToolScope("acc_2"), CALL)
        assert others.record["status"] == 500  # it was called: the first account's circuit is its own

        seconds.now += FIRST_PAUSE_S
        trial = await called(dispatcher, target(url), SCOPE, CALL)
        assert trial.output == "well again"
        assert (await called(dispatcher, target(url), SCOPE, CALL)).output == "well again"
    await dispatcher.close()


@pytest.mark.parametrize(
    "refusal", [Response(status_code=404), Response(status_code=429), Response(b"<html>")]
)
async def test_an_endpoint_that_refuses_calls_is_not_down(
    monkeypatch: pytest.MonkeyPatch, dispatcher: WebhookDispatcher, refusal: Response
) -> None:
    monkeypatch.setattr("broker.webhook.MAX_ATTEMPTS", 1)
    async with endpoint(answering(refusal)) as (receiver, url):
        for _ in range(FAILURES_TO_OPEN + 2):
            await called(dispatcher, target(url), SCOPE, CALL)
        assert len(receiver.received) == FAILURES_TO_OPEN + 2


async def test_only_one_trial_is_made_at_a_time() -> None:
    seconds = Seconds()
    endpoints = Endpoints(now_s=seconds)
    await fails(endpoints, times=FAILURES_TO_OPEN)
    seconds.now += FIRST_PAUSE_S
    async with endpoints.turn("acc_1", URL, until=soon()):
        with pytest.raises(CircuitOpen):
            async with endpoints.turn("acc_1", URL, until=soon()):
                raise AssertionError("a second trial")
    async with endpoints.turn("acc_1", URL, until=soon()) as report:  # the first ended without a word
        report.made(works=True)
    async with endpoints.turn("acc_1", URL, until=soon()):
        pass


async def test_one_accounts_calls_do_not_take_anothers_turn() -> None:
    endpoints = Endpoints(EndpointLimits(per_endpoint=2, per_account=1))
    async with endpoints.turn("acc_1", URL, until=soon()):
        with pytest.raises(EndpointBusy):
            async with endpoints.turn("acc_1", "https://example.com/other", until=soon()):
                raise AssertionError("one too many for the account")
        async with endpoints.turn("acc_2", URL, until=soon()):
            pass


async def test_endpoints_without_trouble_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.endpoints.MAX_KEPT", 3)
    endpoints = Endpoints()
    async with endpoints.turn("acc_1", URL, until=soon()) as report:
        report.made(works=True)
    assert len(endpoints) == 0
    for number in range(10):
        await fails(endpoints, url=f"https://example.com/{number}", times=1)
    assert len(endpoints) == 3
