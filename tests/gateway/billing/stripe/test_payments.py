"""Events move the balance once, whatever their order, repetition and concurrency."""

import asyncio
import random
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from gateway.billing.models import Wallet
from kit.errors import HeddleError
from tests.gateway.billing.conftest import bound, outcome
from tests.gateway.billing.stripe.conftest import USD, Till
from tests.gateway.billing.stripe.news import (
    Event,
    dispute,
    event,
    invoice,
    invoice_payment,
    line,
    refund,
    session_of,
)

CENT = USD // 100


async def test_a_paid_checkout_is_credited_under_the_payments_name(till: Till) -> None:
    row = await till.checkout(25)
    assert await till.pay(row, 2500, "pi_1") == "applied"
    assert await till.movements() == [("stripe:pi_1", "topup", 25 * USD)]
    assert (await till.stripe.checkouts.get(till.account_id, row.id)).status == "paid"


async def test_the_same_event_twenty_times_at_once_credits_once(till: Till) -> None:
    row = await till.checkout(25)
    news = event("checkout.session.completed", session_of(row.id, till.customer, 2500, intent="pi_1"))
    outcomes = await asyncio.gather(*(till.deliver(news) for _ in range(20)))
    assert sorted(outcomes) == ["applied"] + ["replayed"] * 19
    assert await till.balance() == 25 * USD


async def test_different_events_of_one_payment_at_once_credit_once(till: Till) -> None:
    row = await till.checkout(25)
    found = session_of(row.id, till.customer, 2500, intent="pi_1")
    kinds = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
    await asyncio.gather(*(till.deliver(event(kind, found)) for kind in kinds * 5))
    assert await till.balance() == 25 * USD


async def test_a_payment_that_settles_later_is_credited_when_it_does(till: Till) -> None:
    row = await till.checkout(25)
    await till.pay(row, 2500, "pi_1", paid=False)
    assert (await till.balance(), (await till.stripe.checkouts.get(till.account_id, row.id)).status) == (
        0,
        "processing",
    )
    settled = session_of(row.id, till.customer, 2500, intent="pi_1")
    await till.deliver(event("checkout.session.async_payment_succeeded", settled))
    await till.pay(row, 2500, "pi_1", paid=False)  # old news, late
    assert await till.balance() == 25 * USD
    assert (await till.stripe.checkouts.get(till.account_id, row.id)).status == "paid"


async def test_a_pack_gives_its_credit_and_an_underpaid_one_what_was_paid(till: Till) -> None:
    first, second = await till.checkout(pack="big"), await till.checkout(pack="big")
    await till.pay(first, 4500, "pi_1")
    await till.pay(second, 4000, "pi_2")
    assert await till.balance() == (50 + 40) * USD


@pytest.mark.parametrize(
    "change",
    [
        {"currency": "eur"},
        {"customer": "cus_of_somebody_else"},
        {"metadata": {}},
        {"metadata": {"heddle_checkout": "chk_unknown"}},
        {"mode": "setup"},
    ],
)
async def test_what_was_not_begun_here_in_usd_is_not_credited(
    sqlite_till: Till, change: dict[str, Any]
) -> None:
    row = await sqlite_till.checkout(25)
    await sqlite_till.pay(row, 2500, "pi_1", **change)
    assert await sqlite_till.balance() == 0


async def test_a_refund_takes_back_its_part_of_a_pack(till: Till) -> None:
    await till.pay(await till.checkout(pack="big"), 4500, "pi_1")
    await till.deliver(event("refund.created", refund("re_1", "pi_1", 900, "pending")))
    await till.deliver(event("refund.updated", refund("re_1", "pi_1", 900)))
    assert await till.balance() == 40 * USD
    await till.deliver(event("refund.created", refund("re_2", "pi_1", 3600)))
    assert await till.balance() == 0
    assert await till.faults() == []


async def test_a_refund_before_its_payment_leaves_the_same_balance(till: Till) -> None:
    row = await till.checkout(25)
    await till.deliver(event("refund.created", refund("re_1", "pi_1", 1000)))
    assert await till.balance() == 0
    await till.pay(row, 2500, "pi_1")
    assert await till.balance() == 15 * USD


