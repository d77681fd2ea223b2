"""An account with a wallet and a key, on each database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from gateway.accounts.keys import ApiKeys, NewKey
from gateway.accounts.models import Account
from gateway.billing.billing import Billing
from gateway.billing.models import Wallet
from gateway.billing.operations import Admitted, Budget, CallOutcome, Payer
from gateway.billing.prices import Cost, CostBound, TokenUsage
from kit.clock import ManualClock
from kit.db import Database
from kit.ids import new_id
from kit.money import Nanos

ONE_TOKEN_USD = Decimal("0.000001")  # 1,000 nanos


def outcome(nanos: int, status: str = "ok") -> CallOutcome:
    return CallOutcome("sim", "sim-small", status, 200, TokenUsage(input_tokens=1), Cost(Nanos(nanos), []))


def bound(input_nanos: int, max_output_tokens: int = 0) -> CostBound:
    return CostBound(Nanos(input_nanos), ONE_TOKEN_USD, max_output_tokens)


@dataclass
class Purse:
    """One account's billing, with shortcuts for the tests."""

    db: Database
    billing: Billing
    keys: ApiKeys
    clock: ManualClock
    account_id: str

    async def key(self, *, cap: int | None = None, period: str = "lifetime") -> Payer:
        cap_nanos = None if cap is None else Nanos(cap)
        spec = NewKey("test", "standard", cap_nanos=cap_nanos, cap_period=period)
        row, _ = await self.keys.mint(self.account_id, spec)
        return Payer(self.account_id, row.id)

    async def credit(self, nanos: int, entry_id: str | None = None) -> bool:
        return await self.billing.credit(
            self.account_id, Nanos(nanos), kind="topup", entry_id=entry_id or new_id("e"), reference="test"
        )

    async def admit(
        self, payer: Payer, input_nanos: int, max_output: int = 0, budget: Budget | None = None
    ) -> Admitted:
        return await self.billing.admit(new_id("r"), payer, bound(input_nanos, max_output), budget=budget)

    async def spend(self, payer: Payer, nanos: int) -> None:
        admitted = await self.admit(payer, nanos)
        await self.billing.settle(admitted.request_id, payer, outcome(nanos))

    async def wallet(self) -> Wallet:
        return await self.billing.wallet(self.account_id)


@pytest.fixture
async def purse(db: Database, clock: ManualClock) -> AsyncIterator[Purse]:
    account = Account(id=new_id("acct"), name="test", created_at=clock.now_ms())
    await db.write(lambda session: session.add(account.model_copy()))
    await db.write(lambda session: session.add(Wallet(account_id=account.id)))
    billing = Billing(db, clock)
    yield Purse(db, billing, ApiKeys(db, clock, key_prefix="ak_live_"), clock, account.id)
    await billing.close()
