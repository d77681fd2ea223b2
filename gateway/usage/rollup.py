"""Adding settled usage events to the sums, step by step; see ``models`` for what the sums promise.

A step runs in one transaction under the account's wallet lock, takes a bounded number of events of one hour,
and moves ``usage_rolled_until`` past them. When it leaves an hour behind, that hour's totals are added to
those of its day and month.
"""

from typing import Any

from sqlalchemy import BigInteger, Select, String, func, literal, select, union_all, update
from sqlalchemy import true as always
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlmodel import Session

from gateway.usage.dimensions import ALL, COLUMNS, DIMENSIONS, event_sums, in_event
from gateway.usage.models import SUMS
from gateway.usage.periods import HOUR_MS, Grain, floor
from gateway.usage.tables import EVENT, SLICE, TOTAL, WALLET

STEP_EVENTS = 500
"""Events of one step: a settlement that comes meanwhile waits for it, some milliseconds."""


def accounts_to_roll(until_ms: int) -> Select[tuple[str]]:
    """The accounts with events before ``until_ms`` that are in no sum yet."""
    waiting = (
        select(EVENT.c.id)
        .where(
            EVENT.c.account_id == WALLET.c.account_id,
            EVENT.c.created_at >= WALLET.c.usage_rolled_until,
            EVENT.c.created_at < until_ms,
        )
        .exists()
    )
    return select(WALLET.c.account_id).where(WALLET.c.usage_rolled_until < until_ms, waiting)


def roll_step(session: Session, account_id: str, until_ms: int, *, limit: int = STEP_EVENTS) -> bool:
    """Add the account's next events, at most about ``limit`` of them. True if there is more to do."""
    connection = session.connection()
    mine = WALLET.c.account_id == account_id
    rolled_ms = connection.execute(
        select(WALLET.c.usage_rolled_until).where(mine).with_for_update()
    ).scalar_one()
    if rolled_ms >= until_ms:
        return False
    end_ms = _end_of_step(connection, account_id, rolled_ms, until_ms, limit)
    hour = floor("hour", rolled_ms)
    if end_ms <= hour + HOUR_MS:
        add_events(connection, account_id, rolled_ms, end_ms)
    if end_ms >= hour + HOUR_MS:
        for grain in ("day", "month"):
            fold_hour(connection, account_id, hour, into=grain)
    connection.execute(update(WALLET).where(mine).values(usage_rolled_until=end_ms))
    return bool(end_ms < until_ms)


def _end_of_step(connection: Connection, account_id: str, rolled_ms: int, until_ms: int, limit: int) -> int:
    """Until when this step goes: not out of the hour of ``rolled_ms`` if that has events left."""
    times = (
        select(EVENT.c.created_at)
        .where(
            EVENT.c.account_id == account_id,
            EVENT.c.created_at >= rolled_ms,
            EVENT.c.created_at < until_ms,
        )
        .order_by(EVENT.c.created_at)
        .limit(1)
    )
    first = connection.execute(times).scalar()
    if first is None:
        return until_ms
    hour = floor("hour", rolled_ms)
    if floor("hour", first) > hour:
        return floor("hour", first)
    too_many = connection.execute(times.offset(limit)).scalar()
    ends = [until_ms, hour + HOUR_MS]
    if too_many is not None:
        ends.append(max(too_many, rolled_ms + 1))  # one millisecond may hold more than a step
    return min(ends)


def add_events(connection: Connection, account_id: str, from_ms: int, to_ms: int) -> None:
    """Add the events of ``[from_ms, to_ms)``, a part of one hour, to that hour's totals and day's slices."""
    columns = [in_event(dimension).label(COLUMNS[dimension]) for dimension in DIMENSIONS]
    sums = [func.sum(value).label(name) for name, value in event_sums().items()]
    combined = (
        select(*columns, *sums)
        .where(EVENT.c.account_id == account_id, EVENT.c.created_at >= from_ms, EVENT.c.created_at < to_ms)
        .group_by(*columns)
        .cte("combined")
    )
    slices = select(
        literal(account_id, String),
        combined.c.key_id,
        literal(floor("day", from_ms), BigInteger),
        *(combined.c[COLUMNS[dimension]] for dimension in DIMENSIONS[1:]),
        *(combined.c[name] for name in SUMS),
    ).where(always())
    _add(connection, SLICE, slices)
    sums = [func.sum(combined.c[name]).label(name) for name in SUMS]
    split = [
        select(literal(dimension, String).label("dimension"), combined.c[column].label("value"), *sums)
        .where(combined.c.tool != "" if dimension == "tool" else always())
        .group_by(combined.c[column])
        for dimension, column in COLUMNS.items()
    ]
    whole = select(literal(ALL, String), literal("", String), *sums).having(func.count() > 0)
    by_value = union_all(*split, whole).subquery("by_value")
    totals = select(
        literal(account_id, String),
        by_value.c.dimension,
        literal("hour", String),
        literal(floor("hour", from_ms), BigInteger),
        by_value.c.value,
        *(by_value.c[name] for name in SUMS),
    ).where(always())
    _add(connection, TOTAL, totals)


def fold_hour(connection: Connection, account_id: str, hour_ms: int, *, into: Grain) -> None:
    """Add the totals of a complete hour to those of its day or month; once per hour and grain."""
    hour = select(
        TOTAL.c.account_id,
        TOTAL.c.dimension,
        literal(into, String),
        literal(floor(into, hour_ms), BigInteger),
        TOTAL.c.value,
        *(TOTAL.c[name] for name in SUMS),
    ).where(
        TOTAL.c.account_id == account_id,
        TOTAL.c.dimension.in_((*DIMENSIONS, ALL)),  # the index begins with it
        TOTAL.c.grain == "hour",
        TOTAL.c.start_ms == hour_ms,
    )
    _add(connection, TOTAL, hour)


def _add(connection: Connection, table: Any, rows: Select[Any]) -> None:
    """Insert rows of sums, or add them to those that are there."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert: Any = dialect.insert(table).from_select([column.name for column in table.columns], rows)
    added = {name: table.c[name] + insert.excluded[name] for name in SUMS}
    connection.execute(
        insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=added)
    )
