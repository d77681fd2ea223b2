"""What may be spent for an end user, by whichever keys."""

import asyncio

import pytest

from gateway.accounts.end_users import EndUsers, EndUserSettings
from gateway.billing.billing import HOLD_LIFETIME_MS, Billing
from gateway.billing.errors import EndUserBudgetReached, KeyCapReached
from gateway.billing.operations import Payer
from kit.ids import new_id
from tests.gateway.billing.conftest import Purse, bound, outcome


async def budgeted(purse: Purse, nanos: int | None, period: str = "lifetime") -> EndUsers:
    end_users = EndUsers(purse.db, purse.clock)
    await end_users.put(purse.account_id, "ann", EndUserSettings(nanos, period, None, {}))
    return end_users


async def ann(purse: Purse, *, cap: int | None = None) -> Payer:
    key = await purse.key(cap=cap)
    return Payer(key.account_id, key.key_id, "ann")


async def test_a_budget_counts_all_keys_and_no_other_end_user(purse: Purse) -> None:
    await budgeted(purse, 5_000)
    await purse.credit(100_000)
    first, second = await ann(purse), await ann(purse)
    await purse.spend(first, 3_000)
    with pytest.raises(EndUserBudgetReached) as refused:
        await purse.admit(second, 2_001)
    assert (refused.value.status, refused.value.code) == (402, "end_user_budget_reached")
    told = refused.value.details
    assert (told["budget_micros"], told["spent_micros"], told["held_micros"]) == (5, 3, 0)
    await purse.spend(second, 2_000)
    await purse.spend(Payer(first.account_id, first.key_id, "bob"), 50_000)


async def test_a_budget_lowers_an_output_limit(purse: Purse) -> None:
    await budgeted(purse, 10_000)
    await purse.credit(1_000_000)
    admitted = await purse.admit(await ann(purse), 4_000, max_output=100)
    assert (admitted.max_output_tokens, admitted.held) == (6, 10_000)


async def test_the_keys_cap_is_asked_first(purse: Purse) -> None:
    await budgeted(purse, 1_000)
    await purse.credit(100_000)
    with pytest.raises(KeyCapReached):
        await purse.admit(await ann(purse, cap=500), 2_000)


async def test_concurrent_calls_of_two_processes_never_pass_it(purse: Purse) -> None:
    await budgeted(purse, 30_000)
    await purse.credit(100_000)
    payer = await ann(purse)
    other = Billing(purse.db, purse.clock)

    async def call(number: int) -> bool:
        billing = (purse.billing, other)[number % 2]
        try:
            await billing.admit(f"r{number}", payer, bound(1_000))
        except EndUserBudgetReached:
            return False
        await billing.settle(f"r{number}", payer, outcome(1_000))
        return True

    assert (await asyncio.gather(*(call(number) for number in range(120)))).count(True) == 30
    await other.close()
    assert (await purse.wallet()).balance_nanos == 70_000


async def test_a_budget_set_later_counts_what_was_spent_and_held_before(purse: Purse) -> None:
    await purse.credit(100_000)
    payer = await ann(purse)
    await purse.spend(payer, 3_000)
    running = await purse.admit(payer, 1_000)
    await budgeted(purse, 5_000)
    with pytest.raises(EndUserBudgetReached):
        await purse.admit(payer, 1_001)
    await purse.billing.settle(running.request_id, payer, outcome(500))
    await purse.spend(payer, 1_500)


async def test_a_monthly_budget_is_free_again_next_month(purse: Purse) -> None:
    await budgeted(purse, 1_000, "month")
    await purse.credit(100_000)
    payer = await ann(purse)
    await purse.spend(payer, 1_000)
    with pytest.raises(EndUserBudgetReached) as refused:
        await purse.admit(payer, 1)
    resets_at = refused.value.details["resets_at"]
    purse.clock.advance(seconds=(resets_at - purse.clock.now_ms()) / 1000)
    await purse.spend(payer, 1_000)


async def test_holds_of_a_dead_process_free_the_budget_again(purse: Purse) -> None:
    await budgeted(purse, 1_000)
    await purse.credit(100_000)
    payer = await ann(purse)
    await purse.admit(payer, 1_000)
    purse.clock.advance(seconds=HOLD_LIFETIME_MS / 1000 + 1)
    survivor = Billing(purse.db, purse.clock)
    await survivor.start()
    await survivor.close()
    await purse.spend(payer, 1_000)


@pytest.mark.parametrize("capped", ["key", "end user"])
async def test_a_cost_above_its_hold_does_not_pass_a_cap(purse: Purse, capped: str) -> None:
    if capped == "end user":
        await budgeted(purse, 5_000)
    await purse.credit(100_000)
    payer = await ann(purse, cap=5_000 if capped == "key" else None)
    running = await purse.admit(payer, 2_000)
    admitted = await purse.admit(payer, 1_000)
    settled = await purse.billing.settle(admitted.request_id, payer, outcome(9_000))
    assert settled.charged == 3_000
    assert (await purse.billing.settle(running.request_id, payer, outcome(2_000))).charged == 2_000
    with pytest.raises((EndUserBudgetReached, KeyCapReached)):
        await purse.admit(payer, 1)


async def test_two_accounts_end_users_of_one_name_are_two(purse: Purse) -> None:
    end_users = await budgeted(purse, 1)
    assert (await end_users.page("acct_other", limit=10, after=None)) == []
    assert [row.end_user_id for row in await end_users.page(purse.account_id, limit=10, after=None)] == [
        "ann"
    ]
    await purse.credit(10_000)
    stranger = await purse.key()
    await purse.billing.admit(new_id("r"), stranger, bound(5_000))
