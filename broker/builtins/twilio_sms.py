"""Text messages by Twilio (Twilio documentation: Messages resource, Create a Message)."""

from typing import Any

from broker.builtins.answers import picked
from broker.builtins.basic_auth import basic
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import fields, secret, text

URL = "https://api.twilio.com/2010-04-01/Accounts/{account}/Messages.json"
NUMBER = r"^\+[1-9][0-9]{6,14}$"


async def run(call: Invocation) -> Any:
    config = call.config
    if "messaging_service_sid" in config:
        sender = {"MessagingServiceSid": config["messaging_service_sid"]}
    elif "from" in config:
        sender = {"From": config["from"]}
    else:
        raise BuiltinFailed("Neither from nor messaging_service_sid is configured.", status="not_configured")
    answer = await call.http.ask(
        "POST",
        URL.format(account=config["account_sid"]),
        form={"To": call.input["to"], "Body": call.input["text"], **sender},
        headers=basic(config["account_sid"], config["auth_token"]),
        errors=("message", "code"),
    )
    return picked(answer, id="sid", status="status", to="to", segments="num_segments")


TOOL = Builtin(
    slug="sms",
    aliases=("sms-twilio",),
    display_name="Send a text message (Twilio)",
    brand="Twilio",
    description="Sends a text message (SMS) to a phone number.",
    input_schema=fields(
        "to",
        "text",
        to=text("The phone number with country code, such as +4912345678", most=16, pattern=NUMBER),
        text=text("The message", most=1_600),
    ),
    config_schema={
        **fields(
            "account_sid",
            "auth_token",
            account_sid=text("Account SID of Twilio", most=34, pattern="^AC[0-9a-f]{32}$"),
            auth_token=secret("Auth token of Twilio"),
            messaging_service_sid=text("Messaging service to send by", most=34, pattern="^MG[0-9a-f]{32}$"),
            **{"from": text("Phone number or sender id to send from", most=16)},
        ),
        "anyOf": [{"required": ["from"]}, {"required": ["messaging_service_sid"]}],
    },
    run=run,
    retry_safe=False,
)
