"""Stripe's API as far as we call it, through its SDK (asynchronous, on httpx).

Every call that makes something carries an idempotency key that is stored before the call: a call whose answer
was lost is repeated with the same key and makes nothing twice (docs.stripe.com/api/idempotent_requests).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.billing.stripe.settings import CURRENCY
from kit.errors import PaymentRequired, UpstreamFailed, UpstreamUnavailable

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

TIMEOUT_S = 20.0
NETWORK_RETRIES = 2


class Declined(PaymentRequired):
    """The customer's bank, or Stripe, refused the payment. ``reason`` is Stripe's decline code."""

    code = "payment_declined"

    def __init__(self, reason: str, *, advice: str | None = None) -> None:
        super().__init__(f"the payment was declined: {reason}", details={"decline_code": reason})
        self.reason = reason
        self.advice = advice


class StripeUnreachable(UpstreamUnavailable):
    """Stripe did not answer, or could not: what was asked for may or may not have happened."""

    code = "stripe_unreachable"


class StripeRefused(UpstreamFailed):
    """Stripe understood and said no: a price it does not know, a payment method that is gone, …"""

    code = "stripe_refused"


class KeyRefused(UpstreamFailed):
    """Stripe does not know the operator's key, or the key may not do this."""

    code = "stripe_key_refused"


@dataclass(frozen=True, slots=True)
class HostedPage:
    """A page at Stripe that the customer is sent to. ``expires_at`` in Unix milliseconds."""

    id: str
    url: str
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What became of a payment intent: ``succeeded``, ``processing``, ``requires_action``, …"""

    payment_intent: str
    status: str
    received_cents: int
    currency: str


class StripeApi:
    """One client per process; ``close`` it. Raises Declined, StripeUnreachable, StripeRefused, KeyRefused."""

    def __init__(self, secret_key: str, *, api_url: str | None = None) -> None:
        import stripe  # most of a second: only installations that take payments pay for it

        self._http = stripe.HTTPXClient(timeout=TIMEOUT_S)
        self._client = stripe.StripeClient(
            secret_key,
            http_client=self._http,
            max_network_retries=NETWORK_RETRIES,
            base_addresses={"api": api_url} if api_url is not None else {},
        )

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def create_customer(self, account_id: str) -> str:
        """The id of the account's new customer; the same one if this is repeated within a day."""
        with _translated():
            customer = await self._client.v1.customers.create_async(
                {"metadata": {"heddle_account": account_id}},
                {"idempotency_key": f"heddle-customer-{account_id}"},
            )
        return customer.id

    async def create_checkout(self, params: "SessionCreateParams", *, key: str) -> HostedPage:
        with _translated():
            session = await self._client.v1.checkout.sessions.create_async(params, {"idempotency_key": key})
        if session.url is None:
            raise StripeRefused("Stripe made a checkout without a page to send the customer to")
        return HostedPage(session.id, session.url, session.expires_at * 1000)

    async def create_portal(self, customer_id: str, return_url: str) -> HostedPage:
        """The page where the customer changes cards and plans, cancels, and finds receipts."""
        with _translated():
            session = await self._client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url}
            )
        return HostedPage(session.id, session.url)

    async def saved_payment_method(self, customer_id: str) -> str | None:
        """The customer's default payment method, else the newest saved one."""
        with _translated():
            customer = await self._client.v1.customers.retrieve_async(customer_id)
            if getattr(customer, "deleted", False):  # there is no such field while it lives
                return None
            invoices = customer.invoice_settings
            default = invoices.default_payment_method if invoices is not None else None
            if isinstance(default, str):
                return default
            saved = await self._client.v1.customers.payment_methods.list_async(customer_id, {"limit": 1})
        return saved.data[0].id if saved.data else None

    async def charge(
        self, *, customer_id: str, payment_method: str, cents: int, metadata: dict[str, str], key: str
    ) -> Charge:
        """Charge a saved payment method while nobody is there to confirm it. Raises Declined."""
        with _translated():
            intent = await self._client.v1.payment_intents.create_async(
                {
                    "amount": cents,
                    "currency": CURRENCY,
                    "customer": customer_id,
                    "payment_method": payment_method,
                    # Nobody is there to be sent to another page, which Stripe would ask a return_url for.
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "off_session": True,
                    "confirm": True,
                    "metadata": metadata,
                },
                {"idempotency_key": key},
            )
        return Charge(intent.id, intent.status, intent.amount_received, intent.currency)


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the SDK as ours. Their messages hold no secret: Stripe masks the key it complains of."""
    import stripe

    try:
        yield
    except stripe.CardError as error:
        told: Any = error.error
        reason = (told.decline_code or told.code) if told is not None else error.code
        advice = told.advice_code if told is not None else None
        raise Declined(reason or "card_declined", advice=advice) from error
    except (stripe.APIConnectionError, stripe.RateLimitError, stripe.IdempotencyError) as error:
        raise StripeUnreachable("Stripe cannot be reached right now; try again") from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise KeyRefused("Stripe does not accept the key in HEDDLE_STRIPE_SECRET_KEY for this") from error
    except stripe.InvalidRequestError as error:
        raise StripeRefused(f"Stripe refused: {error.user_message}") from error
    except stripe.StripeError as error:
        raise StripeUnreachable(f"Stripe failed (status {error.http_status}); try again") from error
