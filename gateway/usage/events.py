"""Single usage events: pages for the API, and all of them in order for exports."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Row, select, tuple_
from sqlmodel import select as select_rows

from gateway.billing.models import UsageEvent
from gateway.usage.filter import UsageFilter
from gateway.usage.tables import EVENT
from kit.db import Database

EXPORT_PAGE = 1_000
"""Events that an export holds in memory at a time."""


class UsageEvents:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(
        self, wanted: UsageFilter, *, limit: int, before: tuple[Any, ...] | None
    ) -> list[UsageEvent]:
        """Up to ``limit + 1`` events, newest first, older than the ``(created_at, id)`` given."""
        query = select_rows(UsageEvent).where(wanted.events())
        if before is not None:
            query = query.where(
                EVENT.c.created_at <= before[0], tuple_(EVENT.c.created_at, EVENT.c.id) < before
            )
        query = query.order_by(EVENT.c.created_at.desc(), EVENT.c.id.desc()).limit(limit + 1)
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def all(self, wanted: UsageFilter) -> AsyncIterator[Sequence[Row[Any]]]:
        """Every event, oldest first, a page at a time."""
        ordered = select(EVENT).where(wanted.events()).order_by(EVENT.c.created_at, EVENT.c.id)
        query = ordered
        while True:
            async with self._db.session() as session:
                connection = await session.connection()
                rows = (await connection.execute(query.limit(EXPORT_PAGE))).all()
            if rows:
                yield rows
            if len(rows) < EXPORT_PAGE:
                return
            last = rows[-1]
            query = ordered.where(
                EVENT.c.created_at >= last.created_at,
                tuple_(EVENT.c.created_at, EVENT.c.id) > (last.created_at, last.id),
            )
