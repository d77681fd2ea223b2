"""Which customer at Stripe stands for an account."""

from sqlmodel import Session, select

from gateway.billing.stripe.api import StripeApi
from gateway.billing.stripe.models import StripeCustomer
from kit.clock import Clock
from kit.db import Database, one_at_a_time


def account_of(session: Session, customer_id: str | None) -> str | None:
    """The account that a customer stands for; None for a customer of somebody else's."""
    query = select(StripeCustomer.account_id).where(StripeCustomer.customer_id == customer_id)
    return session.exec(query).first()


class Customers:
    """Invariant: an account has one customer, made before the first payment is begun."""

    def __init__(self, db: Database, clock: Clock, api: StripeApi) -> None:
        self._db = db
        self._clock = clock
        self._api = api

    async def find(self, account_id: str) -> str | None:
        async with self._db.session() as session:
            row = await session.get(StripeCustomer, account_id)
        return row.customer_id if row is not None else None

    async def ensure(self, account_id: str) -> str:
        """The account's customer, made now if there is none. Raises StripeUnreachable, StripeRefused."""
        known = await self.find(account_id)
        if known is not None:
            return known
        made = await self._api.create_customer(account_id)
        now = self._clock.now_ms()

        def write(session: Session) -> str:
            one_at_a_time(session.connection(), f"stripe customer of {account_id}")
            row = session.get(StripeCustomer, account_id)
            if row is None:
                row = StripeCustomer(account_id=account_id, customer_id=made, created_at=now)
                session.add(row)
            return row.customer_id

        return await self._db.write(write)
