"""What a payer could spend now, read for many at once: for turns that wait for money."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from gateway.accounts.end_users import end_user_row_id
from gateway.accounts.models import ApiKey, EndUser
from gateway.billing.models import Spend, Wallet
from gateway.billing.periods import period_label, start_ms
from gateway.billing.rows import Capped
from gateway.billing.tables import HOLD, USAGE
from kit.clock import Clock
from kit.db import Database
from threads.model_client import Spender


class FreeFunds:
    """Implements ``threads.model_client.Funds``. Admission decides; this only tells whether to ask it."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def free(self, spenders: Collection[Spender]) -> Mapping[Spender, int]:
        async with self._db.snapshot() as session:
            wallets = await _wallets(session, {spender.account_id for spender in spenders})
            left = await self._left(session, await _limits(session, spenders))
        return {spender: _least(spender, wallets, left) for spender in spenders}

    async def _left(self, session: AsyncSession, limits: list[Capped]) -> dict[str, int]:
        """What the limits leave, by subject: of their current period."""
        now = self._clock.now_ms()
        query = select(Spend).where(col(Spend.subject).in_([limit.subject for limit in limits]))
        spends = {row.subject: row for row in (await session.exec(query)).all()}
        left: dict[str, int] = {}
        for limit in limits:
            assert limit.cap is not None
            row = spends.get(limit.subject)
            if row is not None and row.period == period_label(limit.period, now):
                left[limit.subject] = limit.cap - row.spent_nanos - row.held_nanos
            else:
                used = await _sum(
                    session, USAGE.c.cost_nanos, limit, USAGE.c.created_at >= start_ms(limit.period, now)
                )
                left[limit.subject] = limit.cap - used - await _sum(session, HOLD.c.amount_nanos, limit)
        return left


def _least(spender: Spender, wallets: Mapping[str, int], left: Mapping[str, int]) -> int:
    limits = [left[subject] for subject in _subjects(spender) if subject in left]
    return min([wallets.get(spender.account_id, 0), *limits])


def _subjects(spender: Spender) -> list[str]:
    if spender.end_user_id is None:
        return [spender.key_id]
    return [spender.key_id, end_user_row_id(spender.account_id, spender.end_user_id)]


async def _wallets(session: AsyncSession, account_ids: set[str]) -> dict[str, int]:
    query = select(Wallet).where(col(Wallet.account_id).in_(account_ids))
    return {
        wallet.account_id: wallet.balance_nanos - wallet.held_nanos
        for wallet in (await session.exec(query)).all()
    }


async def _limits(session: AsyncSession, spenders: Collection[Spender]) -> list[Capped]:
    """The caps of these keys and the budgets of these end users. A key that is gone has none: whoever goes on
    with it hears so."""
    subjects = {subject for spender in spenders for subject in _subjects(spender)}
    keys = select(ApiKey).where(
        col(ApiKey.id).in_(subjects), col(ApiKey.cap_nanos).is_not(None), col(ApiKey.revoked_at).is_(None)
    )
    end_users = select(EndUser).where(col(EndUser.id).in_(subjects), col(EndUser.budget_nanos).is_not(None))
    return [
        *(
            Capped(key.id, key.account_id, key.cap_nanos, key.cap_period)
            for key in (await session.exec(keys)).all()
        ),
        *(
            Capped(one.id, one.account_id, one.budget_nanos, one.budget_period, one.end_user_id)
            for one in (await session.exec(end_users)).all()
        ),
    ]


async def _sum(session: AsyncSession, column: Any, limit: Capped, *conditions: Any) -> int:
    query = select(func.coalesce(func.sum(column), 0)).where(limit.condition(column.table), *conditions)
    return int((await session.exec(query)).one())
