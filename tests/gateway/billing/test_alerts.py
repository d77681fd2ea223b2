"""What an account is told of its money: once, with the numbers, together with what it tells of."""

from typing import Any

import pytest
from sqlmodel import Session, col, select

from gateway.accounts.end_users import EndUsers, EndUserSettings
from gateway.billing.billing import Billing
from gateway.billing.errors import EndUserBudgetReached, KeyCapReached, WalletEmpty
from gateway.billing.operations import Payer
from kit.money import Nanos
from kit.outbox import OutboxEvent
from tests.gateway.billing.conftest import Purse, outcome


async def told(purse: Purse, *, but: str = "wallet.topped_up") -> list[tuple[str, dict[str, Any]]]:
    async with purse.db.session() as session:
        query = select(OutboxEvent).order_by(col(OutboxEvent.created_at), col(OutboxEvent.id))
        events = (await session.exec(query)).all()
    assert all(event.account_id == purse.account_id for event in events)
    return [(event.type, event.data) for event in events if event.type != but]


async def names(purse: Purse) -> list[str]:
    return [name for name, _ in await told(purse)]


async def test_a_cap_is_told_of_at_80_and_at_100_percent_once_each(purse: Purse) -> None:
    payer = await purse.key(cap=10_000, period="day")
    await purse.credit(100_000)
    await purse.spend(payer, 7_999)
    assert await names(purse) == []
    await purse.spend(payer, 1)
    await purse.spend(payer, 1)
    ((name, data),) = await told(purse)
    assert (name, data["percent"], data["key_id"]) == ("key.cap_warning", 80, payer.key_id)
    assert (data["cap_micros"], data["spent_micros"], data["period"]) == (10, 8, "day")
    assert data["resets_at"] > purse.clock.now_ms()
    await purse.spend(payer, 1_999)
    assert await names(purse) == ["key.cap_warning", "key.cap_reached"]
    for _ in range(3):
        with pytest.raises(KeyCapReached):
            await purse.admit(payer, 1)
    assert await names(purse) == ["key.cap_warning", "key.cap_reached"]


async def test_a_cap_that_refuses_a_call_has_been_reached(purse: Purse) -> None:
    """Holds keep the spending itself below the cap, so that it may never get to 100 percent."""
    payer = await purse.key(cap=10_000)
    await purse.credit(100_000)
    for _ in range(3):
        with pytest.raises(KeyCapReached):
            await purse.admit(payer, 10_001)
    assert await names(purse) == ["key.cap_reached"]


async def test_a_new_period_is_told_of_anew(purse: Purse) -> None:
    payer = await purse.key(cap=1_000, period="day")
    await purse.credit(100_000)
    await purse.spend(payer, 1_000)
    purse.clock.advance(seconds=86_400)
    await purse.spend(payer, 900)
    assert await names(purse) == ["key.cap_reached", "key.cap_warning"]


async def test_an_end_users_budget_is_told_of_by_its_own_name(purse: Purse) -> None:
    end_users = EndUsers(purse.db, purse.clock)
    await end_users.put(purse.account_id, "ann", EndUserSettings(1_000, "lifetime", None, {}))
    await purse.credit(100_000)
    key = await purse.key()
    payer = Payer(key.account_id, key.key_id, "ann")
    await purse.spend(payer, 800)
    with pytest.raises(EndUserBudgetReached):
        await purse.admit(payer, 201)
    events = await told(purse)
    assert [name for name, _ in events] == ["end_user.budget_warning", "end_user.budget_reached"]
    assert {data["end_user_id"] for _, data in events} == {"ann"}


async def test_a_wallet_is_told_of_when_it_is_low_and_when_it_is_empty_until_money_comes(
    purse: Purse,
) -> None:
    purse.billing = Billing(purse.db, purse.clock, low_balance=Nanos(5_000))
    payer = await purse.key()
    await purse.credit(10_000)
    await purse.spend(payer, 5_000)
    assert await names(purse) == []
    await purse.spend(payer, 1)
    await purse.spend(payer, 1)
    for _ in range(2):
        with pytest.raises(WalletEmpty):
            await purse.admit(payer, 5_000)
    assert await names(purse) == ["wallet.low", "wallet.empty"]
    await purse.credit(10_000)
    await purse.spend(payer, 10_000)
    assert await names(purse) == ["wallet.low", "wallet.empty", "wallet.low"]
    await purse.billing.close()


async def test_money_that_comes_in_is_told_of_once(purse: Purse) -> None:
    await purse.credit(7_000, "payment-1")
    await purse.credit(7_000, "payment-1")
    ((name, data),) = await told(purse, but="")
    assert name == "wallet.topped_up"
    assert data == {"kind": "topup", "amount_micros": 7, "balance_micros": 7}


async def test_what_is_taken_back_is_not_told_of(purse: Purse) -> None:
    """A settlement whose rider refuses leaves no event behind."""
    payer = await purse.key(cap=1_000)
    await purse.credit(10_000)
    admitted = await purse.admit(payer, 1_000)

    def refuse(_session: Session) -> None:
        raise ValueError("lease lost")

    with pytest.raises(ValueError, match="lease lost"):
        await purse.billing.settle(admitted.request_id, payer, outcome(1_000), rider=refuse)
    assert await names(purse) == []
    await purse.billing.settle(admitted.request_id, payer, outcome(1_000))
    assert await names(purse) == ["key.cap_reached"]
