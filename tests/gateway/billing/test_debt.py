"""Taking money back: never below zero, never what calls hold, and paid before anything is spent."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.billing.batch import move
from gateway.billing.debt import repay, take_back
from gateway.billing.errors import WalletEmpty
from gateway.billing.holds import reap_holds
from gateway.billing.ledger import WalletState
from gateway.billing.operations import Debit
from kit.errors import InvalidRequest
from kit.ids import new_id
from kit.money import Nanos
from tests.gateway.billing.conftest import Purse
from tests.gateway.billing.test_billing import faults


def debit(purse: Purse, nanos: int, entry_id: str | None = None) -> Debit:
    return Debit(purse.account_id, entry_id or new_id("e"), "refund", Nanos(nanos), "test", 0)


async def take(purse: Purse, nanos: int, entry_id: str | None = None) -> None:
    await purse.db.write(lambda session: move(session, [debit(purse, nanos, entry_id)]))


async def test_a_debit_moves_money_once_per_entry_id(purse: Purse) -> None:
    await purse.credit(10_000)
    await asyncio.gather(*(take(purse, 3_000, "refund-1") for _ in range(5)))
    assert (await purse.wallet()).balance_nanos == 7_000


@pytest.mark.parametrize("nanos", [0, -1])
async def test_a_debit_is_more_than_zero(purse: Purse, nanos: int) -> None:
    with pytest.raises(InvalidRequest):
        await take(purse, nanos)


async def test_nothing_can_be_spent_while_there_is_a_debt(purse: Purse) -> None:
    payer = await purse.key()
    await take(purse, 5_000)
    await purse.credit(4_000)
    with pytest.raises(WalletEmpty):
        await purse.admit(payer, 1)
    await purse.credit(3_000)
    await purse.spend(payer, 2_000)
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.debt_nanos) == (0, 0)
    assert await faults(purse) == []


async def test_money_of_a_dead_process_pays_the_debt_before_a_new_call(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await purse.admit(payer, 8_000)
    await take(purse, 10_000)
    assert (await purse.wallet()).debt_nanos == 8_000
    await purse.db.write(lambda session: reap_holds(session, expired_before=2**62, except_owner=None))
    with pytest.raises(WalletEmpty):
        await purse.admit(payer, 1_000)
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos, wallet.debt_nanos) == (0, 0, 0)
    assert await faults(purse) == []


async def test_a_debt_that_the_ledger_does_not_know_is_found(purse: Purse) -> None:
    await take(purse, 5_000)
    assert await faults(purse) == []
    forged = text("UPDATE wallet SET debt_nanos = 4000")
    await purse.db.write(lambda session: session.connection().execute(forged).rowcount)
    assert len(await faults(purse)) == 1


amounts = st.integers(min_value=1, max_value=10**15)


@given(st.lists(st.tuples(st.booleans(), amounts), max_size=20), st.integers(0, 10**15))
def test_what_comes_and_goes_nets_out(steps: list[tuple[bool, int]], held: int) -> None:
    wallet = WalletState("a", held, held, 0, "", 0)
    net, debts = held, 0
    for number, (comes, amount) in enumerate(steps):
        entries = []
        if comes:
            wallet.balance_nanos += amount
        else:
            entries = take_back(wallet, Debit("a", f"e{number}", "refund", Nanos(amount), "r", 0))
        entries += repay(wallet, 0)
        debts += sum(entry["amount_nanos"] for entry in entries if entry["kind"] == "debt")
        net += amount if comes else -amount
        assert wallet.balance_nanos - wallet.debt_nanos == net
        assert wallet.debt_nanos == debts >= 0
        assert wallet.available >= 0
        assert wallet.debt_nanos == 0 or wallet.available == 0
        assert all(entry["balance_after_nanos"] >= 0 for entry in entries)
