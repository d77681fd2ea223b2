"""Checkout: from an amount, a pack or a plan to a page at Stripe, and back by event.

Invariant: what a checkout costs and gives is stored before Stripe hears of it, and its id travels in the
session's metadata; so its event finds the row, however early it arrives and whatever the settings say then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from sqlmodel import Session

from gateway.billing.stripe.api import HostedPage, StripeApi
from gateway.billing.stripe.customers import Customers, account_of
from gateway.billing.stripe.events import CheckoutSession
from gateway.billing.stripe.models import StripeCheckout
from gateway.billing.stripe.payments import Payment, record_payment
from gateway.billing.stripe.settings import CURRENCY, Offer, StripeSettings, cents_of, nanos_of, usd_of
from gateway.billing.stripe.subscriptions import current_subscription, plan_metadata
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, InvalidRequest, NotFound
from kit.ids import new_id
from kit.money import Nanos

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

OfferT = TypeVar("OfferT", bound=Offer)

CHECKOUT = "heddle_checkout"
ACCOUNT = "heddle_account"
STAGES = ("creating", "open", "processing", "expired", "failed", "paid")
"""Statuses in the order in which one may follow another; late news of an earlier one changes nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants to pay for: exactly one of amount, pack and plan."""

    amount_usd: Decimal | None = None
    pack: str | None = None
    plan: str | None = None
    save_payment_method: bool = False
    success_url: str | None = None
    cancel_url: str | None = None


class Checkouts:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        api: StripeApi,
        customers: Customers,
        settings: StripeSettings,
        *,
        public_url: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._api = api
        self._customers = customers
        self._settings = settings
        self._success_url = settings.success_url or f"{public_url}/billing/paid"
        self._cancel_url = settings.cancel_url or f"{public_url}/billing/cancelled"

    async def begin(self, account_id: str, order: Order) -> StripeCheckout:
        """Make a checkout and its page. Raises InvalidRequest, Conflict, StripeRefused, StripeUnreachable."""
        row = self._row(account_id, order)
        if order.plan is not None and await current_subscription(self._db, account_id) is not None:
            raise Conflict(
                "this account has a subscription: change or cancel it through POST /v1/billing/portal",
                code="already_subscribed",
                param="plan",
            )
        customer = await self._customers.ensure(account_id)
        await self._db.write(lambda session: session.add(row.model_copy()))
        try:
            page = await self._api.create_checkout(self._params(row, order, customer), key=row.id)
        except Exception:
            await self._set(row.id, "failed")
            raise
        return await self._set(row.id, "open", page)

    async def get(self, account_id: str, checkout_id: str) -> StripeCheckout:
        """Raises NotFound unless it is this account's."""
        async with self._db.session() as session:
            row = await session.get(StripeCheckout, checkout_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"checkout {checkout_id} not found")
        return row

    def _row(self, account_id: str, order: Order) -> StripeCheckout:
        settings = self._settings
        mode, name = "payment", None
        if order.pack is not None:
            pack = _offer(settings.packs, order.pack, "pack")
            name, cents, credit = order.pack, pack.price_cents, pack.credit_nanos
        elif order.plan is not None:
            plan = _offer(settings.plans, order.plan, "plan")
            mode, name, cents, credit = "subscription", order.plan, plan.price_cents, plan.allowance_nanos
        else:
            cents = self._amount(order.amount_usd)
            credit = nanos_of(cents)
        return StripeCheckout(
            id=new_id("chk"),
            account_id=account_id,
            mode=mode,
            offer=name,
            amount_cents=cents,
            credit_nanos=credit,
            status="creating",
            created_at=self._clock.now_ms(),
        )

    def _amount(self, usd: Decimal | None) -> int:
        if usd is None:
            raise InvalidRequest("name one of amount_usd, pack and plan", param="amount_usd")
        least, most = self._settings.min_usd, self._settings.max_usd
        if not least <= usd <= most:
            raise InvalidRequest(
                f"amount_usd must be between {least} and {most}, got {usd}",
                code="amount_out_of_range",
                param="amount_usd",
            )
        try:
            return cents_of(usd)
        except ValueError as error:
            raise InvalidRequest(f"amount_usd {error}, got {usd}", param="amount_usd") from None

    def _params(self, row: StripeCheckout, order: Order, customer: str) -> "SessionCreateParams":
        metadata = {CHECKOUT: row.id, ACCOUNT: row.account_id}
        params: SessionCreateParams = {
            "mode": row.mode,
            "customer": customer,
            "client_reference_id": row.id,
            "metadata": metadata,
            "success_url": order.success_url or self._success_url,
            "cancel_url": order.cancel_url or self._cancel_url,
            "line_items": [self._line(row)],
            "adaptive_pricing": {"enabled": False},  # what is paid must be in USD
        }
        if row.mode == "subscription":
            plan = self._settings.plans[str(row.offer)]
            params["subscription_data"] = {"metadata": {**metadata, **plan_metadata(str(row.offer), plan)}}
        else:
            params["payment_intent_data"] = {"metadata": metadata}
            if order.save_payment_method:
                params["payment_intent_data"]["setup_future_usage"] = "off_session"
        return params

    def _line(self, row: StripeCheckout) -> "SessionCreateParamsLineItem":
        offers: dict[str, Offer] = {
            **(self._settings.plans if row.mode == "subscription" else self._settings.packs)
        }
        offer = offers[row.offer] if row.offer is not None else None
        if offer is not None and offer.stripe_price is not None:
            return {"price": offer.stripe_price, "quantity": 1}
        title = (offer.title if offer is not None else None) or row.offer or f"{usd_of(row.amount_cents)} USD"
        line: SessionCreateParamsLineItem = {
            "quantity": 1,
            "price_data": {
                "currency": CURRENCY,
                "unit_amount": row.amount_cents,
                "product_data": {"name": f"Credit: {title}"},
            },
        }
        if row.mode == "subscription":
            line["price_data"]["recurring"] = {"interval": "month"}
        return line

    async def _set(self, checkout_id: str, status: str, page: HostedPage | None = None) -> StripeCheckout:
        def write(session: Session) -> StripeCheckout:
            row = session.get(StripeCheckout, checkout_id, with_for_update=True)
            assert row is not None
            _advance(row, status)
            if page is not None:
                row.session_id, row.url, row.expires_at = page.id, page.url, page.expires_at
            session.add(row)
            return row

        return await self._db.write(write)


