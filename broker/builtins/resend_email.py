"""E-mail by Resend (Resend API reference: POST /emails; Idempotency Keys)."""

from typing import Any

from broker.builtins.answers import at
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.email_message import INPUT, recipients, sender_config, sent
from broker.builtins.fields import secret

URL = "https://api.resend.com/emails"


async def run(call: Invocation) -> Any:
    answer = await call.http.ask(
        "POST",
        URL,
        json={
            "from": call.config["from"],
            **recipients(call),
            **call.given("subject", "text", "html", "reply_to"),
        },
        headers={
            "authorization": f"Bearer {call.config['api_key']}",
            "idempotency-key": call.idempotency_key,
        },
        errors=("message",),
        repeatable=True,
    )
    return sent(id=at(answer, "id"))


TOOL = Builtin(
    slug="send-email",
    aliases=("send-email-resend",),
    display_name="Send e-mail (Resend)",
    brand="Resend",
    description="Sends an e-mail.",
    input_schema=INPUT,
    config_schema=sender_config("api_key", api_key=secret("API key of Resend")),
    run=run,
    retry_safe=False,
)
