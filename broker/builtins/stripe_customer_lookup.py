"""Looking up customers in Stripe (Stripe API reference: List all customers; Retrieve a customer)."""

from typing import Any

from broker.builtins.answers import at, listed, picked, segment
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import fields, secret, text

API = "https://api.stripe.com/v1/customers"
ERRORS = ("error.message",)
LIMIT = "10"


async def run(call: Invocation) -> Any:
    headers = {"authorization": f"Bearer {call.config['api_key']}"}
    email, customer = call.input.get("email"), call.input.get("customer_id")
    if bool(email) == bool(customer):
        raise BuiltinFailed("Give one of email and customer_id.", status="invalid_arguments")
    if customer:
        found = await call.http.ask(
            "GET",
            f"{API}/{segment(customer)}",
            params={"expand[]": "subscriptions"},
            headers=headers,
            errors=ERRORS,
        )
        return {"customers": [_shown(found)]}
    found = await call.http.ask(
        "GET",
        API,
        params={"email": str(email), "limit": LIMIT, "expand[]": "data.subscriptions"},
        headers=headers,
        errors=ERRORS,
    )
    return {"customers": [_shown(one) for one in listed(at(found, "data"))]}


def _shown(customer: Any) -> dict[str, Any]:
    shown = picked(
        customer,
        id="id",
        email="email",
        name="name",
        phone="phone",
        description="description",
        created="created",
        currency="currency",
        balance="balance",
        delinquent="delinquent",
        deleted="deleted",
        metadata="metadata",
    )
    subscriptions = listed(at(customer, "subscriptions.data"))
    return {
        **shown,
        "subscriptions": [
            picked(
                one,
                id="id",
                status="status",
                price="items.data.0.price.id",
                nickname="items.data.0.price.nickname",
                cancels_at_period_end="cancel_at_period_end",
            )
            for one in subscriptions
        ],
    }


TOOL = Builtin(
    slug="stripe-customer-lookup",
    display_name="Stripe customer lookup",
    brand="Stripe",
    description="Looks up customers in Stripe, with their subscriptions, by e-mail address or id.",
    input_schema=fields(
        email=text("E-mail address, exactly as Stripe has it", most=254),
        customer_id=text("Id of the customer", most=64, pattern="^cus_[A-Za-z0-9]+$"),
    ),
    config_schema=fields(
        "api_key", api_key=secret("Secret or, better, restricted API key of Stripe that may read customers")
    ),
    run=run,
    retry_safe=True,
)
