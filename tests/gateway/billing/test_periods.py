"""Calendar periods: in UTC, to the millisecond, whatever the machine's own time zone."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.billing.periods import period_label, resets_at_ms, start_ms

moments = st.integers(0, 4_102_444_800_000)  # until 2100
calendar = st.sampled_from(["day", "week", "month"])


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        ("day", "2026-02-28T23:59:59.999", "2026-02-28", "2026-03-01"),
        ("day", "2028-02-29T00:00:00", "2028-02-29", "2028-03-01"),
        ("month", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
        ("month", "2100-02-28T12:00:00", "2100-02-01", "2100-03-01"),
        ("month", "2026-01-31T23:59:59.999", "2026-01-01", "2026-02-01"),
        ("month", "2026-12-31T23:59:59.999", "2026-12-01", "2027-01-01"),
        ("week", "2026-01-01T00:00:00", "2025-12-29", "2026-01-05"),
        ("week", "2028-02-29T00:00:00", "2028-02-28", "2028-03-06"),
        ("day", "2026-03-29T01:30:00", "2026-03-29", "2026-03-30"),
        ("day", "2026-11-01T06:00:00", "2026-11-01", "2026-11-02"),
    ],
)
def test_months_ends_leap_days_and_changes_of_clocks(period: str, now: str, start: str, end: str) -> None:
    assert start_ms(period, ms(now)) == ms(start)
    assert resets_at_ms(period, ms(now)) == ms(end)


@given(calendar, moments)
def test_a_period_holds_its_moments_and_ends_where_the_next_begins(period: str, now: int) -> None:
    start, end = start_ms(period, now), resets_at_ms(period, now)
    assert end is not None
    assert start <= now < end
    assert (start_ms(period, end), start_ms(period, end - 1)) == (end, start)
    assert period_label(period, start) == period_label(period, end - 1) != period_label(period, end)


@given(moments)
def test_a_lifetime_never_ends(now: int) -> None:
    assert (start_ms("lifetime", now), resets_at_ms("lifetime", now)) == (0, None)
    assert period_label("lifetime", now) == "lifetime"


@pytest.fixture(params=["America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_the_machines_time_zone_does_not_matter() -> None:
    assert start_ms("day", ms("2026-03-08T07:30:00")) == ms("2026-03-08")
    assert resets_at_ms("month", ms("2026-10-31T23:30:00")) == ms("2026-11-01")
