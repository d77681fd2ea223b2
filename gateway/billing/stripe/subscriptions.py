"""Monthly plans: what a paid invoice allows, and subscriptions mirrored from their events.

The allowance of an invoice is worked out line by line: a line of a plan gives ``allowance * amount / price``.
So a whole month gives the allowance, a trial nothing, and a change of plan within the month the difference of
what is left of both (Stripe's proration lines, one of them negative). Allowances that are not used stay.
"""

import logging
from typing import Any

from sqlmodel import Session, col, select

from gateway.billing.stripe.events import Event, Invoice, InvoiceLine, Subscription
from gateway.billing.stripe.models import StripeSubscription
from gateway.billing.stripe.payments import Payment
from gateway.billing.stripe.settings import CURRENCY, Plan, StripeSettings
from kit.db import Database, one_at_a_time
from kit.money import Nanos

logger = logging.getLogger("heddle.stripe")

ENDED = frozenset({"canceled", "incomplete_expired"})
PLAN, PRICE, CENTS, NANOS = "heddle_plan", "heddle_price", "heddle_price_cents", "heddle_allowance_nanos"


def plan_metadata(name: str, plan: Plan) -> dict[str, str]:
    """What a subscription remembers at Stripe of the plan it was sold as; every invoice repeats it."""
    return {
        PLAN: name,
        PRICE: plan.stripe_price or "",
        CENTS: str(plan.price_cents),
        NANOS: str(plan.allowance_nanos),
    }


def payment_of(invoice: Invoice, account_id: str, settings: StripeSettings) -> Payment | None:
    """What a paid invoice credits; None if no subscription made it or it is not in USD."""
    details = invoice.parent.subscription_details if invoice.parent is not None else None
    if details is None or invoice.currency != CURRENCY:
        return None
    if invoice.lines.has_more:
        logger.error("invoice %s has more lines than its event shows; those are not credited", invoice.id)
    metadata = details.metadata or {}
    credit = sum(_allowance(line, metadata, settings) for line in invoice.lines.data)
    plan = metadata.get(PLAN, "?")
    return Payment(
        id=invoice.id,
        account_id=account_id,
        kind="subscription",
        paid_cents=invoice.amount_paid,
        credit=Nanos(credit),
        reference=f"allowance of plan {plan}, invoice {invoice.id}",
    )


def _allowance(line: InvoiceLine, metadata: dict[str, str], settings: StripeSettings) -> int:
    """In nanos, rounded down; negative for a negative line."""
    plan = settings.plan_at(line.price)
    if plan is not None:
        return _part(plan.allowance_nanos, line.amount, plan.price_cents)
    cents, nanos = metadata.get(CENTS, ""), metadata.get(NANOS, "")
    sold_at = metadata.get(PRICE, "")
    sold_here = cents.isdecimal() and int(cents) > 0 and nanos.isdecimal()
    if sold_here and line.is_of_a_plan and sold_at in {"", line.price}:
        return _part(int(nanos), line.amount, int(cents))
    logger.error("line %s of an invoice is of no plan in the settings; it credits nothing", line.id)
    return 0


def _part(allowance: int, amount: int, price: int) -> int:
    return allowance * amount // price


def plan_of(found: Subscription, settings: StripeSettings) -> str | None:
    """The name of the plan that is subscribed to now, which may not be the one that was sold."""
    price = found.items.data[0].price if found.items.data else None
    for name, plan in settings.plans.items():
        if price is not None and plan.stripe_price == price.id:
            return name
    return (found.metadata or {}).get(PLAN)


def mirror(
    session: Session, event: Event, found: Subscription, account_id: str, plan: str | None, now_ms: int
) -> bool:
    """Keep the newest news of a subscription; False if it is old. An ended one stays ended."""
    one_at_a_time(session.connection(), f"stripe {found.id}")
    row = session.get(StripeSubscription, found.id)
    ended = found.status in ENDED or event.type == "customer.subscription.deleted"
    if row is not None and (ended, event.created_ms, event.id) <= (
        row.ended,
        row.event_created_at,
        row.event_id,
    ):
        return False
    item = found.items.data[0] if found.items.data else None
    start, end = (item.current_period_start, item.current_period_end) if item is not None else (None, None)
    values: dict[str, Any] = {
        "plan": plan,
        "status": found.status,
        "cancel_at_period_end": found.cancel_at_period_end or found.cancel_at is not None,
        "period_start": None if start is None else start * 1000,
        "period_end": None if end is None else end * 1000,
        "ended": ended,
        "event_created_at": event.created_ms,
        "event_id": event.id,
    }
    if row is None:
        row = StripeSubscription(
            id=found.id, account_id=account_id, created_at=found.created * 1000 or now_ms, **values
        )
    row.sqlmodel_update(values)
    session.add(row)
    session.flush()
    return True


async def current_subscription(db: Database, account_id: str) -> StripeSubscription | None:
    """The account's newest subscription that has not ended."""
    query = select(StripeSubscription).where(
        StripeSubscription.account_id == account_id, col(StripeSubscription.ended).is_(False)
    )
    query = query.order_by(col(StripeSubscription.created_at).desc(), col(StripeSubscription.id))
    async with db.session() as session:
        return (await session.exec(query.limit(1))).first()
