"""Payments, refunds and disputes as movements of the wallet.

Each function here runs inside the transaction of the event that brought the news. Invariants:
- a payment is credited once, under the entry ``stripe:<payment>``;
- what is taken back of it is always ``credit * min(paid, reversed) / paid``, where ``reversed`` is the sum of
  its active refunds and disputes: so neither their order nor a payment that is heard of last matters;
- a reversal takes under ``stripe:<refund or dispute>`` and returns under ``stripe:<…>:returned``, once each.

The news of one payment intent are applied one at a time (an advisory lock on PostgreSQL), because a refund
that arrives before its payment finds no row to lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from gateway.billing.batch import move
from gateway.billing.operations import Credit, Debit
from gateway.billing.stripe.models import StripeInvoicePayment, StripePayment, StripeReversal
from gateway.billing.stripe.settings import usd_of
from kit.db import one_at_a_time
from kit.money import Nanos

LEDGER_KIND = {"refund": "refund", "dispute": "adjustment"}


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that Stripe received for an account. A negative credit is an allowance that shrank."""

    id: str
    account_id: str
    kind: str
    paid_cents: int
    credit: Nanos
    reference: str


@dataclass(frozen=True, slots=True)
class Reversal:
    """A refund or dispute as an event states it. ``active``: the money is gone (or about to go)."""

    id: str
    kind: str
    payment_intent: str
    amount_cents: int
    active: bool


def record_payment(session: Session, payment: Payment, now_ms: int) -> bool:
    """Credit a payment, and take back what was reversed before we heard of it. False if it was known."""
    _one_at_a_time(session, payment.id)
    if session.get(StripePayment, payment.id) is not None:
        return False
    row = StripePayment(
        id=payment.id,
        account_id=payment.account_id,
        kind=payment.kind,
        paid_cents=payment.paid_cents,
        credit_nanos=payment.credit,
        created_at=now_ms,
    )
    session.add(row)
    session.flush()
    entry, reference = f"stripe:{payment.id}", payment.reference
    if payment.credit > 0:
        move(session, [Credit(row.account_id, entry, "topup", payment.credit, reference, now_ms)])
    elif payment.credit < 0:
        shrunk = Nanos(-payment.credit)
        move(session, [Debit(row.account_id, entry, "adjustment", shrunk, reference, now_ms)])
    intents = _intents_of(session, row)
    for intent in intents:
        _one_at_a_time(session, intent)
    _rebalance(session, row, [one for one in _reversals(session, intents) if one.active], now_ms)
    return True


def record_reversal(session: Session, reversal: Reversal, now_ms: int) -> bool:
    """Take a refund or dispute out of the wallet, or give it back. False if nothing was new."""
    _one_at_a_time(session, reversal.payment_intent)
    row = session.get(StripeReversal, reversal.id)
    if row is None:
        row = StripeReversal(
            id=reversal.id,
            kind=reversal.kind,
            payment_intent=reversal.payment_intent,
            amount_cents=reversal.amount_cents,
            active=reversal.active,
            created_at=now_ms,
        )
    elif row.active and not reversal.active:
        row.active = False
    else:
        return False
    session.add(row)
    session.flush()
    payment = _payment_of(session, reversal.payment_intent)
    if payment is not None:
        _rebalance(session, payment, [row], now_ms)
    return True


def record_invoice_payment(session: Session, payment_intent: str, invoice_id: str, now_ms: int) -> bool:
    """Learn which invoice a payment intent paid, and take back what was reversed of it before."""
    _one_at_a_time(session, invoice_id)
    _one_at_a_time(session, payment_intent)
    if session.get(StripeInvoicePayment, payment_intent) is not None:
        return False
    link = StripeInvoicePayment(payment_intent=payment_intent, invoice_id=invoice_id, created_at=now_ms)
    session.add(link)
    session.flush()
    payment = _payment_of(session, payment_intent)
    if payment is not None:
        link.account_id = payment.account_id
        early = [one for one in _reversals(session, [payment_intent]) if one.active]
        _rebalance(session, payment, early, now_ms)
    return True


def _rebalance(
    session: Session, payment: StripePayment, changed: Sequence[StripeReversal], now_ms: int
) -> None:
    """Bring what is taken back of a payment to what its reversals ask for, naming each that changed it."""
    ids = {one.id for one in changed}
    every = _reversals(session, _intents_of(session, payment))
    reversed_cents = sum(one.amount_cents for one in every if one.active and one.id not in ids)
    for one in changed:
        one.account_id = payment.account_id
        if one.active:
            reversed_cents += one.amount_cents
        _move_to(session, payment, _share(payment, reversed_cents), one, now_ms)
    session.flush()


def _share(payment: StripePayment, reversed_cents: int) -> int:
    """How much of a payment's credit goes with ``reversed_cents`` of what was paid for it, in nanos."""
    if payment.paid_cents <= 0 or payment.credit_nanos <= 0:
        return 0
    return payment.credit_nanos * min(payment.paid_cents, reversed_cents) // payment.paid_cents


def _move_to(
    session: Session, payment: StripePayment, target: int, because: StripeReversal, now_ms: int
) -> None:
    difference = target - payment.taken_back_nanos
    payment.taken_back_nanos = target
    account, kind, entry = payment.account_id, LEDGER_KIND[because.kind], f"stripe:{because.id}"
    told = f"{because.kind} {because.id} of {payment.id} ({usd_of(because.amount_cents)} USD)"
    if difference > 0:
        move(session, [Debit(account, entry, kind, Nanos(difference), told, now_ms)])
    elif difference < 0:
        back = Nanos(-difference)
        move(session, [Credit(account, f"{entry}:returned", kind, back, f"returned: {told}", now_ms)])


def _payment_of(session: Session, payment_intent: str) -> StripePayment | None:
    """The payment, locked, that a payment intent is (or whose invoice it paid)."""
    link = session.get(StripeInvoicePayment, payment_intent)
    payment_id = link.invoice_id if link is not None else payment_intent
    return session.get(StripePayment, payment_id, with_for_update=True)


def _intents_of(session: Session, payment: StripePayment) -> list[str]:
    query = select(StripeInvoicePayment.payment_intent).where(StripeInvoicePayment.invoice_id == payment.id)
    return [payment.id, *sorted(session.exec(query))]


def _reversals(session: Session, payment_intents: list[str]) -> list[StripeReversal]:
    query = select(StripeReversal).where(col(StripeReversal.payment_intent).in_(payment_intents))
    return list(session.exec(query.order_by(col(StripeReversal.id))))


def _one_at_a_time(session: Session, stripe_id: str) -> None:
    one_at_a_time(session.connection(), f"stripe {stripe_id}")
