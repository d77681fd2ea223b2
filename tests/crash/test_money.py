"""``kill -9`` while money comes in, while holds are released and while usage is summed up."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.crash.rig import OPERATOR_TOKEN, Rig, rig, until
from tests.crash.test_calls import CHAT
from tests.gateway.billing.stripe import news
from tests.gateway.billing.stripe.stub import KEY, stripe_stub

CREDIT = ("billing.credit.applied", "billing.credit.committed")
STRIPE = ("stripe.event.applied", "stripe.event.committed")
REAPER = ("billing.reap.applied", "billing.reap.committed")
ROLLER = ("usage.roll.applied", "usage.roll.committed")
POINTS = {*CREDIT, *STRIPE, *REAPER, *ROLLER}


async def test_a_credit_that_is_repeated_after_a_crash_is_booked_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        account_id = running.books().account_id
        for number, point in enumerate(CREDIT, 1):
            before = running.books().balance
            running.heddle.arm(point)
            assert not await _grant(running, account_id, number)
            await running.die_at(point)
            assert await _grant(running, account_id, number)
            assert await _grant(running, account_id, number)
            assert running.books().balance == before + 2_000_000_000, point


async def test_an_event_of_stripe_that_is_sent_again_after_a_crash_moves_the_balance_once(
    tmp_path: Path,
) -> None:
    async with stripe_stub() as stub:
        settings: dict[str, Any] = {
            "stripe_secret_key": KEY,
            "stripe_webhook_secret": news.SECRET,
            "stripe": {"api_url": stub.url},
        }
        async with rig(tmp_path, **settings) as running:
            for number, point in enumerate(STRIPE, 1):
                before = running.books().balance
                async with running.heddle.client() as admin:
                    order = await admin.post("/v1/billing/checkout", json={"amount_usd": 25})
                    checkout = order.raise_for_status().json()["id"]
                customer = next(call for path, call in reversed(stub.calls) if path.endswith("sessions"))
                paid = news.session_of(checkout, customer["customer"], 2_500, intent=f"pi_{number}")
                event = news.event("checkout.session.completed", paid)
                running.heddle.arm(point)
                assert await _deliver(running, event) == 0
                await running.die_at(point)
                assert await _deliver(running, event) == 200
                assert await _deliver(running, event) == 200
                assert running.books().balance == before + 25_000_000_000, point


async def test_a_crash_of_the_reaper_leaves_holds_to_the_next(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        for point in REAPER:
            running.heddle.arm("call.upstream.answered")
            await running.call("/v1/messages", CHAT)
            await running.heddle.died()
            assert len(running.books().holds) == 1
            assert not await running.heddle.start(point)
            await running.heddle.died()
            assert len(running.books().holds) == int(point == "billing.reap.applied")
            assert await running.heddle.start()
            assert running.books().holds == []


async def test_a_crash_of_the_roller_counts_no_call_twice_and_none_never(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:

        async def rolled(calls: int) -> bool:
            return running.books().rolled == calls

        assert (await running.call("/v1/messages", CHAT)).complete
        await until(lambda: rolled(1))  # the steps up to the current hour add nothing
        for calls, point in enumerate(ROLLER, 2):
            running.heddle.arm(point)
            assert (await running.call("/v1/messages", CHAT)).complete
            await running.heddle.died()
            assert await rolled(calls - int(point == "usage.roll.applied"))
            assert await running.heddle.start()
            await until(partial(rolled, calls))
            assert (await running.get("/v1/usage"))["request_count"] == calls


async def _grant(running: Rig, account_id: str, number: int) -> bool:
    headers = {"authorization": f"Bearer {OPERATOR_TOKEN}", "idempotency-key": f"grant-{number}"}
    body = {"account_id": account_id, "amount_usd": 2}
    async with httpx.AsyncClient(base_url=running.heddle.url, headers=headers, timeout=30) as operator:
        try:
            return (await operator.post("/v1/billing/credits", json=body)).status_code == 201
        except httpx.TransportError:
            return False


async def _deliver(running: Rig, event: news.Event) -> int:
    """The status of the answer; 0 if there was none."""
    raw, signature = news.signed(event, time.time_ns() // 1_000_000)
    async with httpx.AsyncClient(base_url=running.heddle.url, timeout=30) as stripe:
        try:
            answer = await stripe.post(
                "/v1/billing/stripe-webhook", content=raw, headers={"stripe-signature": signature}
            )
            return answer.status_code
        except httpx.TransportError:
            return 0
