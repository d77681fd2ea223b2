"""The books of a database, read from outside and held against each other."""

from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from gateway.accounts.models import ApiKey, EndUser
from gateway.billing.ledger import verify_account
from gateway.billing.models import Hold, LedgerEntry, Spend, UsageEvent, Wallet
from gateway.usage.tables import TOTAL
from kit.db import parse_database_url, sync_engine

PAID = ("debit", "tool")
"""Kinds of entries that calls make."""


@dataclass(frozen=True)
class Books:
    """``events``: usage events by request id, ``rolled`` of which are summed up. ``holds``: the calls that
    have not ended."""

    account_id: str
    balance: int
    holds: list[str]
    events: dict[str, UsageEvent]
    credits: dict[str, int]
    rolled: int

    @property
    def spent(self) -> int:
        return sum(event.cost_nanos for event in self.events.values())


def read_books(database_url: str) -> Books:
    """The books of the only account, after everything in them has been recomputed. Raises AssertionError
    where they contradict each other."""
    engine = sync_engine(parse_database_url(database_url), writing=False)
    try:
        with Session(engine) as session:
            return _checked(session)
    finally:
        engine.dispose()


def _checked(session: Session) -> Books:
    wallet = session.exec(select(Wallet)).one()
    assert list(verify_account(session, wallet.account_id)) == []
    entries = session.exec(select(LedgerEntry)).all()
    events = session.exec(select(UsageEvent)).all()
    holds = session.exec(select(Hold)).all()
    assert wallet.balance_nanos == sum(entry.amount_nanos for entry in entries) >= 0
    assert wallet.held_nanos == sum(hold.amount_nanos for hold in holds) <= wallet.balance_nanos
    debits = [(entry.entry_id, -entry.amount_nanos) for entry in entries if entry.kind in PAID]
    assert sorted(debits) == sorted((event.id, event.cost_nanos) for event in events if event.cost_nanos)
    assert not {event.id for event in events} & {hold.id for hold in holds}
    _check_spending(session)
    rolled = _check_sums(session, wallet)
    return Books(
        wallet.account_id,
        wallet.balance_nanos,
        [hold.id for hold in holds],
        {event.id: event for event in events},
        {entry.entry_id: entry.amount_nanos for entry in entries if entry.kind not in PAID},
        rolled,
    )


def _check_spending(session: Session) -> None:
    """What caps and budgets go by is what happened. (All periods here are for a lifetime.)"""
    for spend in session.exec(select(Spend)).all():
        end_user = session.get(EndUser, spend.subject)
        if end_user is not None:
            limit, name = end_user.budget_nanos, end_user.end_user_id
            spent = select(func.sum(UsageEvent.cost_nanos)).where(UsageEvent.end_user_id == name)
            held = select(func.sum(Hold.amount_nanos)).where(Hold.end_user_id == name)
        else:
            limit = session.exec(select(ApiKey).where(ApiKey.id == spend.subject)).one().cap_nanos
            spent = select(func.sum(UsageEvent.cost_nanos)).where(UsageEvent.key_id == spend.subject)
            held = select(func.sum(Hold.amount_nanos)).where(Hold.key_id == spend.subject)
        assert spend.spent_nanos == int(session.exec(spent).one() or 0)
        assert spend.held_nanos == int(session.exec(held).one() or 0)
        assert limit is None or spend.spent_nanos + spend.held_nanos <= limit


def _check_sums(session: Session, wallet: Wallet) -> int:
    """The sums of usage are those of the events that they say they hold; returns how many."""
    events = select(func.count(), func.coalesce(func.sum(UsageEvent.cost_nanos), 0)).where(
        col(UsageEvent.created_at) < wallet.usage_rolled_until
    )
    sums = select(
        func.coalesce(func.sum(TOTAL.c.request_count), 0), func.coalesce(func.sum(TOTAL.c.cost_nanos), 0)
    ).where(TOTAL.c.dimension == "all", TOTAL.c.grain == "hour")
    connection = session.connection()
    summed, happened = connection.execute(sums).one(), session.exec(events).one()
    assert [int(found) for found in summed] == [int(found) for found in happened]
    return int(happened[0])
