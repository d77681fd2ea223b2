"""Automatic top-ups: one payment at a time, never twice, and not for ever."""

import asyncio

import pytest

from gateway.billing.operations import Payer
from gateway.billing.stripe.auto_charges import AutoCharges
from gateway.billing.stripe.auto_top_up import Rule
from gateway.billing.stripe.models import AutoTopUp
from kit.errors import Conflict
from kit.money import Nanos
from tests.gateway.billing.stripe.conftest import USD, Till
from tests.gateway.billing.stripe.news import event
from tests.gateway.billing.stripe.stub import form_value

INTENTS = "/v1/payment_intents"
HOUR = 3600


async def armed(till: Till, *, limit: int | None = None) -> Payer:
    """6 USD in the wallet; below 5 it tops up by 20."""
    till.stub.saved_cards = ["pm_card"]
    await till.purse.credit(6 * USD)
    await till.stripe.auto_charges.switch_on(till.account_id, Rule(Nanos(5 * USD), 2000, limit))
    return await till.purse.key()


async def state(till: Till) -> AutoTopUp:
    row = await till.stripe.auto_charges.find(till.account_id)
    assert row is not None
    return row


async def test_a_wallet_that_runs_low_is_topped_up_by_one_payment(till: Till) -> None:
    payer = await armed(till)
    charges = till.stripe.auto_charges
    await charges.look()
    assert till.stub.asked(INTENTS) == []
    await till.purse.spend(payer, 2 * USD)
    await charges.look()
    await charges.look()
    (form,) = till.stub.asked(INTENTS)
    wanted = {"amount": "2000", "currency": "usd", "customer": till.customer, "payment_method": "pm_card"}
    assert wanted.items() <= form.items()
    assert (form["off_session"], form["confirm"]) == ("true", "true")
    assert await till.balance() == 24 * USD
    assert (await state(till)).attempt_id is None


async def test_a_settlement_wakes_the_loop_by_itself(till: Till) -> None:
    payer = await armed(till)
    await till.stripe.start()
    await asyncio.sleep(0.2)
    await till.purse.spend(payer, 2 * USD)
    async with asyncio.timeout(20):
        while await till.balance() != 24 * USD:
            await asyncio.sleep(0.02)
    assert len(till.stub.asked(INTENTS)) == 1


async def test_the_event_of_the_same_payment_credits_nothing_more(till: Till) -> None:
    payer = await armed(till)
    await till.purse.spend(payer, 2 * USD)
    await till.stripe.auto_charges.look()
    (form,) = till.stub.asked(INTENTS)
    (entry,) = [name for name, kind, _ in await till.movements() if name.startswith("stripe:")]
    intent = {
        "id": entry.removeprefix("stripe:"),
        "status": "succeeded",
        "currency": "usd",
        "amount_received": 2000,
        "metadata": {"heddle_top_up": form_value(form, "metadata", "heddle_top_up")},
    }
    await asyncio.gather(*(till.deliver(event("payment_intent.succeeded", intent)) for _ in range(5)))
    assert await till.balance() == 24 * USD


async def test_processes_that_look_at_once_charge_once(till: Till) -> None:
    payer = await armed(till)
    await till.purse.spend(payer, 2 * USD)
    stripe = till.stripe
    others = [AutoCharges(till.db, till.clock, stripe.api, stripe.customers) for _ in range(5)]
    await asyncio.gather(*(one.look() for one in (stripe.auto_charges, *others)))
    assert len(till.stub.asked(INTENTS)) == 1
    assert await till.balance() == 24 * USD


async def test_a_payment_whose_answer_was_lost_is_not_made_again(sqlite_till: Till) -> None:
    till = sqlite_till
    payer = await armed(till)
    await till.purse.spend(payer, 2 * USD)
    till.stub.fail_with = 500
    await till.stripe.auto_charges.look()
    assert (await state(till)).attempt_id is not None
    till.stub.fail_with, till.stub.lose_answers = None, 3
    till.clock.advance(seconds=HOUR)
    await till.stripe.auto_charges.look()
    assert await till.balance() == 4 * USD
    till.clock.advance(seconds=HOUR)
    await till.stripe.auto_charges.look()
    assert await till.balance() == 24 * USD
    made = {str(answer.body) for answer in till.stub.answers.values() if b"pi_auto" in bytes(answer.body)}
    assert len(made) == 1
    assert len({form_value(form, "metadata", "heddle_top_up") for form in till.stub.asked(INTENTS)}) == 1


