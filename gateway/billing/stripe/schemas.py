"""JSON shapes of the payment routes."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, model_validator

from gateway.billing.amounts import AmountUsd
from gateway.billing.stripe.auto_top_up import Rule
from gateway.billing.stripe.checkout import Order
from gateway.billing.stripe.models import AutoTopUp, StripeCheckout, StripeSubscription
from gateway.billing.stripe.settings import CURRENCY, StripeSettings, WebAddress, cents_of, usd_of
from kit.money import nanos_from_usd, usd_text
from kit.request_body import RequestBody

OfferName = Annotated[str, Field(min_length=1, max_length=200)]


class BeginCheckout(RequestBody):
    amount_usd: AmountUsd | None = None
    pack: OfferName | None = None
    plan: OfferName | None = None
    save_payment_method: bool = False
    success_url: WebAddress | None = None
    cancel_url: WebAddress | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> "BeginCheckout":
        if sum(value is not None for value in (self.amount_usd, self.pack, self.plan)) != 1:
            raise ValueError("expected exactly one of amount_usd, pack and plan")
        return self

    @property
    def order(self) -> Order:
        return Order(**self.model_dump())


class SetAutoTopUp(RequestBody):
    threshold_usd: AmountUsd
    amount_usd: AmountUsd
    monthly_limit_usd: AmountUsd | None = None

    def rule(self, settings: StripeSettings) -> Rule:
        """Raises ValueError naming the field and what was expected."""
        least, most = settings.min_usd, settings.max_usd
        if not least <= self.amount_usd <= most:
            raise ValueError(f"amount_usd must be between {least} and {most}, got {self.amount_usd}")
        if self.monthly_limit_usd is not None and self.monthly_limit_usd < self.amount_usd:
            raise ValueError("monthly_limit_usd must not be less than amount_usd: nothing could be paid")
        limit = self.monthly_limit_usd
        return Rule(
            nanos_from_usd(self.threshold_usd),
            _cents(self.amount_usd, "amount_usd"),
            None if limit is None else _cents(limit, "monthly_limit_usd"),
        )


class OpenPortal(RequestBody):
    return_url: WebAddress | None = None


def _cents(usd: Decimal, name: str) -> int:
    try:
        return cents_of(usd)
    except ValueError as error:
        raise ValueError(f"{name} {error}, got {usd}") from None


def render_checkout(row: StripeCheckout) -> dict[str, Any]:
    return {
        "id": row.id,
        "object": "checkout",
        "url": row.url,
        "status": row.status,
        "mode": row.mode,
        "offer": row.offer,
        "currency": CURRENCY,
        "amount_usd": usd_of(row.amount_cents),
        "credit_usd": usd_text(row.credit_nanos),
        "expires_at": row.expires_at,
        "created_at": row.created_at,
    }


def render_subscription(row: StripeSubscription | None) -> dict[str, Any]:
    if row is None:
        return {"object": "subscription", "status": "none", "plan": None}
    return {
        "id": row.id,
        "object": "subscription",
        "status": row.status,
        "plan": row.plan,
        "cancel_at_period_end": row.cancel_at_period_end,
        "period_start": row.period_start,
        "period_end": row.period_end,
        "created_at": row.created_at,
    }


def render_auto_top_up(row: AutoTopUp | None) -> dict[str, Any]:
    if row is None:
        return {"object": "auto_top_up", "enabled": False}
    limit = row.monthly_limit_cents
    return {
        "object": "auto_top_up",
        "enabled": row.enabled,
        "off_reason": row.off_reason,
        "threshold_usd": usd_text(row.threshold_nanos),
        "amount_usd": usd_of(row.amount_cents),
        "monthly_limit_usd": None if limit is None else usd_of(limit),
        "under_way": row.attempt_id is not None,
        "failures": row.failures,
        "next_attempt_at": row.next_attempt_at or None,
        "updated_at": row.updated_at,
    }


def render_offers(settings: StripeSettings) -> dict[str, Any]:
    """What can be bought."""
    return {
        "object": "offers",
        "currency": CURRENCY,
        "min_usd": usd_of(cents_of(settings.min_usd)),
        "max_usd": usd_of(cents_of(settings.max_usd)),
        "packs": [
            {
                "name": name,
                "title": pack.title or name,
                "price_usd": usd_of(pack.price_cents),
                "credit_usd": usd_text(pack.credit_nanos),
            }
            for name, pack in settings.packs.items()
        ],
        "plans": [
            {
                "name": name,
                "title": plan.title or name,
                "price_usd": usd_of(plan.price_cents),
                "allowance_usd": usd_text(plan.allowance_nanos),
                "interval": "month",
            }
            for name, plan in settings.plans.items()
        ],
    }
