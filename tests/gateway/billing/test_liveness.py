"""Processes that share a wallet: the holds of one that died are free again within a minute, and one that was
only paused is paid all the same."""

from collections.abc import AsyncIterator

import pytest
from sqlmodel import Session, select

from gateway.billing.billing import HOLD_LIFETIME_MS, TEND_EVERY_S, Billing
from gateway.billing.ledger import verify_account
from gateway.billing.models import Hold, Process, Spend, UsageEvent
from gateway.billing.operations import Payer
from kit.money import Nanos
from tests.gateway.billing.conftest import Purse, bound, outcome


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """SQLite has one process: it releases what others held when it starts."""
    return postgres_url


@pytest.fixture
async def other(purse: Purse) -> AsyncIterator[Billing]:
    """Another process; both have just said that they live."""
    other = Billing(purse.db, purse.clock)
    await purse.billing.tend()
    await other.tend()
    yield other
    await other.close()


async def pass_time(purse: Purse, seconds: float, *living: Billing) -> None:
    for _ in range(round(seconds / TEND_EVERY_S)):
        purse.clock.advance(seconds=TEND_EVERY_S)
        for process in living:
            await process.tend()


async def holds(purse: Purse) -> set[str]:
    async with purse.db.session() as session:
        return set((await session.exec(select(Hold.id))).all())


async def running(purse: Purse, payer: Payer, name: str = "r") -> None:
    await purse.billing.admit(name, payer, bound(4_000))


async def test_the_holds_of_a_dead_process_are_free_within_a_minute(purse: Purse, other: Billing) -> None:
    payer = await purse.key(cap=5_000)
    await purse.credit(10_000)
    await running(purse, payer)
    await pass_time(purse, 40, other)
    assert await holds(purse) == {"r"}
    await pass_time(purse, 20, other)
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (10_000, 0)
    await other.admit("again", payer, bound(4_000))
    async with purse.db.session() as session:
        assert (await session.exec(select(Process.owner))).all() == [other.owner]


async def test_the_holds_of_a_living_process_stay(purse: Purse, other: Billing) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await running(purse, payer)
    await pass_time(purse, 600, purse.billing, other)
    assert await holds(purse) == {"r"}


@pytest.mark.parametrize(
    ("spent_meanwhile", "charged"), [(0, 4_000), (4_500, 3_500), (8_000, 0)], ids=["all", "some", "nothing"]
)
async def test_a_paused_process_is_paid_for_its_call_as_far_as_the_cap_allows(
    purse: Purse, other: Billing, spent_meanwhile: int, charged: int
) -> None:
    payer = await purse.key(cap=8_000)
    await purse.credit(20_000)
    await running(purse, payer)
    await pass_time(purse, 60, other)
    if spent_meanwhile:
        await other.admit("other", payer, bound(spent_meanwhile))
        await other.settle("other", payer, outcome(spent_meanwhile))
    settled = await purse.billing.settle("r", payer, outcome(4_000))
    again = await purse.billing.settle("r", payer, outcome(4_000))
    assert (settled.charged, again.charged, again.replayed) == (charged, 0, True)
    wallet = await purse.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos) == (20_000 - spent_meanwhile - charged, 0)
    async with purse.db.session() as session:
        event = (await session.exec(select(UsageEvent).where(UsageEvent.id == "r"))).one()
        spend = (await session.exec(select(Spend))).one()
    assert (event.cost_nanos, event.shortfall_nanos) == (charged, 4_000 - charged)
    assert (spend.spent_nanos, spend.held_nanos) == (spent_meanwhile + charged, 0)
    assert await purse.db.write(lambda session: _faults(session, purse.account_id)) == []


async def test_a_paused_process_never_takes_what_others_hold(purse: Purse, other: Billing) -> None:
    payer, rival = await purse.key(), await purse.key()
    await purse.credit(10_000)
    await running(purse, payer)
    await pass_time(purse, 60, other)
    await other.admit("other", rival, bound(9_000))
    assert (await purse.billing.settle("r", payer, outcome(4_000))).charged == Nanos(1_000)
    assert (await other.settle("other", rival, outcome(9_000))).charged == Nanos(9_000)
    assert (await purse.wallet()).balance_nanos == 0


async def test_what_a_process_takes_after_its_pause_stays(purse: Purse, other: Billing) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await running(purse, payer, "before")
    await pass_time(purse, 40, other)
    purse.clock.advance(seconds=TEND_EVERY_S)
    await running(purse, payer, "after")  # before it has said again that it lives
    await other.tend()
    assert await holds(purse) == {"after"}
    await purse.billing.tend()
    await pass_time(purse, 120, purse.billing, other)
    assert await holds(purse) == {"after"}


async def test_a_process_that_was_cut_off_itself_judges_nobody_at_first(purse: Purse, other: Billing) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await running(purse, payer)
    purse.clock.advance(seconds=60)  # nobody could reach the database
    await other.tend()
    assert await holds(purse) == {"r"}
    await pass_time(purse, 60, purse.billing, other)
    assert await holds(purse) == {"r"}


async def test_a_process_that_just_started_judges_nobody_at_first(purse: Purse) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await purse.billing.tend()
    await running(purse, payer)
    purse.clock.advance(seconds=60)
    newcomer = Billing(purse.db, purse.clock)
    await newcomer.start()
    assert await holds(purse) == {"r"}
    await pass_time(purse, TEND_EVERY_S, newcomer)
    assert await holds(purse) == set()
    await newcomer.close()


async def test_holds_of_a_process_that_never_says_that_it_lives_expire(purse: Purse, other: Billing) -> None:
    payer = await purse.key()
    await purse.credit(10_000)
    await Billing(purse.db, purse.clock).admit("r", payer, bound(4_000))  # one of an older version
    await pass_time(purse, 120, other)
    assert await holds(purse) == {"r"}
    purse.clock.advance(seconds=HOLD_LIFETIME_MS / 1000)
    await other.tend()
    assert await holds(purse) == set()


async def test_what_a_lost_call_took_of_its_keys_rate_is_not_taken_twice(
    purse: Purse, other: Billing
) -> None:
    payer = await purse.key()
    await purse.keys.edit(purse.account_id, payer.key_id, {"tpm": 100})
    await purse.credit(10_000)
    await purse.billing.admit("r", payer, bound(1), tokens=100)
    await pass_time(purse, 60, other)
    await purse.billing.settle("r", payer, outcome(1))
    await purse.billing.admit("next", payer, bound(1), tokens=100)


def _faults(session: Session, account_id: str) -> list[str]:
    return [fault.problem for fault in verify_account(session, account_id)]
