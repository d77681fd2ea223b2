"""Rate limits per key: never more than allowed, on every database, and told with the numbers."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.billing.billing import Billing
from gateway.billing.errors import KeyConcurrencyReached, KeyRateReached
from gateway.billing.operations import Admitted, Payer
from gateway.billing.prices import TokenUsage
from gateway.billing.rates import Bucket
from kit.ids import new_id
from tests.gateway.billing.conftest import Purse, bound, outcome


async def limited(purse: Purse, **limits: Any) -> Payer:
    payer = await purse.key()
    await purse.keys.edit(purse.account_id, payer.key_id, limits)
    await purse.credit(10**9)
    return payer


async def call(purse: Purse, payer: Payer, tokens: int = 0) -> Admitted:
    return await purse.billing.admit(new_id("r"), payer, bound(1), tokens=tokens)


@given(
    st.integers(1, 1_000),
    st.lists(st.tuples(st.integers(0, 120_000), st.integers(1, 50)), max_size=200),
)
def test_no_span_of_time_gets_more_than_its_share(limit: int, calls: list[tuple[int, int]]) -> None:
    """For every pair of moments: what was taken between them is at most the limit and what flowed in."""
    bucket, now, taken = Bucket.full(limit), 0, [(0, 0)]
    for pause_ms, count in calls:
        bucket.refill(pause_ms)
        now += pause_ms
        if count <= limit and bucket.wait_ms(count) == 0:
            bucket.take(count)
            taken.append((now, count))
    for start in range(len(taken)):
        total = 0
        for moment, count in taken[start:]:
            total += count
            assert total * 60_000 <= limit * 60_000 + limit * (moment - taken[start][0])


@given(st.integers(1, 10_000), st.integers(0, 20_000), st.integers(1, 20_000))
def test_after_the_wait_that_was_named_the_call_is_let_through(limit: int, used: int, wanted: int) -> None:
    bucket = Bucket.full(limit)
    bucket.take(used)
    wait_ms = bucket.wait_ms(wanted)
    if wait_ms:
        bucket.refill(wait_ms - 1)
        assert bucket.wait_ms(wanted) == 1
        bucket.refill(1)
    assert bucket.wait_ms(wanted) == 0


async def test_requests_per_minute_are_counted_and_flow_back(purse: Purse) -> None:
    payer = await limited(purse, rpm=3)
    left = [(await call(purse, payer)).rates for _ in range(3)]
    assert [told.requests.left for told in left if told and told.requests] == [2, 1, 0]
    with pytest.raises(KeyRateReached) as refused:
        await call(purse, payer)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_requests")
    assert refused.value.headers["retry-after"] == "20"
    assert refused.value.headers["x-ratelimit-limit-requests"] == "3"
    purse.clock.advance(seconds=19.999)
    with pytest.raises(KeyRateReached):
        await call(purse, payer)
    purse.clock.advance(seconds=0.001)
    await call(purse, payer)


async def test_a_refused_call_takes_nothing(purse: Purse) -> None:
    payer = await limited(purse, rpm=10, tpm=100)
    await call(purse, payer, tokens=100)
    for _ in range(20):
        with pytest.raises(KeyRateReached, match="tokens"):
            await call(purse, payer, tokens=1)
    purse.clock.advance(seconds=60)
    admitted = await call(purse, payer)
    assert admitted.rates is not None
    assert admitted.rates.requests is not None
    assert admitted.rates.requests.left == 9


async def test_tokens_are_settled_at_what_was_really_used(purse: Purse) -> None:
    payer = await limited(purse, tpm=1_000)
    admitted = await call(purse, payer, tokens=400)
    used = outcome(1)
    real = type(used)("sim", "m", "ok", 200, TokenUsage(input_tokens=100, output_tokens=50), used.cost)
    await purse.billing.settle(admitted.request_id, payer, real)
    told = (await call(purse, payer, tokens=0)).rates
    assert told is not None
    assert told.tokens is not None
    assert told.tokens.left == 850


async def test_an_answer_that_was_longer_than_the_limit_is_paid_back_by_waiting(purse: Purse) -> None:
    payer = await limited(purse, tpm=600)
    admitted = await call(purse, payer, tokens=10)
    used = outcome(1)
    real = type(used)("sim", "m", "ok", 200, TokenUsage(input_tokens=10, output_tokens=1_190), used.cost)
    await purse.billing.settle(admitted.request_id, payer, real)
    with pytest.raises(KeyRateReached) as refused:
        await call(purse, payer, tokens=10)
    assert refused.value.headers["retry-after"] == "61"


async def test_a_request_larger_than_a_minutes_tokens_needs_all_of_them(purse: Purse) -> None:
    payer = await limited(purse, tpm=100)
    await call(purse, payer, tokens=5_000)
    with pytest.raises(KeyRateReached):
        await call(purse, payer, tokens=1)


async def test_calls_at_once_are_counted_by_their_holds(purse: Purse) -> None:
    payer = await limited(purse, max_concurrent=2)
    first = await call(purse, payer)
    await call(purse, payer)
    with pytest.raises(KeyConcurrencyReached) as refused:
        await call(purse, payer)
    assert (refused.value.code, refused.value.details["running"]) == ("rate_limit_concurrency", 2)
    await purse.billing.settle(first.request_id, payer, outcome(1))
    await call(purse, payer)


async def test_two_processes_share_one_limit(purse: Purse) -> None:
    """However the calls are spread, and however many arrive in one commit."""
    payer = await limited(purse, rpm=40, max_concurrent=30)
    other = Billing(purse.db, purse.clock)

    async def one(number: int) -> str:
        billing = (purse.billing, other)[number % 2]
        try:
            await billing.admit(f"r{number}", payer, bound(1))
        except KeyConcurrencyReached:
            return "busy"
        except KeyRateReached:
            return "rate"
        return "ok"

    outcomes = await asyncio.gather(*(one(number) for number in range(100)))
    assert outcomes.count("ok") == 30
    for number, result in enumerate(outcomes):
        if result == "ok":
            await other.settle(f"r{number}", payer, outcome(1))
    more = await asyncio.gather(*(one(number) for number in range(100, 160)))
    assert (more.count("ok"), more.count("rate")) == (10, 50)
    await other.close()


async def test_lowering_a_limit_takes_effect_at_once(purse: Purse) -> None:
    payer = await limited(purse, rpm=100)
    await call(purse, payer)
    await purse.keys.edit(purse.account_id, payer.key_id, {"rpm": 2})
    await call(purse, payer)
    await call(purse, payer)
    with pytest.raises(KeyRateReached):
        await call(purse, payer)
