"""What is added to providers' prices: the installation's markup, or an account's own."""

from decimal import Decimal

from sqlmodel import Session

from gateway.accounts.models import Account
from kit.clock import Clock
from kit.db import Database

LIFETIME_MS = 1_000
"""A markup that was changed is used everywhere after this long."""
MAX_KEPT = 10_000


class Markups:
    """Markups by account, as fractions (``0.07``)."""

    def __init__(self, db: Database, clock: Clock, *, usual: Decimal) -> None:
        self._db = db
        self._clock = clock
        self._usual = usual
        self._kept: dict[str, tuple[int, Decimal]] = {}

    async def of(self, account_id: str) -> Decimal:
        now = self._clock.now_ms()
        kept = self._kept.get(account_id)
        if kept is not None and now - kept[0] < LIFETIME_MS:
            return kept[1]
        async with self._db.session() as session:
            account = await session.get(Account, account_id)
        own = account.markup if account is not None else None
        markup = self._usual if own is None else Decimal(own)
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[account_id] = (now, markup)
        return markup


async def set_markup(db: Database, account_id: str, markup: Decimal | None) -> str:
    """Give an account a markup of its own, or (None) the installation's; returns the account's id."""

    def write(session: Session) -> str:
        account = session.get_one(Account, account_id)
        account.markup = None if markup is None else str(markup)
        session.add(account)
        return account.id

    return await db.write(write)
