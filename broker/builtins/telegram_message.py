"""Messages to Telegram (Telegram Bot API: sendMessage). The bot's token is a part of the address."""

from typing import Any

from broker.builtins.answers import at, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import fields, secret, text

URL = "https://api.telegram.org/bot{token}/sendMessage"


async def run(call: Invocation) -> Any:
    body: dict[str, Any] = {"chat_id": call.setting("chat_id"), **call.given("text", "parse_mode")}
    if "reply_to" in call.input:
        body["reply_parameters"] = {"message_id": call.input["reply_to"]}
    answer = await call.http.ask(
        "POST", URL.format(token=call.config["bot_token"]), json=body, errors=("description",)
    )
    return picked(at(answer, "result"), message_id="message_id", chat_id="chat.id")


TOOL = Builtin(
    slug="telegram-message",
    display_name="Telegram message",
    brand="Telegram",
    description="Sends a message to a Telegram chat.",
    input_schema=fields(
        "text",
        text=text("The message", most=4_096),
        chat_id=text("Id of the chat, or @channel; the configured one if left out", most=100),
        parse_mode={"type": "string", "enum": ["HTML", "MarkdownV2"], "description": "If it is formatted"},
        reply_to={"type": "integer", "minimum": 1, "description": "Id of the message to answer"},
    ),
    config_schema=fields(
        "bot_token",
        bot_token={**secret("Token of a Telegram bot"), "pattern": "^[0-9]{1,20}:[A-Za-z0-9_-]{10,100}$"},
        chat_id=text("Chat for messages that name none", most=100),
    ),
    run=run,
    retry_safe=False,
)
