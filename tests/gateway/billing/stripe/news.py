"""Events as Stripe sends them, with only the fields that matter, and really signed."""

import itertools
import json
from typing import Any

from stripe import WebhookSignature

SECRET = "whsec_now"
_NUMBERS = itertools.count(1)
Event = dict[str, Any]


def event(kind: str, found: dict[str, Any], *, created: int = 1_800_000_000) -> Event:
    return {
        "id": f"evt_{next(_NUMBERS)}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": created,
        "livemode": False,
        "type": kind,
        "data": {"object": found},
    }


def signed(body: Event | bytes, now_ms: int, secret: str = SECRET) -> tuple[bytes, str]:
    """The body and its ``Stripe-Signature``, made by Stripe's own SDK."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    header = WebhookSignature.generate_signature_header(raw.decode(), secret, timestamp=now_ms // 1000)
    return raw, str(header)


def session_of(
    checkout_id: str, customer: str, cents: int, *, intent: str, paid: bool = True
) -> dict[str, Any]:
    return {
        "id": f"cs_{checkout_id}",
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "paid" if paid else "unpaid",
        "customer": customer,
        "payment_intent": intent,
        "amount_total": cents,
        "currency": "usd",
        "metadata": {"heddle_checkout": checkout_id},
    }


def refund(name: str, intent: str, cents: int, status: str = "succeeded") -> dict[str, Any]:
    return {
        "id": name,
        "object": "refund",
        "amount": cents,
        "currency": "usd",
        "status": status,
        "payment_intent": intent,
    }


def dispute(name: str, intent: str, cents: int, status: str = "needs_response") -> dict[str, Any]:
    return {**refund(name, intent, cents, status), "object": "dispute"}


def line(cents: int, price: str, *, name: str = "il_1") -> dict[str, Any]:
    return {
        "id": name,
        "object": "line_item",
        "amount": cents,
        "currency": "usd",
        "pricing": {"type": "price_details", "price_details": {"price": price, "product": "prod_1"}},
        "parent": {"type": "subscription_item_details", "subscription_item_details": {"proration": False}},
    }


def invoice(
    name: str, customer: str, lines: list[dict[str, Any]], *, paid: int, metadata: dict[str, str]
) -> dict[str, Any]:
    return {
        "id": name,
        "object": "invoice",
        "currency": "usd",
        "amount_paid": paid,
        "customer": customer,
        "lines": {"object": "list", "data": lines, "has_more": False},
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": "sub_1", "metadata": metadata},
        },
    }


def invoice_payment(invoice_id: str, intent: str) -> dict[str, Any]:
    return {
        "id": f"inpay_{intent}",
        "object": "invoice_payment",
        "invoice": invoice_id,
        "status": "paid",
        "payment": {"type": "payment_intent", "payment_intent": intent},
    }


def subscription(name: str, customer: str, status: str = "active", **fields: Any) -> dict[str, Any]:
    item = {
        "current_period_start": 1_800_000_000,
        "current_period_end": 1_802_592_000,
        "price": {"id": "price_pro"},
    }
    return {
        "id": name,
        "object": "subscription",
        "status": status,
        "customer": customer,
        "created": 1_800_000_000,
        "cancel_at_period_end": False,
        "cancel_at": None,
        "items": {"object": "list", "data": [item]},
        "metadata": {"heddle_plan": "pro"},
        **fields,
    }
