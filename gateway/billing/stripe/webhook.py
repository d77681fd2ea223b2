"""Events from Stripe: verified, then applied together with the record that they were.

Invariant: an event is applied once. Its row is inserted first; of the same event twenty times at once one
inserts, the others wait for its commit and find it there. An event that fails leaves nothing, and Stripe
sends it again. What an event does is safe to repeat under another event's id, too (see ``payments``).
"""

import logging

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from gateway.billing.stripe import auto_top_up
from gateway.billing.stripe.checkout import apply_checkout
from gateway.billing.stripe.customers import account_of
from gateway.billing.stripe.events import (
    CheckoutSession,
    Dispute,
    Event,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    Refund,
    Subscription,
    parse_event,
)
from gateway.billing.stripe.models import StripeEvent
from gateway.billing.stripe.payments import (
    Reversal,
    record_invoice_payment,
    record_payment,
    record_reversal,
)
from gateway.billing.stripe.settings import CURRENCY, StripeSettings
from gateway.billing.stripe.signature import verify_signature
from gateway.billing.stripe.subscriptions import mirror, payment_of, plan_of
from kit.clock import Clock
from kit.crash_points import reach
from kit.db import Database

logger = logging.getLogger("heddle.stripe")

REFUND_IS_OFF = frozenset({"failed", "canceled"})
DISPUTE_TAKES = frozenset(
    {"needs_response", "under_review", "lost", "appeal_needs_response", "appeal_under_review"}
)
"""Statuses of a dispute whose money is gone. Inquiries (``warning_…``) and ``prevented`` ones take none."""


class StripeWebhook:
    def __init__(
        self, db: Database, clock: Clock, settings: StripeSettings, *, secrets: tuple[str, ...]
    ) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._secrets = secrets

    async def receive(self, body: bytes, signature: str | None) -> str:
        """Apply an event; returns ``applied``, ``replayed`` or ``ignored``: to Stripe they all mean yes.

        Raises BadSignature, BadEvent.
        """
        verify_signature(body, signature, self._secrets, self._clock.now_ms())
        event = parse_event(body)
        if event.object is None:
            return "ignored"
        outcome = await self._db.write(lambda session: self._apply(session, event))
        reach("stripe.event.committed")
        logger.info("%s %s: %s", event.type, event.id, outcome)
        return outcome

    def _apply(self, session: Session, event: Event) -> str:
        now = self._clock.now_ms()
        if not _is_first(session, event, now):
            return "replayed"
        account_id, outcome = self._dispatch(session, event, now)
        row = session.get(StripeEvent, event.id)
        assert row is not None
        row.account_id, row.outcome = account_id, outcome
        session.add(row)
        session.flush()
        reach("stripe.event.applied")
        return outcome

    def _dispatch(self, session: Session, event: Event, now: int) -> tuple[str | None, str]:
        """The account that an event was about, and what it did."""
        found = event.object
        account: str | None = None
        if isinstance(found, CheckoutSession):
            account = apply_checkout(session, event.type, found, now)
        elif isinstance(found, PaymentIntent):
            account = _apply_intent(session, event.type, found, now)
        elif isinstance(found, Invoice):
            account = self._apply_invoice(session, found, now)
        elif isinstance(found, Subscription):
            account = account_of(session, found.customer)
            if account is not None:
                mirror(session, event, found, account, plan_of(found, self._settings), now)
        elif isinstance(found, InvoicePayment):
            intent = found.payment.payment_intent
            if intent is not None:
                record_invoice_payment(session, intent, found.invoice, now)
                return None, "applied"
        elif isinstance(found, Refund | Dispute):
            reversal = _reversal(event.type, found)
            if reversal is not None:
                record_reversal(session, reversal, now)
                return None, "applied"
        return account, "ignored" if account is None else "applied"

    def _apply_invoice(self, session: Session, found: Invoice, now: int) -> str | None:
        account_id = account_of(session, found.customer)
        if account_id is None:
            return None
        payment = payment_of(found, account_id, self._settings)
        if payment is None:
            return None
        record_payment(session, payment, now)
        return account_id


def _is_first(session: Session, event: Event, now_ms: int) -> bool:
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(StripeEvent).values(
        id=event.id, type=event.type, outcome="", event_created_at=event.created_ms, received_at=now_ms
    )
    inserted = statement.on_conflict_do_nothing().returning(col(StripeEvent.id))
    return connection.execute(inserted).first() is not None


def _apply_intent(session: Session, event_type: str, found: PaymentIntent, now_ms: int) -> str | None:
    """Only automatic top-ups are told of by payment intents; checkouts have events of their own."""
    attempt_id = (found.metadata or {}).get(auto_top_up.ATTEMPT)
    if attempt_id is None:
        return None
    if event_type == "payment_intent.succeeded":
        cents = found.amount_received
        return auto_top_up.succeed(session, attempt_id, found.id, cents, found.currency, now_ms)
    error = found.last_payment_error
    reason = (error.decline_code or error.code if error is not None else None) or found.status
    passing = auto_top_up.is_passing(reason, error.advice_code if error is not None else None)
    return auto_top_up.refuse(session, attempt_id, reason, passing=passing, now_ms=now_ms)


def _reversal(event_type: str, found: Refund | Dispute) -> Reversal | None:
    """What a refund or dispute means for the wallet; None if nothing."""
    if found.payment_intent is None or found.currency != CURRENCY:
        return None
    if isinstance(found, Refund):
        active, kind = found.status not in REFUND_IS_OFF and event_type != "refund.failed", "refund"
    elif found.status == "won" or event_type.endswith("funds_reinstated"):
        active, kind = False, "dispute"
    elif found.status in DISPUTE_TAKES or event_type.endswith("funds_withdrawn"):
        active, kind = True, "dispute"
    else:
        return None
    return Reversal(found.id, kind, found.payment_intent, found.amount, active)
