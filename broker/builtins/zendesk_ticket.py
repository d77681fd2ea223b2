"""Creating tickets in Zendesk (Zendesk Ticketing API: Create Ticket; Idempotency)."""

from typing import Any

from broker.builtins.answers import at, picked
from broker.builtins.basic_auth import basic
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.email_message import ADDRESS
from broker.builtins.fields import fields, secret, text, texts

SUBDOMAIN = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


async def run(call: Invocation) -> Any:
    config = call.config
    base = f"https://{config['subdomain']}.zendesk.com"
    ticket: dict[str, Any] = {
        **call.given("subject", "priority", "type", "tags"),
        "comment": {"body": call.input["text"]},
    }
    if "requester_email" in call.input:
        email = call.input["requester_email"]
        ticket["requester"] = {"email": email, "name": call.input.get("requester_name", email)}
    answer = await call.http.ask(
        "POST",
        f"{base}/api/v2/tickets.json",
        json={"ticket": ticket},
        headers={
            **basic(f"{config['email']}/token", config["api_token"]),
            "idempotency-key": call.idempotency_key,
        },
        errors=("description", "error", "error.message", "details*"),
        repeatable=True,
    )
    made = picked(at(answer, "ticket"), id="id", status="status")
    return {**made, "url": f"{base}/agent/tickets/{made.get('id')}"}


TOOL = Builtin(
    slug="zendesk-ticket",
    aliases=("zendesk-create-ticket", "zendesk"),
    display_name="Zendesk ticket",
    brand="Zendesk",
    description="Creates a support ticket in Zendesk.",
    input_schema=fields(
        "subject",
        "text",
        subject=text("The subject", most=150),
        text=text("The first comment: what it is about", most=60_000),
        requester_email=text("Address of who asks", most=254, pattern=ADDRESS),
        requester_name=text("Name of who asks", most=200),
        priority={"type": "string", "enum": ["low", "normal", "high", "urgent"]},
        type={"type": "string", "enum": ["problem", "incident", "question", "task"]},
        tags=texts("Tags without spaces", each=80),
    ),
    config_schema=fields(
        "subdomain",
        "email",
        "api_token",
        subdomain=text("The name before .zendesk.com", most=63, pattern=SUBDOMAIN),
        email=text("E-mail address of an agent", most=254, pattern=ADDRESS),
        api_token=secret("API token of Zendesk"),
    ),
    run=run,
    retry_safe=False,
)
