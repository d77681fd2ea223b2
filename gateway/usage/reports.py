"""Totals of a period, and the same split by key, model, end user and so on.

A report is made of sums where they reach and of single events for the rest (``periods.Cover``), read at one
moment: it equals the sum over the events of its period, always.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, String, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.usage.dimensions import (
    ALL,
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


@dataclass(frozen=True)
class Sums:
    """What was used by some calls together; ``input_tokens`` counts those of caches, too."""

    cost_nanos: int
    request_count: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


@dataclass(frozen=True)
class Group:
    """The usage of one value; ``value`` is empty for what has none, and a time in Unix ms for days."""

    value: str
    sums: Sums


@dataclass(frozen=True)
class Groups:
    """The values that cost most, dearest first (days: in their order). ``truncated``: there are others."""

    rows: Sequence[Group]
    truncated: bool


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
        async with self._db.snapshot() as session:
            connection = await session.connection()
            rolled = select(WALLET.c.usage_rolled_until).where(WALLET.c.account_id == wanted.account_id)
            rolled_ms = (await connection.execute(rolled)).scalar() or 0
            whole = _grouped(_pieces(wanted, None, rolled_ms))
            (total,) = (await connection.execute(whole)).all() or [("", *[0] * len(SUMS))]
            by = {name: await _groups(connection, wanted, name, rolled_ms, top) for name in group_by}
        return Report(_sums(total[1:]), by)


async def _groups(
    connection: AsyncConnection, wanted: UsageFilter, by: GroupBy, rolled_ms: int, top: int
) -> Groups:
    pieces = _grouped(_pieces(wanted, by, rolled_ms))
    if by == "tool":
        pieces = pieces.where(pieces.selected_columns.value != "")
    if by == "day":
        found = (await connection.execute(pieces)).all()
        days = sorted((Group(str(row[0]), _sums(row[1:])) for row in found), key=lambda day: int(day.value))
        return Groups(days, truncated=False)
    columns = pieces.selected_columns
    dearest = pieces.order_by(columns.cost_nanos.desc(), columns.value).limit(top + 1)
    rows = (await connection.execute(dearest)).all()
    return Groups([Group(row[0], _sums(row[1:])) for row in rows[:top]], truncated=len(rows) > top)


def _grouped(pieces: Sequence[Select[Any]]) -> Select[Any]:
    """Value by value, the sum over all pieces of the period."""
    united = union_all(*pieces).subquery("pieces")
    return select(united.c.value, *(func.sum(united.c[name]).label(name) for name in SUMS)).group_by(
        united.c.value
    )


def _pieces(wanted: UsageFilter, by: GroupBy | None, rolled_ms: int) -> list[Select[Any]]:
    """Queries for the parts of the period, each with a ``value`` and its sums, disjoint and complete."""
    period = wanted.from_ms, wanted.to_ms, rolled_ms
    if wanted.narrowed:
        cover = cover_with_slices(*period)
        spans = [_of_slices(wanted, by, span) for span in cover.spans]
    else:
        cover = cover_with_totals(*period, months=by != "day")
        spans = [_of_totals(wanted, by, span) for span in cover.spans]
    return spans + _of_events(wanted, by, cover)


def _of_totals(wanted: UsageFilter, by: GroupBy | None, span: Span) -> Select[Any]:
    dimension = ALL if by is None or by == "day" else by
    value = day_of(TOTAL.c.start_ms) if by == "day" else TOTAL.c.value
    return select(value.label("value"), *(TOTAL.c[name] for name in SUMS)).where(
        TOTAL.c.account_id == wanted.account_id,
        TOTAL.c.grain == span.grain,
        TOTAL.c.start_ms >= span.from_ms,
        TOTAL.c.start_ms < span.to_ms,
        TOTAL.c.dimension == dimension,
    )


def _of_slices(wanted: UsageFilter, by: GroupBy | None, span: Span) -> Select[Any]:
    value = _value(by, SLICE.c.day_ms, in_slice)
    return select(value.label("value"), *(SLICE.c[name] for name in SUMS)).where(
        SLICE.c.account_id == wanted.account_id,
        SLICE.c.day_ms >= span.from_ms,
        SLICE.c.day_ms < span.to_ms,
        *(in_slice(dimension) == held for dimension, held in wanted.narrowed.items()),
    )


def _of_events(wanted: UsageFilter, by: GroupBy | None, cover: Cover) -> list[Select[Any]]:
    value = _value(by, day_of(EVENT.c.created_at), in_event)
    columns = [added.label(name) for name, added in event_sums().items()]
    ranges = cover.events or ((wanted.from_ms, wanted.from_ms),)  # there is always something to unite
    return [select(value.label("value"), *columns).where(wanted.events(*part)) for part in ranges]


def _value(by: GroupBy | None, day: ColumnElement[Any], column_of: Any) -> ColumnElement[Any]:
    if by is None:
        return literal("", String)
    if by == "day":
        return day
    dimension: Dimension = by
    column: ColumnElement[Any] = column_of(dimension)
    return column


def _sums(row: Sequence[Any]) -> Sums:
    cost, requests, input_tokens, output_tokens, cache_read, cache_write = (int(value) for value in row)
    return Sums(
        cost_nanos=cost,
        request_count=requests,
        input_tokens=input_tokens + cache_read + cache_write,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )
