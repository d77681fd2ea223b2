"""Plans: the allowance of each paid month, changes within a month, and the subscription as Stripe has it."""

import asyncio
import random
from typing import Any

import pytest

from gateway.billing.stripe.subscriptions import current_subscription
from kit.errors import Conflict
from tests.gateway.billing.stripe.conftest import USD, Till
from tests.gateway.billing.stripe.news import event, invoice, invoice_payment, line, refund, subscription
from tests.gateway.billing.stripe.stub import form_value


async def paid(till: Till, name: str, lines: list[dict[str, Any]], cents: int, **metadata: str) -> str:
    return await till.deliver(
        event("invoice.paid", invoice(name, till.customer, lines, paid=cents, metadata=metadata))
    )


async def test_each_paid_month_credits_the_allowance_once(till: Till) -> None:
    for month in ("in_1", "in_2"):
        for _ in range(3):
            await paid(till, month, [line(2000, "price_pro")], 2000)
    assert [name for name, _, _ in await till.movements()] == ["stripe:in_1", "stripe:in_2"]
    assert await till.balance() == 44 * USD


async def test_a_change_of_plan_credits_what_is_left_of_both(till: Till) -> None:
    await paid(till, "in_1", [line(2000, "price_pro")], 2000)
    rests = [line(-1000, "price_pro", name="il_old"), line(2500, "price_team", name="il_new")]
    await paid(till, "in_2", rests, 1500)
    assert await till.balance() == (22 - 11 + 30) * USD


async def test_a_smaller_plan_takes_back_what_is_not_covered_any_more(till: Till) -> None:
    await paid(till, "in_1", [line(5000, "price_team")], 5000)
    await paid(till, "in_2", [line(-2500, "price_team"), line(1000, "price_pro")], 0)
    assert await till.balance() == (60 - 30 + 11) * USD
    assert await till.faults() == []


async def test_a_trial_credits_nothing(sqlite_till: Till) -> None:
    await paid(sqlite_till, "in_1", [line(0, "price_pro")], 0)
    assert await sqlite_till.ledger() == []


async def test_a_plan_without_a_price_at_stripe_is_known_by_what_the_subscription_remembers(
    sqlite_till: Till,
) -> None:
    await sqlite_till.checkout(plan="house")
    (form,) = sqlite_till.stub.asked("/v1/checkout/sessions")
    remembered = {
        name: str(form_value(form, "subscription_data", "metadata", name))
        for name in ("heddle_plan", "heddle_price", "heddle_price_cents", "heddle_allowance_nanos")
        if form_value(form, "subscription_data", "metadata", name) is not None
    }
    by_hand = {**line(5000, "price_of_a_setup_fee"), "parent": {"type": "invoice_item_details"}}
    await paid(sqlite_till, "in_1", [line(1000, "price_made_by_stripe"), by_hand], 6000, **remembered)
    assert await sqlite_till.balance() == 11 * USD


@pytest.mark.parametrize("change", [{"currency": "eur"}, {"customer": "cus_other"}, {"parent": None}])
async def test_invoices_of_others_and_in_other_currencies_credit_nothing(
    sqlite_till: Till, change: dict[str, Any]
) -> None:
    found = invoice("in_1", sqlite_till.customer, [line(2000, "price_pro")], paid=2000, metadata={})
    assert await sqlite_till.deliver(event("invoice.paid", {**found, **change})) == "ignored"
    assert await sqlite_till.balance() == 0


async def test_a_refunded_month_takes_its_allowance_back_whenever_the_link_arrives(till: Till) -> None:
    news = [
        event("refund.created", refund("re_1", "pi_sub", 1000)),
        event("invoice_payment.paid", invoice_payment("in_1", "pi_sub")),
        event(
            "invoice.paid",
            invoice("in_1", till.customer, [line(2000, "price_pro")], paid=2000, metadata={}),
        ),
    ]
    for order in range(3):
        account = await till.another_account()
        tag = f"_{order}"
        mine = [_renamed(one, tag, account.customer) for one in (*news[order:], *news[:order])]
        await asyncio.gather(*(account.deliver(one) for one in mine))
        assert await account.balance() == 11 * USD


def _renamed(one: dict[str, Any], tag: str, customer: str) -> dict[str, Any]:
    """The same news of another account's objects."""
    found = dict(one["data"]["object"])
    found["id"] += tag
    if "invoice" in found:
        found["invoice"] += tag
        found["payment"] = {"payment_intent": found["payment"]["payment_intent"] + tag}
    if "payment_intent" in found:
        found["payment_intent"] += tag
    if "customer" in found:
        found["customer"] = customer
    return {**one, "id": one["id"] + tag, "data": {"object": found}}


async def test_the_subscription_is_the_newest_news_of_it_in_any_order(till: Till) -> None:
    states = [
        ("created", {"status": "incomplete"}),
        ("updated", {"status": "active"}),
        ("updated", {"status": "past_due"}),
        ("updated", {"status": "active", "cancel_at_period_end": True}),
    ]
    for seed in range(3):
        news = [
            event(
                f"customer.subscription.{kind}",
                subscription(f"sub_{seed}", till.customer, **fields),  # type: ignore[arg-type]
                created=1_800_000_000 + second,
            )
            for second, (kind, fields) in enumerate(states)
        ]
        random.Random(seed).shuffle(news)
        await asyncio.gather(*(till.deliver(one) for one in news * 3))
        found = await current_subscription(till.db, till.account_id)
        assert found is not None
        assert (found.status, found.cancel_at_period_end, found.plan) == ("active", True, "pro")
        gone = subscription(f"sub_{seed}", till.customer, "canceled")
        await till.deliver(event("customer.subscription.deleted", gone, created=1_800_000_009))
        await till.deliver({**news[0], "id": f"evt_late_{seed}", "created": 1_800_000_010})
        assert await current_subscription(till.db, till.account_id) is None


async def test_a_second_subscription_is_refused(sqlite_till: Till) -> None:
    news = subscription("sub_1", sqlite_till.customer)
    await sqlite_till.deliver(event("customer.subscription.created", news))
    with pytest.raises(Conflict) as refusal:
        await sqlite_till.checkout(plan="team")
    assert refusal.value.code == "already_subscribed"
