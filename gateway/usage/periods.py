"""Hours, days and months in UTC, as Unix milliseconds, and the pieces that a period is made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Grain = Literal["hour", "day", "month"]


def floor(grain: Grain, at_ms: int) -> int:
    """When the hour, day or month that holds ``at_ms`` began."""
    if grain == "hour":
        return at_ms - at_ms % HOUR_MS
    if grain == "day":
        return at_ms - at_ms % DAY_MS
    first = datetime.fromtimestamp(at_ms // 1000, UTC).replace(day=1, hour=0, minute=0, second=0)
    return int(first.timestamp()) * 1000


def ceil(grain: Grain, at_ms: int) -> int:
    """``at_ms`` itself if an hour, day or month begins then, else when the next one does."""
    start = floor(grain, at_ms)
    if start == at_ms:
        return start
    if grain == "month":
        return floor("month", int(timedelta(days=32).total_seconds()) * 1000 + start)
    return start + (HOUR_MS if grain == "hour" else DAY_MS)


@dataclass(frozen=True)
class Span:
    """The sums of one grain whose start is in ``[from_ms, to_ms)``."""

    grain: Grain
    from_ms: int
    to_ms: int


@dataclass(frozen=True)
class Cover:
    """A period as disjoint pieces: sums where they reach, and single events for the rest."""

    spans: tuple[Span, ...]
    events: tuple[tuple[int, int], ...]


def cover_with_totals(from_ms: int, to_ms: int, rolled_ms: int, *, months: bool = True) -> Cover:
    """``[from_ms, to_ms)`` by hours, days and maybe months, where events before ``rolled_ms`` are summed up.

    The open hour (that of ``rolled_ms``) holds events before ``rolled_ms`` only, and an open day or month
    only the hours before the open one; so they count whole if the period reaches that far.
    """
    open_hour = floor("hour", rolled_ms)
    if to_ms < open_hour:
        return _complete(from_ms, to_ms, months=months)
    pieces = (
        _complete(from_ms, open_hour, months=months, is_open=True) if from_ms < open_hour else Cover((), ())
    )
    if to_ms >= rolled_ms and from_ms <= open_hour:
        hour = Span("hour", open_hour, open_hour + HOUR_MS)
        return Cover((*pieces.spans, hour), _events(*pieces.events, (rolled_ms, to_ms)))
    return Cover(pieces.spans, _events(*pieces.events, (max(from_ms, open_hour), to_ms)))


def cover_with_slices(from_ms: int, to_ms: int, rolled_ms: int) -> Cover:
    """The same by whole days only; today's sums hold all events before ``rolled_ms``."""
    is_open = to_ms >= rolled_ms
    first = ceil("day", from_ms)
    last = ceil("day", rolled_ms) if is_open else floor("day", to_ms)
    if first >= last:
        return Cover((), _events((from_ms, to_ms)))
    rest = rolled_ms if is_open else last
    return Cover((Span("day", first, last),), _events((from_ms, first), (rest, to_ms)))


def _complete(from_ms: int, to_ms: int, *, months: bool, is_open: bool = False) -> Cover:
    """A period of complete hours. ``is_open``: its last day and month hold nothing after it yet."""
    hours = ceil("hour", from_ms), floor("hour", to_ms)
    if hours[0] >= hours[1]:
        return Cover((), _events((from_ms, to_ms)))
    grains: tuple[Grain, ...] = ("hour", "day", "month") if months else ("hour", "day")
    edges = _events((from_ms, hours[0]), (hours[1], to_ms))
    return Cover(tuple(_spans(*hours, grains, is_open=is_open)), edges)


def _spans(from_ms: int, to_ms: int, grains: Sequence[Grain], *, is_open: bool) -> Iterator[Span]:
    """A period that begins and ends with the first grain: its middle by the next, coarser one, if it fits."""
    grain, *coarser = grains
    if coarser:
        first = ceil(coarser[0], from_ms)
        last = ceil(coarser[0], to_ms) if is_open else floor(coarser[0], to_ms)
        if first < last:
            yield from _spans(first, last, coarser, is_open=is_open)
            for edge in _events((from_ms, first), (last, to_ms)):
                yield Span(grain, *edge)
            return
    yield Span(grain, from_ms, to_ms)


def _events(*ranges: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(one for one in ranges if one[0] < one[1])