async def test_a_failed_refund_is_given_back_even_if_its_failure_is_heard_first(till: Till) -> None:
    await till.pay(await till.checkout(25), 2500, "pi_1")
    await till.deliver(event("refund.created", refund("re_1", "pi_1", 1000)))
    await till.deliver(event("refund.failed", refund("re_1", "pi_1", 1000, "failed")))
    await till.deliver(event("refund.failed", refund("re_2", "pi_1", 500, "failed")))
    await till.deliver(event("refund.created", refund("re_2", "pi_1", 500, "pending")))
    assert await till.balance() == 25 * USD
    assert [name for name, _, _ in await till.movements()] == [
        "stripe:pi_1",
        "stripe:re_1",
        "stripe:re_1:returned",
    ]


async def test_a_dispute_takes_the_money_and_a_won_one_gives_it_back(till: Till) -> None:
    await till.pay(await till.checkout(25), 2500, "pi_1")
    for kind in ("created", "funds_withdrawn", "updated"):
        await till.deliver(event(f"charge.dispute.{kind}", dispute("dp_1", "pi_1", 2500)))
    assert await till.balance() == 0
    await till.deliver(event("charge.dispute.closed", dispute("dp_1", "pi_1", 2500, "won")))
    await till.deliver(event("charge.dispute.funds_reinstated", dispute("dp_1", "pi_1", 2500, "won")))
    assert await till.balance() == 25 * USD


@pytest.mark.parametrize("status", ["warning_needs_response", "warning_closed", "prevented"])
async def test_an_inquiry_takes_nothing(sqlite_till: Till, status: str) -> None:
    await sqlite_till.pay(await sqlite_till.checkout(25), 2500, "pi_1")
    await sqlite_till.deliver(event("charge.dispute.created", dispute("dp_1", "pi_1", 2500, status)))
    assert await sqlite_till.balance() == 25 * USD


async def test_a_refund_and_a_dispute_of_one_payment_take_no_more_than_it_gave(till: Till) -> None:
    await till.pay(await till.checkout(25), 2500, "pi_1")
    await till.pay(await till.checkout(10), 1000, "pi_2")
    await till.deliver(event("refund.created", refund("re_1", "pi_1", 2000)))
    await till.deliver(event("charge.dispute.created", dispute("dp_1", "pi_1", 2500)))
    assert await till.balance() == 10 * USD
    await till.deliver(event("charge.dispute.closed", dispute("dp_1", "pi_1", 2500, "won")))
    assert await till.balance() == 15 * USD


async def test_what_was_spent_becomes_a_debt_that_the_next_top_up_pays(till: Till) -> None:
    await till.pay(await till.checkout(25), 2500, "pi_1")
    payer = await till.purse.key()
    await till.purse.spend(payer, 15 * USD)
    await till.deliver(event("refund.created", refund("re_1", "pi_1", 2500)))
    wallet = await till.wallet()
    assert (wallet.balance_nanos, wallet.debt_nanos) == (0, 15 * USD)
    await till.pay(await till.checkout(40), 4000, "pi_2")
    wallet = await till.wallet()
    assert (wallet.balance_nanos, wallet.debt_nanos) == (25 * USD, 0)
    assert [(kind, nanos // USD) for _, kind, nanos in await till.movements()] == [
        ("topup", 25),
        ("debit", -15),
        ("debt", 15),
        ("refund", -25),
        ("topup", 40),
        ("debt", -15),
    ]
    assert await till.faults() == []


async def test_what_a_running_call_holds_stays_and_is_taken_when_it_is_released(till: Till) -> None:
    await till.pay(await till.checkout(25), 2500, "pi_1")
    payer = await till.purse.key()
    await till.billing.admit("call", payer, bound(20 * USD))
    await till.deliver(event("refund.created", refund("re_1", "pi_1", 2500)))
    wallet = await till.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos, wallet.debt_nanos) == (20 * USD, 20 * USD, 20 * USD)
    await till.billing.settle("call", payer, outcome(2 * USD))
    wallet = await till.wallet()
    assert (wallet.balance_nanos, wallet.held_nanos, wallet.debt_nanos) == (0, 0, 2 * USD)
    assert await till.faults() == []


async def test_an_event_that_fails_leaves_nothing_and_is_applied_when_it_is_sent_again(till: Till) -> None:
    row = await till.checkout(25)
    news = event("checkout.session.completed", session_of(row.id, till.customer, 2500, intent="pi_1"))
    lose = text("DELETE FROM wallet")
    await till.db.write(lambda session: session.connection().execute(lose).rowcount)
    with pytest.raises(HeddleError, match="no wallet"):
        await till.deliver(news)
    assert (await till.stripe.checkouts.get(till.account_id, row.id)).status == "open"
    await till.db.write(lambda session: session.add(Wallet(account_id=till.account_id)))
    assert await till.deliver(news) == "applied"
    assert await till.balance() == 25 * USD


