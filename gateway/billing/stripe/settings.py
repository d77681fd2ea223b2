"""What an operator sets for payments: ``[stripe]`` in heddle.toml. The secrets are settings of their own."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kit.money import NANOS_PER_USD, Nanos, nanos_from_usd

CURRENCY = "usd"
"""Wallets are in USD; a payment in any other currency is never credited."""
NANOS_PER_CENT = NANOS_PER_USD // 100
STRIPE_MAX_USD = Decimal("999999.99")
"""Stripe takes at most eight digits of cents, and 50 cents at least (docs.stripe.com/currencies)."""
STRIPE_MIN_USD = Decimal("0.50")


def cents_of(usd: Decimal) -> int:
    """Whole cents. Raises ValueError if there is a fraction of a cent."""
    cents = usd * 100
    if cents != cents.to_integral_value():
        raise ValueError("must be whole cents")
    return int(cents)


def nanos_of(cents: int) -> Nanos:
    return Nanos(cents * NANOS_PER_CENT)


def usd_of(cents: int) -> str:
    """Cents as a decimal string of USD: ``1050`` is ``10.50``."""
    return f"{cents // 100}.{cents % 100:02d}"


def _whole_cents(usd: Decimal) -> Decimal:
    cents_of(usd)
    return usd


def _web_address(url: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+\S*", url):
        raise ValueError("expected an address such as https://app.example.com/paid")
    return url


PriceUsd = Annotated[
    Decimal,
    Field(ge=STRIPE_MIN_USD, le=STRIPE_MAX_USD, allow_inf_nan=False),
    AfterValidator(_whole_cents),
]
CreditUsd = Annotated[Decimal, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
WebAddress = Annotated[str, Field(max_length=2000), AfterValidator(_web_address)]


class Offer(BaseModel):
    """Something to buy at a fixed price. ``stripe_price``: the price's id at Stripe, of the same amount;
    without one the price is named in each checkout."""

    model_config = ConfigDict(extra="forbid")

    title: str | None = Field(default=None, min_length=1, max_length=200)
    price_usd: PriceUsd
    stripe_price: str | None = Field(default=None, pattern=r"^price_\w+$")

    @property
    def price_cents(self) -> int:
        return cents_of(self.price_usd)


class Pack(Offer):
    """A one-time purchase of credit: ``[stripe.packs.<name>]``."""

    credit_usd: CreditUsd

    @property
    def credit_nanos(self) -> Nanos:
        return nanos_from_usd(self.credit_usd)


class Plan(Offer):
    """A monthly subscription: ``[stripe.plans.<name>]``. Each paid month credits the allowance."""

    allowance_usd: CreditUsd

    @property
    def allowance_nanos(self) -> Nanos:
        return nanos_from_usd(self.allowance_usd)


class StripeSettings(BaseModel):
    """``[stripe]``. ``api_url`` is for tests: where Stripe's API is instead of ``https://api.stripe.com``."""

    model_config = ConfigDict(extra="forbid")

    min_usd: PriceUsd = Decimal(5)
    max_usd: PriceUsd = Decimal(10_000)
    success_url: WebAddress | None = None
    cancel_url: WebAddress | None = None
    packs: dict[str, Pack] = Field(default_factory=dict)
    plans: dict[str, Plan] = Field(default_factory=dict)
    api_url: WebAddress | None = None

    def plan_at(self, stripe_price: str | None) -> Plan | None:
        """The plan that is sold at this price of Stripe's."""
        if stripe_price is None:
            return None
        return next((plan for plan in self.plans.values() if plan.stripe_price == stripe_price), None)
