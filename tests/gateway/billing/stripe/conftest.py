"""An account that can pay, before a stub of Stripe, on each database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import Session, col, select

from gateway.accounts.models import Account
from gateway.billing.billing import Billing
from gateway.billing.ledger import verify_account
from gateway.billing.models import LedgerEntry, Wallet
from gateway.billing.stripe.checkout import Order
from gateway.billing.stripe.models import StripeCheckout
from gateway.billing.stripe.settings import StripeSettings
from gateway.billing.stripe.stripe_billing import StripeBilling
from kit.clock import ManualClock
from kit.db import Database
from kit.ids import new_id
from tests.gateway.billing.conftest import Purse
from tests.gateway.billing.stripe import news
from tests.gateway.billing.stripe.stub import KEY, StripeStub, stripe_stub
from tests.gateway.serving import heddle

__all__ = ["heddle"]

USD = 1_000_000_000
SETTINGS: dict[str, Any] = {
    "packs": {"big": {"price_usd": "45", "credit_usd": "50"}},
    "plans": {
        "pro": {"price_usd": "20", "allowance_usd": "22", "stripe_price": "price_pro"},
        "team": {"price_usd": "50", "allowance_usd": "60", "stripe_price": "price_team"},
        "house": {"price_usd": "10", "allowance_usd": "11"},
    },
}


@dataclass
class Till:
    """One installation's payments, and one account's shortcuts."""

    db: Database
    clock: ManualClock
    billing: Billing
    stripe: StripeBilling
    stub: StripeStub
    account_id: str
    customer: str = ""

    async def another_account(self) -> "Till":
        """The same installation, for a new account with a customer."""
        account = Account(id=new_id("acct"), name="test", created_at=self.clock.now_ms())
        await self.db.write(lambda session: session.add(account.model_copy()))
        await self.db.write(lambda session: session.add(Wallet(account_id=account.id)))
        customer = await self.stripe.customers.ensure(account.id)
        return Till(self.db, self.clock, self.billing, self.stripe, self.stub, account.id, customer)

    async def checkout(self, usd: Decimal | int | None = None, **order: Any) -> StripeCheckout:
        amount = None if usd is None else Decimal(usd)
        return await self.stripe.checkouts.begin(self.account_id, Order(amount_usd=amount, **order))

    async def deliver(self, event: news.Event) -> str:
        """What the webhook makes of an event, really signed."""
        return await self.stripe.webhook.receive(*news.signed(event, self.clock.now_ms()))

    async def pay(self, row: StripeCheckout, cents: int, intent: str, **fields: Any) -> str:
        paid = bool(fields.pop("paid", True))
        found = {**news.session_of(row.id, self.customer, cents, intent=intent, paid=paid), **fields}
        return await self.deliver(news.event("checkout.session.completed", found))

    async def wallet(self) -> Wallet:
        return await self.billing.wallet(self.account_id)

    async def balance(self) -> int:
        return (await self.wallet()).balance_nanos

    async def ledger(self) -> list[LedgerEntry]:
        """Oldest first."""
        query = select(LedgerEntry).where(LedgerEntry.account_id == self.account_id)
        async with self.db.session() as session:
            return list(await session.exec(query.order_by(col(LedgerEntry.seq))))

    async def movements(self) -> list[tuple[str, str, int]]:
        """The ledger as (entry id, kind, nanos)."""
        return [(entry.entry_id, entry.kind, entry.amount_nanos) for entry in await self.ledger()]

    async def faults(self) -> list[str]:
        """What ``heddle ledger verify`` would complain of."""

        def verify(session: Session) -> list[str]:
            return [fault.problem for fault in verify_account(session, self.account_id)]

        return await self.db.write(verify)

    @property
    def purse(self) -> Purse:
        from gateway.accounts.keys import ApiKeys

        keys = ApiKeys(self.db, self.clock, key_prefix="ak_live_")
        return Purse(self.db, self.billing, keys, self.clock, self.account_id)


@pytest.fixture
async def stub() -> AsyncIterator[StripeStub]:
    async with stripe_stub() as running:
        yield running


async def open_till(db: Database, clock: ManualClock, stub: StripeStub, **settings: Any) -> Till:
    billing = Billing(db, clock)
    stripe = StripeBilling(
        db,
        clock,
        billing,
        StripeSettings(**{**SETTINGS, "api_url": stub.url, **settings}),
        secret_key=KEY,
        webhook_secrets=(news.SECRET, "whsec_before"),
        public_url="https://heddle.test",
    )
    return await Till(db, clock, billing, stripe, stub, "").another_account()


@pytest.fixture
async def till(db: Database, clock: ManualClock, stub: StripeStub) -> AsyncIterator[Till]:
    till = await open_till(db, clock, stub)
    yield till
    await till.stripe.close()
    await till.billing.close()


@pytest.fixture
async def sqlite_till(sqlite_db: Database, clock: ManualClock, stub: StripeStub) -> AsyncIterator[Till]:
    """For what does not depend on the database."""
    till = await open_till(sqlite_db, clock, stub)
    yield till
    await till.stripe.close()
    await till.billing.close()
