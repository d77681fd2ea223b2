"""Paying over HTTP (admin), and Stripe's webhook, which is public and verified by its signature."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.billing.stripe.pages import cancelled_page, paid_page
from gateway.billing.stripe.schemas import (
    BeginCheckout,
    OpenPortal,
    SetAutoTopUp,
    render_auto_top_up,
    render_checkout,
    render_offers,
    render_subscription,
)
from gateway.billing.stripe.stripe_billing import StripeBilling
from gateway.billing.stripe.subscriptions import current_subscription
from kit.caller import LiveAdmin
from kit.errors import Conflict, InvalidRequest, Unsupported
from kit.request_body import read_bounded

WEBHOOK_PATH = "/v1/billing/stripe-webhook"
MAX_EVENT_BYTES = 1024 * 1024


def stripe_routes(built: StripeBilling | None) -> APIRouter:
    """Without Stripe the routes are there and say what is missing."""
    router = APIRouter(tags=["billing"])

    def configured() -> StripeBilling:
        if built is None:
            raise Unsupported(
                "this installation takes no payments: its operator has to set HEDDLE_STRIPE_SECRET_KEY and "
                "HEDDLE_STRIPE_WEBHOOK_SECRET",
                code="stripe_not_configured",
            )
        return built

    @router.post(WEBHOOK_PATH)
    async def webhook(request: Request) -> dict[str, Any]:
        stripe = configured()
        body = await read_bounded(request, MAX_EVENT_BYTES)
        outcome = await stripe.webhook.receive(body, request.headers.get("stripe-signature"))
        return {"received": True, "outcome": outcome}

    @router.post("/v1/billing/checkout", status_code=201)
    async def begin_checkout(body: BeginCheckout, caller: LiveAdmin) -> dict[str, Any]:
        return render_checkout(await configured().checkouts.begin(caller.account_id, body.order))

    @router.get("/v1/billing/checkout/{checkout_id}")
    async def get_checkout(checkout_id: str, caller: LiveAdmin) -> dict[str, Any]:
        return render_checkout(await configured().checkouts.get(caller.account_id, checkout_id))

    @router.get("/v1/billing/offers")
    async def offers(_caller: LiveAdmin) -> dict[str, Any]:
        return render_offers(configured().settings)

    @router.get("/v1/billing/subscription")
    async def subscription(caller: LiveAdmin) -> dict[str, Any]:
        return render_subscription(await current_subscription(configured().db, caller.account_id))

    @router.post("/v1/billing/portal")
    async def portal(caller: LiveAdmin, body: OpenPortal | None = None) -> dict[str, Any]:
        stripe = configured()
        customer = await stripe.customers.find(caller.account_id)
        if customer is None:
            raise Conflict(
                "this account has not paid yet: begin with POST /v1/billing/checkout", code="no_customer"
            )
        wanted = body.return_url if body is not None else None
        page = await stripe.api.create_portal(customer, wanted or stripe.public_url)
        return {"object": "portal", "url": page.url}

    @router.get("/v1/billing/auto-top-up")
    async def auto_top_up(caller: LiveAdmin) -> dict[str, Any]:
        return render_auto_top_up(await configured().auto_charges.find(caller.account_id))

    @router.put("/v1/billing/auto-top-up")
    async def set_auto_top_up(body: SetAutoTopUp, caller: LiveAdmin) -> dict[str, Any]:
        stripe = configured()
        try:
            rule = body.rule(stripe.settings)
        except ValueError as error:
            message = str(error)
            raise InvalidRequest(message, param=message.split()[0]) from None
        return render_auto_top_up(await stripe.auto_charges.switch_on(caller.account_id, rule))

    @router.delete("/v1/billing/auto-top-up")
    async def no_auto_top_up(caller: LiveAdmin) -> dict[str, Any]:
        return render_auto_top_up(await configured().auto_charges.switch_off(caller.account_id))

    @router.get("/billing/paid", include_in_schema=False)
    async def paid() -> Response:
        return paid_page()

    @router.get("/billing/cancelled", include_in_schema=False)
    async def cancelled() -> Response:
        return cancelled_page()

    return router