def _offer(offers: Mapping[str, OfferT], name: str, kind: str) -> OfferT:
    offer = offers.get(name)
    if offer is None:
        known = ", ".join(sorted(offers)) or "there are none"
        raise InvalidRequest(f"there is no {kind} {name!r}; known: {known}", param=kind)
    return offer


def _advance(row: StripeCheckout, status: str) -> None:
    if STAGES.index(status) > STAGES.index(row.status):
        row.status = status


def apply_checkout(session: Session, event_type: str, found: CheckoutSession, now_ms: int) -> str | None:
    """The account whose checkout this event moved on, after crediting it if it is paid; None if the session
    is not of ours or was not paid in USD."""
    row = session.get(StripeCheckout, (found.metadata or {}).get(CHECKOUT, ""), with_for_update=True)
    if row is None or account_of(session, found.customer) != row.account_id:
        return None
    paid = found.payment_status == "paid" and found.mode == "payment"
    if paid and found.currency != CURRENCY:
        return None
    _advance(row, _status(event_type, found))
    session.add(row)
    session.flush()
    if paid:
        cents = found.amount_total or 0
        credit = row.credit_nanos if cents >= row.amount_cents else nanos_of(cents)
        payment = Payment(
            id=found.payment_intent or found.id,
            account_id=row.account_id,
            kind="checkout",
            paid_cents=cents,
            credit=Nanos(credit),
            reference=f"{row.offer or 'top-up'}, {usd_of(cents)} USD paid, checkout {row.id}",
        )
        record_payment(session, payment, now_ms)
    return row.account_id


def _status(event_type: str, found: CheckoutSession) -> str:
    if found.payment_status in {"paid", "no_payment_required"}:
        return "paid"
    if event_type.endswith(".expired"):
        return "expired"
    return "failed" if event_type.endswith("_failed") else "processing"