# --- any subset, any order, any number of times -------------------------------------------------------


class Story:
    """Some payments with what happened to them, and what their events must come to, worked out apart."""

    def __init__(self, till: Till, dice: random.Random, tag: str) -> None:
        self.till, self.dice, self.tag = till, dice, tag
        self.events: list[Event] = []

    async def build(self) -> None:
        for number in range(self.dice.randint(1, 3)):
            await self._checkout(f"{self.tag}_{number}")
        if self.dice.random() < 0.7:
            self._month(f"{self.tag}_sub")

    async def _checkout(self, name: str) -> None:
        cents = self.dice.randint(500, 9_999)
        row = await self.till.checkout(Decimal(cents) / 100)
        found = session_of(row.id, self.till.customer, cents, intent=f"pi_{name}")
        paid = event("checkout.session.completed", found)
        again = event("checkout.session.async_payment_succeeded", found)
        early = event("checkout.session.completed", {**found, "payment_status": "unpaid"})
        self.events += [paid, again, early]
        self._reverse(name, f"pi_{name}", cents)

    def _month(self, name: str) -> None:
        found = invoice(f"in_{name}", self.till.customer, [line(2000, "price_pro")], paid=2000, metadata={})
        self.events.append(event("invoice.paid", found))
        self.events.append(event("invoice_payment.paid", invoice_payment(f"in_{name}", f"pi_{name}")))
        self._reverse(name, f"pi_{name}", 2000)

    def _reverse(self, name: str, intent: str, cents: int) -> None:
        for number in range(self.dice.randint(0, 2)):
            part = self.dice.randint(1, cents)
            news = [("refund.created", "pending"), ("refund.updated", "succeeded")]
            if self.dice.random() < 0.4:
                news.append(("refund.failed", "failed"))
            self.events += [event(kind, refund(f"re_{name}{number}", intent, part, s)) for kind, s in news]
        if self.dice.random() < 0.5:
            end = self.dice.choice(["won", "lost", "under_review"])
            for kind, status in (("created", "needs_response"), ("closed", end)):
                self.events.append(
                    event(f"charge.dispute.{kind}", dispute(f"dp_{name}", intent, cents, status))
                )

    @staticmethod
    def expected(events: list[Event]) -> int:
        """The net of balance and debt that this set of events must lead to, in nanos."""
        objects = [(one["type"], one["data"]["object"]) for one in events]
        intents = {o["invoice"]: o["payment"]["payment_intent"] for k, o in objects if k[:8] == "invoice_"}
        paid: dict[str, tuple[int, int, str | None]] = {}
        for kind, found in objects:
            if kind.startswith("checkout") and found["payment_status"] == "paid":
                cents = found["amount_total"]
                paid[found["payment_intent"]] = (cents, cents * CENT, found["payment_intent"])
            elif kind == "invoice.paid":
                paid[found["id"]] = (2000, 22 * USD, intents.get(found["id"]))
        off = {o["id"] for k, o in objects if o.get("status") in {"failed", "won"}}
        taken = {
            o["id"]: (o["payment_intent"], o["amount"])
            for k, o in objects
            if k.startswith(("refund", "charge")) and o["id"] not in off
        }
        net = 0
        for cents, credit, intent in paid.values():
            back = min(cents, sum(amount for of, amount in taken.values() if of == intent))
            net += credit - credit * back // cents
        return net


@pytest.mark.parametrize("seed", range(6))
async def test_any_events_in_any_order_ten_times_each_come_to_the_same(till: Till, seed: int) -> None:
    dice = random.Random(seed)
    for first in (True, False):
        account = till if first else await till.another_account()
        story = Story(account, dice, f"s{seed}{first}")
        await story.build()
        heard = [one for one in story.events if dice.random() < 0.85]
        repeated = heard * 10
        dice.shuffle(repeated)
        while repeated:
            now, repeated = repeated[:16], repeated[16:]
            await asyncio.gather(*(account.deliver(one) for one in now))
        wallet = await account.wallet()
        assert wallet.balance_nanos - wallet.debt_nanos == Story.expected(heard)
        assert wallet.debt_nanos == 0 or wallet.balance_nanos == 0
        assert sum(entry.amount_nanos for entry in await account.ledger()) == wallet.balance_nanos
        assert await account.faults() == []
