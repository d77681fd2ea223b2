"""Cursor paging: opaque cursors that carry the sort key of the last row seen."""

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from kit.errors import InvalidRequest
from kit.json import unstorable_place

T = TypeVar("T")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


def encode_cursor(*key: Any) -> str:
    """An opaque, URL-safe cursor for a row with this sort key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> tuple[Any, ...]:
    """The sort key inside a cursor. Raises InvalidRequest if it is not one of ours."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = msgspec.json.decode(base64.urlsafe_b64decode(padded))
    except (ValueError, RecursionError):
        values = None
    if (
        not isinstance(values, list)
        or len(values) != len(types)
        or not all(isinstance(value, kind) for value, kind in zip(values, types, strict=True))
        or not all(_in_range(value) for value in values)
    ):
        raise InvalidRequest("cursor is not one that this list gave out", param="cursor")
    return tuple(values)


def _in_range(value: Any) -> bool:
    """Whether a database can be asked about it: cursors are opaque, but anybody can write one."""
    return abs(value) < 2**63 if isinstance(value, int) else unstorable_place(value) is None


def page(
    rows: Sequence[T], limit: int, render: Callable[[T], Any], sort_key: Callable[[T], tuple[Any, ...]]
) -> dict[str, Any]:
    """The wire form of a list of which ``limit + 1`` rows were fetched."""
    has_more = len(rows) > limit
    shown = rows[:limit]
    return {
        "object": "list",
        "data": [render(row) for row in shown],
        "has_more": has_more,
        "next_cursor": encode_cursor(*sort_key(shown[-1])) if has_more else None,
    }
