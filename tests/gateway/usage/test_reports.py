"""A report equals the sum over the events, whatever part of them is summed up already."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, col, delete, select

from gateway.billing.models import UsageEvent
from gateway.billing.prices import TokenUsage
from gateway.usage.dimensions import GROUPS, GroupBy
from gateway.usage.filter import UsageFilter
from gateway.usage.models import UsageSlice, UsageTotal
from gateway.usage.periods import DAY_MS, HOUR_MS
from gateway.usage.reports import UsageReports
from gateway.usage.roller import LAG_MS
from gateway.usage.rollup import roll_step
from tests.gateway.usage.conftest import Call, Meter, Meters, summed, summed_by, wanted_events

LAST_HOURS_OF_2026 = 1_798_761_600_000 - 50 * HOUR_MS

calls = st.builds(
    Call,
    key=st.sampled_from(["key_a", "key_b"]),
    end_user=st.sampled_from([None, "user_1", "user_2"]),
    model=st.sampled_from(["sim-small", "sim-large"]),
    provider=st.sampled_from(["sim", "other"]),
    tool=st.sampled_from([None, None, "search"]),
    cost=st.integers(0, 10**9),
    usage=st.builds(
        TokenUsage,
        input_tokens=st.integers(0, 10**6),
        output_tokens=st.integers(0, 10**6),
        cache_read_tokens=st.integers(0, 10**6),
        cache_write_tokens=st.integers(0, 10**6),
    ),
)


@dataclass(frozen=True)
class Settle:
    process: int
    calls: list[Call]


@dataclass(frozen=True)
class Advance:
    process: int
    ms: int


@dataclass(frozen=True)
class Roll:
    process: int


steps = st.one_of(
    st.builds(Settle, st.integers(0, 1), st.lists(calls, min_size=1, max_size=3)),
    st.builds(
        Advance,
        st.integers(0, 1),
        st.sampled_from([1, 999, LAG_MS, 60_000, HOUR_MS, 5 * HOUR_MS, DAY_MS]) | st.integers(0, 2 * DAY_MS),
    ),
    st.builds(Roll, st.integers(0, 1)),
)
narrowings = st.fixed_dictionaries(
    {},
    optional={
        "key_id": st.sampled_from(["key_a", "key_c"]),
        "end_user_id": st.sampled_from(["user_1"]),
        "model": st.sampled_from(["sim-large"]),
        "provider": st.sampled_from(["other"]),
    },
)


def instants(data: st.DataObject, meter: Meter, events: list[UsageEvent], rolled_ms: int) -> int:
    """A time at, just before or just after something that matters, or anywhere."""
    first, last = LAST_HOURS_OF_2026, max(clock.now_ms() for clock in meter.clocks)
    marks = [rolled_ms, *(event.created_at for event in events)]
    marks += [mark // unit * unit for mark in marks for unit in (HOUR_MS, DAY_MS)]
    near = st.builds(lambda mark, off: max(0, mark + off), st.sampled_from(marks), st.integers(-1, 1))
    return data.draw(near | st.integers(first, last + DAY_MS))


async def check(meter: Meter, events: list[UsageEvent], wanted: UsageFilter) -> None:
    report = await meter.report(wanted, *GROUPS)
    chosen = wanted_events(events, wanted)
    assert report.total == summed(chosen)
    for by in GROUPS:
        rows = report.by[by].rows
        assert {row.value: row.sums for row in rows} == summed_by(chosen, by)
        assert len({row.value for row in rows}) == len(rows)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=st.lists(steps, min_size=1, max_size=25), data=st.data())
async def test_a_report_is_the_sum_over_the_events(
    meters: Meters, story: list[Settle | Advance | Roll], data: st.DataObject
) -> None:
    meter = await meters.new(LAST_HOURS_OF_2026, processes=2)
    for step in story:
        if isinstance(step, Settle):
            await asyncio.gather(*(meter.settle(call, process=step.process) for call in step.calls))
        elif isinstance(step, Advance):
            meter.clocks[step.process].advance(seconds=step.ms / 1000)
        else:
            await meter.roll(process=step.process)
    events = await meter.events()
    rolled_ms = await meter.rolled_until()
    for _ in range(4):
        ends = sorted(instants(data, meter, events, rolled_ms) for _ in range(2))
        await check(meter, events, meter.filter(*ends))
        narrowed: dict[str, Any] = data.draw(narrowings)
        await check(meter, events, replace(meter.filter(*ends), **narrowed))
    await check(meter, events, meter.filter())


async def test_reports_stay_exact_while_calls_are_settled_and_summed_up(meters: Meters) -> None:
    meter = await meters.new(LAST_HOURS_OF_2026, processes=2)
    settled = 0
    finished = asyncio.Event()

    async def settle(process: int) -> None:
        nonlocal settled
        for number in range(60):
            await meter.settle(Call(cost=1, end_user=f"user_{number % 7}"), process=process)
            settled += 1
            meter.clocks[process].advance(seconds=60 * (number % 5))

    async def roll() -> None:
        while not finished.is_set():
            await asyncio.gather(meter.roll(process=0), meter.roll(process=1))

    async def read() -> None:
        while not finished.is_set():
            before = settled
            report = await meter.report(meter.filter(), "end_user")
            assert before <= report.total.cost_nanos <= settled + 2
            assert report.total.request_count == report.total.cost_nanos
            by_end_user = report.by["end_user"].rows
            assert sum(row.sums.cost_nanos for row in by_end_user) == report.total.cost_nanos

    async def all_settled() -> None:
        await asyncio.gather(settle(0), settle(1))
        finished.set()

    await asyncio.gather(all_settled(), roll(), read(), read())
    await meter.roll_everything()
    await check(meter, await meter.events(), meter.filter())
    assert settled == 120


async def test_a_report_is_read_from_the_sums_where_they_reach(meter: Meter) -> None:
    await meter.settle(Call(cost=7))
    await meter.roll_everything()

    def forget(session: Session) -> None:
        session.exec(delete(UsageEvent))

    await meter.db.write(forget)
    report = await meter.report(meter.filter(), "key", "day")
    assert report.total.cost_nanos == 7
    narrowed = await meter.report(meter.filter(key_id="key_a"), "model")
    assert [row.value for row in narrowed.by["model"].rows] == ["sim-small"]


async def test_a_late_settlement_is_dated_to_where_the_sums_end(meters: Meters) -> None:
    meter = await meters.new(processes=2)
    meter.clocks[0].advance(seconds=60)
    await meter.settle(Call(), process=0)
    await meter.roll_everything()
    rolled_ms = await meter.rolled_until()
    await meter.settle(Call(), process=1)  # its clock is a minute behind
    assert sorted(event.created_at for event in await meter.events())[-1] == rolled_ms
    await check(meter, await meter.events(), meter.filter())


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_steps_of_any_size_count_each_event_once(meter: Meter, limit: int) -> None:
    clock = meter.clocks[0]
    for seconds in (0, 0, 0, 0, 0.001, 10, HOUR_MS / 1000, 0, 40 * 24 * 3600, 1):
        clock.advance(seconds=seconds)
        await meter.settle(Call())
    until_ms = clock.now_ms() + 1

    def step(session: Session) -> bool:
        return roll_step(session, meter.account_id, until_ms, limit=limit)

    taken = 1
    while await meter.db.write(step):
        taken += 1
    assert taken >= 10 / (4 * limit)
    assert await meter.rolled_until() == until_ms
    async with meter.db.session() as session:
        totals = (await session.exec(select(UsageTotal).where(col(UsageTotal.dimension) == "all"))).all()
        slices = (await session.exec(select(UsageSlice))).all()
    counts = [(total.grain, total.request_count) for total in totals]
    assert sum(count for grain, count in counts if grain == "hour") == 10
    assert sum(row.request_count for row in slices) == 10
    await check(meter, await meter.events(), meter.filter())


async def test_only_the_dearest_are_listed_and_the_rest_is_said_to_be_missing(meter: Meter) -> None:
    for number in range(5):
        await meter.settle(Call(key=f"key_{number}", cost=number))
    by: list[GroupBy] = ["key", "model"]
    report = await UsageReports(meter.db).report(meter.filter(), by, top=2)
    assert [row.value for row in report.by["key"].rows] == ["key_4", "key_3"]
    assert (report.by["key"].truncated, report.by["model"].truncated) == (True, False)
    assert report.total.cost_nanos == 10
