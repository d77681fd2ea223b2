"""The events that matter to us, as far as we read them (docs.stripe.com/api/events/types).

Shapes of API version 2025-03-31.basil and later: an invoice's subscription is its ``parent``, and its
payments are events of their own. An endpoint keeps the version that it was made with; older shapes are
refused, because what they lack could not be told from what does not concern us.
"""

from typing import Any

import msgspec

from kit.errors import InvalidRequest
from kit.json import NOT_JSON

OLDEST_VERSION = "2025-03-31"


class BadEvent(InvalidRequest):
    """A signed event that does not look as Stripe documents it."""

    code = "bad_stripe_event"


class CheckoutSession(msgspec.Struct):
    id: str
    mode: str
    payment_status: str
    customer: str | None = None
    payment_intent: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    metadata: dict[str, str] | None = None


class PaymentError(msgspec.Struct):
    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None


class PaymentIntent(msgspec.Struct):
    id: str
    status: str
    currency: str
    amount_received: int = 0
    last_payment_error: PaymentError | None = None
    metadata: dict[str, str] | None = None


class Refund(msgspec.Struct):
    id: str
    amount: int
    currency: str
    status: str | None = None
    payment_intent: str | None = None


class Dispute(msgspec.Struct):
    id: str
    amount: int
    currency: str
    status: str
    payment_intent: str | None = None


class SubscriptionDetails(msgspec.Struct):
    subscription: str
    metadata: dict[str, str] | None = None


class InvoiceParent(msgspec.Struct):
    subscription_details: SubscriptionDetails | None = None


class PriceDetails(msgspec.Struct):
    price: str


class Pricing(msgspec.Struct):
    price_details: PriceDetails | None = None


class InvoiceItemDetails(msgspec.Struct):
    proration: bool = False


class LineParent(msgspec.Struct):
    subscription_item_details: dict[str, Any] | None = None
    invoice_item_details: InvoiceItemDetails | None = None


class InvoiceLine(msgspec.Struct):
    """``amount`` is negative for the unused rest of a plan that was changed within its month."""

    id: str
    amount: int
    currency: str
    pricing: Pricing | None = None
    parent: LineParent | None = None

    @property
    def is_of_a_plan(self) -> bool:
        """Whether a subscription made this line, and not somebody who added an item by hand."""
        if self.parent is None:
            return False
        item = self.parent.invoice_item_details
        return self.parent.subscription_item_details is not None or (item is not None and item.proration)

    @property
    def price(self) -> str | None:
        details = self.pricing.price_details if self.pricing is not None else None
        return details.price if details is not None else None


class InvoiceLines(msgspec.Struct):
    data: list[InvoiceLine]
    has_more: bool = False


class Invoice(msgspec.Struct):
    id: str
    currency: str
    amount_paid: int
    lines: InvoiceLines
    customer: str | None = None
    parent: InvoiceParent | None = None


class PaidBy(msgspec.Struct):
    payment_intent: str | None = None


class InvoicePayment(msgspec.Struct):
    id: str
    invoice: str
    payment: PaidBy


class Price(msgspec.Struct):
    id: str


class SubscriptionItem(msgspec.Struct):
    current_period_start: int | None = None
    current_period_end: int | None = None
    price: Price | None = None


class SubscriptionItems(msgspec.Struct):
    data: list[SubscriptionItem]


class Subscription(msgspec.Struct):
    id: str
    status: str
    customer: str
    items: SubscriptionItems
    cancel_at_period_end: bool = False
    cancel_at: int | None = None
    created: int = 0
    metadata: dict[str, str] | None = None


StripeObject = CheckoutSession | PaymentIntent | Refund | Dispute | Invoice | InvoicePayment | Subscription

HANDLED: dict[str, type[Any]] = {
    "checkout.session.completed": CheckoutSession,
    "checkout.session.async_payment_succeeded": CheckoutSession,
    "checkout.session.async_payment_failed": CheckoutSession,
    "checkout.session.expired": CheckoutSession,
    "payment_intent.succeeded": PaymentIntent,
    "payment_intent.payment_failed": PaymentIntent,
    "payment_intent.canceled": PaymentIntent,
    "refund.created": Refund,
    "refund.updated": Refund,
    "refund.failed": Refund,
    "charge.dispute.created": Dispute,
    "charge.dispute.updated": Dispute,
    "charge.dispute.closed": Dispute,
    "charge.dispute.funds_withdrawn": Dispute,
    "charge.dispute.funds_reinstated": Dispute,
    "invoice.paid": Invoice,
    "invoice_payment.paid": InvoicePayment,
    "customer.subscription.created": Subscription,
    "customer.subscription.updated": Subscription,
    "customer.subscription.deleted": Subscription,
    "customer.subscription.paused": Subscription,
    "customer.subscription.resumed": Subscription,
}


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Envelope(msgspec.Struct):
    id: str
    type: str
    created: int
    data: _Data
    api_version: str | None = None


class Event(msgspec.Struct, frozen=True):
    """An event of a handled type. ``created_ms``: when Stripe made it."""

    id: str
    type: str
    created_ms: int
    object: StripeObject | None
    """None for a type that does not concern us."""


def parse_event(body: bytes) -> Event:
    """Read a verified body. Raises BadEvent naming what is missing."""
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
        kind = HANDLED.get(envelope.type)
        if kind is not None:
            _check_version(envelope.api_version)
        found = None if kind is None else msgspec.json.decode(envelope.data.object, type=kind)
    except msgspec.ValidationError as error:
        raise BadEvent(f"the event is not as Stripe documents it: {error}") from None
    except NOT_JSON as error:
        raise BadEvent(f"the body is not JSON: {error}") from None
    return Event(envelope.id, envelope.type, envelope.created * 1000, found)


def _check_version(version: str | None) -> None:
    if version is not None and version[:10] < OLDEST_VERSION:
        raise BadEvent(
            f"the webhook endpoint has API version {version[:40]}: make it anew with {OLDEST_VERSION}.basil "
            "or later, or its invoices and refunds cannot be understood"
        )
