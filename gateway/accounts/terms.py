"""What holds for an account's calls: its mode, and what is added to providers' prices."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import bindparam
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from gateway.accounts.models import Account
from kit.caller import Mode
from kit.clock import Clock
from kit.db import Database

LIFETIME_MS = 1_000
"""A markup that was changed is used everywhere after this long."""
MAX_KEPT = 10_000

_live = aliased(Account)
_WITH_LIVES_MARKUP = (
    select(Account, _live.markup)
    .outerjoin(_live, col(_live.id) == col(Account.test_of))
    .where(Account.id == bindparam("account_id"))
)


@dataclass(frozen=True, slots=True)
class Terms:
    """``markup`` is a fraction (``0.07``)."""

    markup: Decimal
    mode: Mode = "live"


class AccountTerms:
    """Terms by account. A test account has its live account's markup: tests cost what they would cost.

    When kept terms are too old, the first call to notice reads them again and the others wait for that one
    read: every call in flight reading for itself would stop the event loop once a second.
    """

    def __init__(self, db: Database, clock: Clock, *, usual_markup: Decimal) -> None:
        self._db = db
        self._clock = clock
        self._usual_markup = usual_markup
        self._kept: dict[str, tuple[int, Terms]] = {}
        self._being_read: dict[str, asyncio.Task[Terms]] = {}

    async def of(self, account_id: str) -> Terms:
        now = self._clock.now_ms()
        kept = self._kept.get(account_id)
        if kept is not None and now - kept[0] < LIFETIME_MS:
            return kept[1]
        reading = self._being_read.get(account_id)
        if reading is None:
            reading = asyncio.create_task(self._read_again(account_id, now))
            self._being_read[account_id] = reading
        # Shielded: a caller that gives up takes nothing from the others that wait.
        return await asyncio.shield(reading)

    async def _read_again(self, account_id: str, now: int) -> Terms:
        try:
            terms = await self._read(account_id)
        finally:
            del self._being_read[account_id]
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[account_id] = (now, terms)
        return terms

    async def _read(self, account_id: str) -> Terms:
        async with self._db.session() as session:
            found = (await session.exec(_WITH_LIVES_MARKUP, params={"account_id": account_id})).first()
        if found is None:
            return Terms(self._usual_markup)
        account, lives_markup = found
        own = account.markup if account.mode == "live" else lives_markup
        return Terms(self._usual_markup if own is None else Decimal(own), account.mode)


async def set_markup(db: Database, account_id: str, markup: Decimal | None) -> str:
    """Give an account a markup of its own, or (None) the installation's; returns the account's id."""

    def write(session: Session) -> str:
        account = session.get_one(Account, account_id)
        account.markup = None if markup is None else str(markup)
        session.add(account)
        return account.id

    return await db.write(write)
