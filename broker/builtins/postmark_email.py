"""E-mail by Postmark (Postmark developer documentation: Email API, POST /email)."""

from typing import Any

from broker.builtins.answers import at
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.email_message import INPUT, recipients, sender_config, sent
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import secret, text

URL = "https://api.postmarkapp.com/email"


async def run(call: Invocation) -> Any:
    to = recipients(call)
    body = {
        "From": call.config["from"],
        **{name.capitalize(): ",".join(group) for name, group in to.items()},
        "Subject": call.input["subject"],
        "TextBody": call.input["text"],
        "MessageStream": call.config.get("message_stream", "outbound"),
    }
    if "html" in call.input:
        body["HtmlBody"] = call.input["html"]
    if "reply_to" in call.input:
        body["ReplyTo"] = call.input["reply_to"]
    answer = await call.http.ask(
        "POST",
        URL,
        json=body,
        headers={"x-postmark-server-token": call.config["server_token"]},
        errors=("Message",),
    )
    if at(answer, "ErrorCode"):
        raise BuiltinFailed(f"Postmark refused the message: {at(answer, 'Message')}", status="refused")
    return sent(id=at(answer, "MessageID"))


TOOL = Builtin(
    slug="send-email-postmark",
    display_name="Send e-mail (Postmark)",
    brand="Postmark",
    description="Sends an e-mail.",
    input_schema=INPUT,
    config_schema=sender_config(
        "server_token",
        server_token=secret("API token of the Postmark server"),
        message_stream=text("The message stream; outbound if left out", most=100),
    ),
    run=run,
    retry_safe=False,
)
