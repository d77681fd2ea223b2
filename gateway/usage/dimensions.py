"""By what usage is split, and how an event's value of it reads in SQL."""

from typing import Any, Literal

from sqlalchemy import ColumnElement, String, func, literal

from gateway.usage.periods import DAY_MS
from gateway.usage.tables import EVENT, SLICE

Dimension = Literal["key", "end_user", "model", "provider", "tool"]
GroupBy = Literal["key", "end_user", "model", "provider", "tool", "day"]

DIMENSIONS: tuple[Dimension, ...] = ("key", "end_user", "model", "provider", "tool")
GROUPS: tuple[GroupBy, ...] = (*DIMENSIONS, "day")
ALL = "all"
"""The dimension with a single value: everything."""

COLUMNS: dict[Dimension, str] = {
    "key": "key_id",
    "end_user": "end_user_id",
    "model": "model",
    "provider": "provider",
    "tool": "tool",
}


def in_event(dimension: Dimension) -> ColumnElement[str]:
    """An event's value; empty where it has none."""
    column: Any = EVENT.c[COLUMNS[dimension]]
    return func.coalesce(column, literal("", String)) if column.nullable else column


def in_slice(dimension: Dimension) -> ColumnElement[str]:
    column: ColumnElement[str] = SLICE.c[COLUMNS[dimension]]
    return column


def day_of(time_column: Any) -> ColumnElement[Any]:
    """The start of the UTC day that holds a column's time."""
    start: ColumnElement[Any] = time_column - time_column % DAY_MS
    return start


def event_sums() -> dict[str, ColumnElement[Any]]:
    """What one event adds to each column of sums."""
    columns: dict[str, ColumnElement[Any]] = {
        "cost_nanos": EVENT.c.cost_nanos,
        "request_count": literal(1),
        "input_tokens": EVENT.c.input_tokens,
        "output_tokens": EVENT.c.output_tokens,
        "cache_read_tokens": EVENT.c.cache_read_tokens,
        "cache_write_tokens": EVENT.c.cache_write_tokens,
    }
    return columns