async def test_a_payment_without_an_answer_is_given_up_before_stripe_forgets_it(sqlite_till: Till) -> None:
    till = sqlite_till
    payer = await armed(till)
    await till.purse.spend(payer, 2 * USD)
    till.stub.fail_with = 500
    await till.stripe.auto_charges.look()
    till.clock.advance(seconds=23.5 * HOUR)
    await till.stripe.auto_charges.look()
    row = await state(till)
    assert (row.enabled, row.off_reason, row.attempt_id) == (False, "no_answer", None)


@pytest.mark.parametrize(
    "decline",
    [
        {"code": "card_declined", "decline_code": "stolen_card"},
        {"code": "authentication_required", "decline_code": "authentication_required"},
        {"code": "expired_card"},
        {"code": "card_declined", "decline_code": "do_not_honor", "advice_code": "do_not_try_again"},
    ],
)
async def test_a_final_decline_switches_it_off(sqlite_till: Till, decline: dict[str, str]) -> None:
    payer = await armed(sqlite_till)
    await sqlite_till.purse.spend(payer, 2 * USD)
    sqlite_till.stub.decline = decline
    await sqlite_till.stripe.auto_charges.look()
    row = await state(sqlite_till)
    assert (row.enabled, row.off_reason) == (False, decline.get("decline_code", decline["code"]))
    sqlite_till.clock.advance(seconds=48 * HOUR)
    await sqlite_till.stripe.auto_charges.look()
    assert len(sqlite_till.stub.asked(INTENTS)) == 1
    assert await sqlite_till.balance() == 4 * USD


async def test_a_passing_decline_pauses_longer_each_time_and_then_switches_off(sqlite_till: Till) -> None:
    till = sqlite_till
    payer = await armed(till)
    await till.purse.spend(payer, 2 * USD)
    till.stub.decline = {"code": "card_declined", "decline_code": "insufficient_funds"}
    for tries, pause_h in enumerate((1, 6, 24), start=1):
        await till.stripe.auto_charges.look()
        await till.stripe.auto_charges.look()
        assert len(till.stub.asked(INTENTS)) == tries
        assert (await state(till)).enabled
        till.clock.advance(seconds=pause_h * HOUR + 1)
    await till.stripe.auto_charges.look()
    row = await state(till)
    assert (row.enabled, row.off_reason, row.failures) == (False, "insufficient_funds", 4)


async def test_the_months_limit_is_kept_and_ends_with_the_month(till: Till) -> None:
    payer = await armed(till, limit=4500)
    for _ in range(3):
        await till.purse.spend(payer, await till.balance() - 1 * USD)
        await till.stripe.auto_charges.look()
    assert len(till.stub.asked(INTENTS)) == 2
    till.clock.advance(seconds=32 * 24 * HOUR)
    await till.stripe.auto_charges.look()
    assert len(till.stub.asked(INTENTS)) == 3


async def test_a_payment_that_the_bank_takes_days_for_blocks_the_next(till: Till) -> None:
    payer = await armed(till)
    await till.purse.spend(payer, 2 * USD)
    till.stub.intent_status = "processing"
    await till.stripe.auto_charges.look()
    till.clock.advance(seconds=48 * HOUR)
    await till.stripe.auto_charges.look()
    (form,) = till.stub.asked(INTENTS)
    assert await till.balance() == 4 * USD
    found = {
        "id": "pi_late",
        "status": "requires_payment_method",
        "currency": "usd",
        "last_payment_error": {"code": "bank_account_closed"},
        "metadata": {"heddle_top_up": form_value(form, "metadata", "heddle_top_up")},
    }
    await till.deliver(event("payment_intent.payment_failed", found))
    row = await state(till)
    assert (row.enabled, row.off_reason, row.attempt_id) == (False, "bank_account_closed", None)


async def test_it_needs_a_saved_payment_method(sqlite_till: Till) -> None:
    rule = Rule(Nanos(5 * USD), 2000, None)
    with pytest.raises(Conflict) as refusal:
        await sqlite_till.stripe.auto_charges.switch_on(sqlite_till.account_id, rule)
    assert refusal.value.code == "no_payment_method"


async def test_a_card_that_was_removed_since_switches_it_off(sqlite_till: Till) -> None:
    payer = await armed(sqlite_till)
    sqlite_till.stub.saved_cards = []
    await sqlite_till.purse.spend(payer, 2 * USD)
    await sqlite_till.stripe.auto_charges.look()
    assert (await state(sqlite_till)).off_reason == "no_payment_method"
