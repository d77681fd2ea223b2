"""Holds, settlements, caps and the ledger: what may never happen, tried concurrently."""

import asyncio
import random

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, select

from gateway.billing.billing import HOLD_LIFETIME_MS, Billing
from gateway.billing.errors import KeyCapReached, TurnBudgetReached, WalletEmpty
from gateway.billing.ledger import verify_account
from gateway.billing.models import Hold, LedgerEntry, UsageEvent
from gateway.billing.operations import Budget
from kit.errors import AuthenticationFailed
from kit.money import Nanos
from tests.gateway.billing.conftest import Purse, bound, outcome


async def faults(purse: Purse) -> list[str]:
    def verify(session: Session) -> list[str]:
        return [fault.problem for fault in verify_account(session, purse.account_id)]

    return await purse.db.write(verify)


async def test_a_call_holds_then_pays_its_real_cost(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    admitted = await purse.admit(payer, 4_000, max_output=2)
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (10_000, 6_000)
    settled = await purse.billing.settle(admitted.request_id, payer, outcome(1_500))
    wallet = await purse.wallet()
    assert (settled.charged, wallet.balance_nanos, wallet.held_nanos) == (1_500, 8_500, 0)
    assert await faults(purse) == []


async def test_settling_twice_charges_once(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    admitted = await purse.admit(payer, 4_000)
    results = await asyncio.gather(
        *(purse.billing.settle(admitted.request_id, payer, outcome(3_000)) for _ in range(8))
    )
    again = await purse.billing.settle(admitted.request_id, payer, outcome(3_000))
    assert [settled.replayed for settled in (*results, again)].count(False) == 1
    assert (await purse.wallet()).balance_nanos == 7_000


async def test_the_wallet_admits_exactly_what_it_affords(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(50_000)

    async def call() -> bool:
        try:
            admitted = await purse.admit(payer, 1_000)
        except WalletEmpty:
            return False
        await asyncio.sleep(random.random() / 100)
        await purse.billing.settle(admitted.request_id, payer, outcome(1_000))
        return True

    results = await asyncio.gather(*(call() for _ in range(200)))
    assert results.count(True) == 50
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (0, 0)
    assert await faults(purse) == []


async def test_two_processes_on_one_wallet_never_overdraw_it(purse: Purse) -> None:
    payer = await purse.key(cap=30_000)
    await purse.credit(50_000)
    other = Billing(purse.db, purse.clock)
    processes = (purse.billing, other)

    async def call(number: int) -> bool:
        billing = processes[number % 2]
        try:
            await billing.admit(f"r{number}", payer, bound(1_000))
        except KeyCapReached:
            return False
        await billing.settle(f"r{number}", payer, outcome(1_000))
        return True

    results = await asyncio.gather(*(call(number) for number in range(120)))
    await other.close()
    assert results.count(True) == 30
    assert (await purse.wallet()).balance_nanos == 20_000
    assert await faults(purse) == []


async def test_an_output_limit_is_lowered_to_what_is_affordable(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    admitted = await purse.admit(payer, 4_000, max_output=100)
    assert (admitted.max_output_tokens, admitted.lowered, admitted.held) == (6, True, 10_000)


async def test_a_refusal_names_the_numbers_and_changes_nothing(purse: Purse) -> None:
    payer = await purse.key(cap=3_000)
    await purse.credit(10_000)
    await purse.spend(payer, 2_000)
    with pytest.raises(KeyCapReached) as capped:
        await purse.admit(payer, 1_500)
    assert capped.value.details["cap_micros"] == 3
    assert capped.value.details["spent_micros"] == 2
    with pytest.raises(WalletEmpty) as empty:
        await purse.admit(await purse.key(), 8_001)
    assert (empty.value.status, empty.value.code) == (402, "wallet_empty")
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (8_000, 0)


async def test_a_cap_counts_what_is_held_as_well(purse: Purse) -> None:
    payer = await purse.key(cap=3_000)
    await purse.credit(10_000)
    await purse.admit(payer, 2_000)
    with pytest.raises(KeyCapReached):
        await purse.admit(payer, 2_000)


async def test_a_cap_set_later_counts_what_was_spent_and_held_before(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await purse.spend(payer, 1_000)
    running = await purse.admit(payer, 1_000)
    await purse.keys.edit(purse.account_id, payer.key_id, {"cap_nanos": 2_500})
    with pytest.raises(KeyCapReached):
        await purse.admit(payer, 1_000)
    await purse.billing.settle(running.request_id, payer, outcome(0))
    await purse.spend(payer, 1_000)


async def test_a_daily_cap_is_free_again_on_the_next_day_in_utc(purse: Purse) -> None:
    payer = await purse.key(cap=1_000, period="day")
    await purse.credit(10_000)
    await purse.spend(payer, 1_000)
    with pytest.raises(KeyCapReached) as refusal:
        await purse.admit(payer, 1_000)
    resets_at = refusal.value.details["resets_at"]
    purse.clock.advance(seconds=(resets_at - 1 - purse.clock.now_ms()) / 1000)
    with pytest.raises(KeyCapReached):
        await purse.admit(payer, 1_000)
    purse.clock.advance(seconds=0.001)
    await purse.spend(payer, 1_000)


async def test_a_turn_budget_bounds_its_next_step(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(100_000)
    with pytest.raises(TurnBudgetReached):
        await purse.admit(payer, 4_000, budget=Budget(Nanos(5_000), Nanos(2_000)))
    admitted = await purse.admit(payer, 2_000, 100, budget=Budget(Nanos(5_000), Nanos(2_000)))
    assert admitted.held == 3_000


async def test_a_revoked_key_is_refused_in_the_transaction_itself(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await purse.keys.revoke(purse.account_id, payer.key_id)
    with pytest.raises(AuthenticationFailed):
        await purse.admit(payer, 1)


async def test_a_cost_above_its_hold_never_takes_the_wallet_below_zero(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(5_000)
    admitted = await purse.admit(payer, 1_000)
    settled = await purse.billing.settle(admitted.request_id, payer, outcome(9_000))
    assert settled.charged == 5_000
    async with purse.db.session() as session:
        event = (await session.exec(select(UsageEvent))).one()
    assert (event.cost_nanos, event.shortfall_nanos) == (5_000, 4_000)
    assert (await purse.wallet()).balance_nanos == 0


async def test_a_refusing_rider_takes_the_settlement_back(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    admitted = await purse.admit(payer, 4_000)

    def refuse(session: Session) -> None:
        session.connection().execute(text("UPDATE account SET name = 'changed'"))
        raise ValueError("lease lost")

    with pytest.raises(ValueError, match="lease lost"):
        await purse.billing.settle(admitted.request_id, payer, outcome(1_000), rider=refuse)
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (10_000, 4_000)
    settled = await purse.billing.settle(
        admitted.request_id, payer, outcome(1_000), rider=lambda session: "written"
    )
    assert settled.result == "written"
    async with purse.db.session() as session:
        connection = await session.connection()
        assert list((await connection.execute(text("SELECT name FROM account"))).scalars()) == ["test"]


async def test_a_settlement_whose_rider_met_a_deadlock_is_made_again(purse: Purse) -> None:
    class Deadlock(Exception):
        sqlstate = "40P01"

    payer = await purse.key()
    await purse.credit(10_000)
    admitted = await purse.admit(payer, 4_000)
    tries: list[str] = []

    def meets_one(session: Session) -> str:
        tries.append("again")
        if len(tries) == 1:
            raise OperationalError("SELECT 1", {}, Deadlock())
        return "written"

    settled = await purse.billing.settle(admitted.request_id, payer, outcome(1_000), rider=meets_one)
    assert (settled.charged, settled.result, len(tries)) == (1_000, "written", 2)
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (9_000, 0)


async def test_a_credit_is_booked_once_per_entry_id(purse: Purse) -> None:
    answers = await asyncio.gather(*(purse.credit(1_000, "payment-1") for _ in range(5)))
    assert sorted(answers) == [False, False, False, False, True]
    assert not await purse.credit(1_000, "payment-1")
    assert (await purse.wallet()).balance_nanos == 1_000


async def test_holds_of_a_dead_process_are_released_and_a_late_settlement_still_counts(purse: Purse) -> None:
    payer = await purse.key(cap=8_000)
    await purse.credit(10_000)
    admitted = await purse.admit(payer, 4_000)
    purse.clock.advance(seconds=HOLD_LIFETIME_MS / 1000 + 1)
    survivor = Billing(purse.db, purse.clock)
    await survivor.start()
    await survivor.close()
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (10_000, 0)
    await purse.billing.settle(admitted.request_id, payer, outcome(4_000))
    assert (await purse.wallet()).balance_nanos == 6_000
    async with purse.db.session() as session:
        assert (await session.exec(select(Hold))).all() == []


async def test_a_cancelled_admission_leaves_no_hold(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    waiting = asyncio.create_task(purse.admit(payer, 4_000))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await purse.billing.close()
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (10_000, 0)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE ledger_entry SET amount_nanos = amount_nanos + 1 WHERE seq = 2",
        "UPDATE ledger_entry SET reference = 'other' WHERE seq = 1",
        "DELETE FROM ledger_entry WHERE seq = 2",
        "UPDATE wallet SET balance_nanos = balance_nanos + 5",
    ],
)
async def test_verification_finds_tampering(purse: Purse, tampering: str) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await purse.spend(payer, 1_000)
    await purse.spend(payer, 1_000)
    assert await faults(purse) == []

    def tamper(session: Session) -> None:
        connection = session.connection()
        for statement in _without_triggers(connection.dialect.name):
            connection.execute(text(statement))
        connection.execute(text(tampering))

    await purse.db.write(tamper)
    assert await faults(purse) != []


def _without_triggers(dialect: str) -> list[str]:
    if dialect == "postgresql":
        return ["ALTER TABLE ledger_entry DISABLE TRIGGER ALL"]
    return [
        "DROP TRIGGER IF EXISTS ledger_entry_refuses_update",
        "DROP TRIGGER IF EXISTS ledger_entry_refuses_delete",
    ]


async def test_the_ledger_holds_every_movement_in_order(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    for _ in range(5):
        await purse.spend(payer, 100)
    async with purse.db.session() as session:
        entries = (await session.exec(select(LedgerEntry).order_by(LedgerEntry.seq))).all()  # type: ignore[arg-type]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert sum(entry.amount_nanos for entry in entries) == (await purse.wallet()).balance_nanos == 9_500
