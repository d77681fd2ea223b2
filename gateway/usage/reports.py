"""Totals of a period, and the same split by key, model, end user and so on.

A report is made of sums where they reach and of single events for the rest (``periods.Cover``), read at one
moment: it equals the sum over the events of its period, always.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, String, cast, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.usage.dimensions import (
    ALL,
    COLUMNS,
    DIMENSIONS,
    Dimension,
    GroupBy,
    day_of,
    event_sums,
    in_event,
    in_slice,
)
from gateway.usage.filter import UsageFilter
from gateway.usage.models import SUMS
from gateway.usage.periods import Cover, Span, cover_with_slices, cover_with_totals
from gateway.usage.tables import EVENT, SLICE, TOTAL, WALLET
from kit.db import Database

DEFAULT_TOP = 1_000


class Sums(NamedTuple):
    """What some calls used together, as in ``models.SUMS``; ``input_tokens`` are those of no cache."""

    cost_nanos: int = 0
    request_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def total_input_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


class Group(NamedTuple):
    """The usage of one value; ``value`` is empty for what has none, and a time in Unix ms for days."""

    value: str
    sums: Sums


@dataclass(frozen=True)
class Groups:
    """The values that cost most, dearest first (days: in their order). ``truncated``: there are others."""

    rows: Sequence[Group]
    truncated: bool = False


@dataclass(frozen=True)
class Report:
    total: Sums
    by: dict[GroupBy, Groups]


class UsageReports:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def report(
        self, wanted: UsageFilter, group_by: Sequence[GroupBy] = (), *, top: int = DEFAULT_TOP
    ) -> Report:
        """The totals of what is wanted, and for each of ``group_by`` at most ``top`` values."""
        dimensions = [name for name in DIMENSIONS if name in group_by]
        async with self._db.snapshot() as session:
            connection = await session.connection()
            rolled = select(WALLET.c.usage_rolled_until).where(WALLET.c.account_id == wanted.account_id)
            rolled_ms = (await connection.execute(rolled)).scalar() or 0
            found = await _values(connection, wanted, dimensions, rolled_ms, top + 1)
            days = await _days(connection, wanted, rolled_ms) if "day" in group_by else []
        total = found[ALL][0].sums if found[ALL] else Sums()
        groups = {name: Groups(found[name][:top], len(found[name]) > top) for name in dimensions}
        by = {name: Groups(days) if name == "day" else groups[name] for name in group_by}
        return Report(total, by)


async def _values(
    connection: AsyncConnection,
    wanted: UsageFilter,
    dimensions: Sequence[Dimension],
    rolled_ms: int,
    top: int,
) -> dict[str, list[Group]]:
    """Per dimension the ``top`` dearest values; under ``ALL`` the total, if there is anything."""
    cover = _cover(wanted, rolled_ms)
    rest = union_all(*_rest(wanted, cover)).cte("rest")
    everything = [rest.c[name] for name in SUMS]
    parts = [select(literal(ALL, String).label("dimension"), literal("", String).label("value"), *everything)]
    for name in dimensions:
        value = rest.c[COLUMNS[name]]
        part = select(literal(name, String), value, *everything)
        parts.append(part.where(value != "") if name == "tool" else part)
    if not wanted.narrowed:
        columns = TOTAL.c.dimension, TOTAL.c.value, *(TOTAL.c[name] for name in SUMS)
        named = [ALL, *dimensions]
        parts += [select(*columns).where(*_totals(wanted, span, named)) for span in cover.spans]
    united = union_all(*parts).subquery("united")
    summed = (
        select(united.c.dimension, united.c.value, *_added(united))
        .group_by(united.c.dimension, united.c.value)
        .subquery("summed")
    )
    place = func.row_number().over(
        partition_by=summed.c.dimension, order_by=(summed.c.cost_nanos.desc(), summed.c.value)
    )
    ranked = select(summed, place.label("place")).subquery("ranked")
    query = select(ranked).where(ranked.c.place <= top).order_by(ranked.c.dimension, ranked.c.place)
    found: dict[str, list[Group]] = {name: [] for name in (*dimensions, ALL)}
    for row in (await connection.execute(query)).all():
        found[row[0]].append(Group(row[1], Sums._make(row[2:8])))
    return found


async def _days(connection: AsyncConnection, wanted: UsageFilter, rolled_ms: int) -> list[Group]:
    """The days that have usage, in their order."""
    cover = _cover(wanted, rolled_ms, months=False)
    rest = union_all(*_rest(wanted, cover)).subquery("rest")
    parts = [select(rest.c.day_ms, *(rest.c[name] for name in SUMS))]
    if not wanted.narrowed:
        columns = day_of(TOTAL.c.start_ms), *(TOTAL.c[name] for name in SUMS)
        parts += [select(*columns).where(*_totals(wanted, span, [ALL])) for span in cover.spans]
    united = union_all(*parts).subquery("united")
    query = select(united.c.day_ms, *_added(united)).group_by(united.c.day_ms).order_by(united.c.day_ms)
    rows = (await connection.execute(query)).all()
    return [Group(str(row[0]), Sums._make(row[1:7])) for row in rows]


def _cover(wanted: UsageFilter, rolled_ms: int, *, months: bool = True) -> Cover:
    if wanted.narrowed:
        return cover_with_slices(wanted.from_ms, wanted.to_ms, rolled_ms)
    return cover_with_totals(wanted.from_ms, wanted.to_ms, rolled_ms, months=months)


def _added(rows: Any) -> list[Any]:
    """The sums over some rows, as integers also where the database adds them up as decimals."""
    return [cast(func.sum(rows.c[name]), BigInteger).label(name) for name in SUMS]


def _totals(wanted: UsageFilter, span: Span, dimensions: Sequence[str]) -> tuple[Any, ...]:
    return (
        TOTAL.c.account_id == wanted.account_id,
        TOTAL.c.dimension.in_(dimensions),
        TOTAL.c.grain == span.grain,
        TOTAL.c.start_ms >= span.from_ms,
        TOTAL.c.start_ms < span.to_ms,
    )


def _rest(wanted: UsageFilter, cover: Cover) -> list[Select[*tuple[Any, ...]]]:
    """What has all dimensions: single events, and for a narrowed report the slices of whole days."""
    of_event = [in_event(name).label(COLUMNS[name]) for name in DIMENSIONS]
    added = [value.label(name) for name, value in event_sums().items()]
    day_ms = day_of(EVENT.c.created_at).label("day_ms")
    ranges = cover.events or ((wanted.from_ms, wanted.from_ms),)  # there is always something to unite
    event: Select[*tuple[Any, ...]] = select(*of_event, day_ms, *added)
    parts = [event.where(wanted.events(*part)) for part in ranges]
    if wanted.narrowed:
        columns = *(in_slice(name) for name in DIMENSIONS), SLICE.c.day_ms, *(SLICE.c[name] for name in SUMS)
        held = [in_slice(name) == value for name, value in wanted.narrowed.items()]
        parts += [
            select(*columns).where(
                SLICE.c.account_id == wanted.account_id,
                SLICE.c.day_ms >= span.from_ms,
                SLICE.c.day_ms < span.to_ms,
                *held,
            )
            for span in cover.spans
        ]
    return parts
