"""Creating and updating contacts in HubSpot (HubSpot API 2026-03: Upsert contacts)."""

from typing import Any

from broker.builtins.answers import at, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.email_message import ADDRESS
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import fields, secret, text

URL = "https://api.hubapi.com/crm/objects/2026-03/contacts/batch/upsert"
_NAMES = {"first_name": "firstname", "last_name": "lastname", "phone": "phone", "company": "company"}


async def run(call: Invocation) -> Any:
    email = call.input["email"]
    properties = {
        **call.input.get("properties", {}),
        **{theirs: call.input[ours] for ours, theirs in _NAMES.items() if ours in call.input},
        "email": email,
    }
    answer = await call.http.ask(
        "POST",
        URL,
        json={"inputs": [{"id": email, "idProperty": "email", "properties": properties}]},
        headers=call.own or {"authorization": f"Bearer {call.config['access_token']}"},
        errors=("message",),
        repeatable=True,
    )
    contact = at(answer, "results.0")
    if contact is None:  # 207: the batch was taken, and this one was not
        said = str(at(answer, "errors.0.message") or "no reason was given")[:500]
        raise BuiltinFailed(f"HubSpot refused the contact: {said}", status="refused")
    return picked(contact, id="id", created="new", properties="properties")


TOOL = Builtin(
    slug="hubspot-contact",
    display_name="HubSpot contact",
    brand="HubSpot",
    description="Creates a contact in HubSpot, or updates the one with the same e-mail address.",
    input_schema=fields(
        "email",
        email=text("E-mail address, which names the contact", most=254, pattern=ADDRESS),
        first_name=text("First name"),
        last_name=text("Last name"),
        phone=text("Phone number", most=50),
        company=text("Company"),
        properties={
            "type": "object",
            "description": "Further properties by their internal names",
            "additionalProperties": {"type": "string", "maxLength": 65_536},
            "maxProperties": 50,
        },
    ),
    config_schema=fields("access_token", access_token=secret("Access token of a HubSpot private app")),
    run=run,
    retry_safe=True,
    connector="hubspot-api",
)
