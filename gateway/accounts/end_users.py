"""End users of an account: their budgets, what they are billed, and what the developer notes of them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlmodel import Session, col, select

from gateway.accounts.models import EndUser
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound


@dataclass(frozen=True)
class EndUserSettings:
    """What is kept of an end user: amounts in nano-USD, ``markup`` a decimal fraction as text."""

    budget_nanos: int | None
    budget_period: str
    markup: str | None
    metadata: dict[str, Any]


def end_user_row_id(account_id: str, end_user_id: str) -> str:
    """The row's id. Account ids hold no slash, so no two end users share one."""
    return f"{account_id}/{end_user_id}"


class EndUsers:
    """The end users of all accounts that something is kept of. Others need no row: an ``end_user_id`` is
    the developer's own name for somebody."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def put(self, account_id: str, end_user_id: str, settings: EndUserSettings) -> EndUser:
        """Keep exactly this of the end user."""
        now = self._clock.now_ms()
        row_id = end_user_row_id(account_id, end_user_id)

        def write(session: Session) -> EndUser:
            row = session.get(EndUser, row_id) or EndUser(
                id=row_id, account_id=account_id, end_user_id=end_user_id, created_at=now, updated_at=now
            )
            row.budget_nanos = settings.budget_nanos
            row.budget_period = settings.budget_period
            row.markup = settings.markup
            row.meta = settings.metadata
            row.updated_at = now
            session.add(row)
            return row

        return await self._db.write(write)

    async def get(self, account_id: str, end_user_id: str) -> EndUser:
        """Raises NotFound unless something is kept of this end user."""
        async with self._db.session() as session:
            row = await session.get(EndUser, end_user_row_id(account_id, end_user_id))
        if row is None:
            raise NotFound(f"end user {end_user_id} not found")
        return row

    async def resale_markup(self, account_id: str, end_user_id: str) -> Decimal:
        """What the developer adds to the cost when billing this end user; 0 unless it said so."""
        async with self._db.session() as session:
            row = await session.get(EndUser, end_user_row_id(account_id, end_user_id))
        return Decimal(row.markup) if row is not None and row.markup is not None else Decimal(0)

    async def page(self, account_id: str, *, limit: int, after: str | None) -> list[EndUser]:
        """Up to ``limit + 1`` end users, by their names."""
        query = select(EndUser).where(EndUser.account_id == account_id)
        if after is not None:
            query = query.where(col(EndUser.end_user_id) > after)
        async with self._db.session() as session:
            return list((await session.exec(query.order_by(EndUser.end_user_id).limit(limit + 1))).all())
