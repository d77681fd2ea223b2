"""E-mail by SendGrid (Twilio SendGrid documentation: Mail Send, POST /v3/mail/send)."""

from email.utils import parseaddr
from typing import Any

from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.email_message import INPUT, recipients, sender_config, sent
from broker.builtins.fields import secret

HOSTS = {"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}


async def run(call: Invocation) -> Any:
    to = {name: [{"email": address} for address in group] for name, group in recipients(call).items()}
    name, address = parseaddr(call.config["from"])
    content = [{"type": "text/plain", "value": call.input["text"]}]
    if "html" in call.input:
        content.append({"type": "text/html", "value": call.input["html"]})
    body: dict[str, Any] = {
        "personalizations": [to],
        "from": {"email": address, **({"name": name} if name else {})},
        "subject": call.input["subject"],
        "content": content,
    }
    if "reply_to" in call.input:
        body["reply_to"] = {"email": call.input["reply_to"]}
    await call.http.ask(
        "POST",
        f"{HOSTS[call.config.get('region', 'global')]}/v3/mail/send",
        json=body,
        headers={"authorization": f"Bearer {call.config['api_key']}"},
        errors=("errors.0.message", "errors.0.field"),
    )
    return sent()


TOOL = Builtin(
    slug="send-email-sendgrid",
    display_name="Send e-mail (SendGrid)",
    brand="SendGrid",
    description="Sends an e-mail.",
    input_schema=INPUT,
    config_schema=sender_config(
        "api_key",
        api_key=secret("API key of SendGrid"),
        region={"type": "string", "enum": list(HOSTS), "description": "Where messages are handled"},
    ),
    run=run,
    retry_safe=False,
)
