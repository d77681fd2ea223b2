"""Messages to Discord (Discord API v10: Create Message; a nonce that is enforced makes it idempotent)."""

from typing import Any

from broker.builtins.answers import picked, segment
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import fields, flag, secret, text

URL = "https://discord.com/api/v10/channels/{channel}/messages"
SNOWFLAKE = "^[0-9]{15,21}$"
MAX_NONCE = 25


async def run(call: Invocation) -> Any:
    body: dict[str, Any] = {
        "content": call.input["text"],
        "nonce": call.idempotency_key[:MAX_NONCE],
        "enforce_nonce": True,
        "allowed_mentions": {"parse": ["users"] if call.config.get("may_mention") else []},
    }
    if "reply_to" in call.input:
        body["message_reference"] = {"message_id": call.input["reply_to"]}
    answer = await call.http.ask(
        "POST",
        URL.format(channel=segment(call.setting("channel_id"))),
        json=body,
        headers={"authorization": f"Bot {call.config['bot_token']}"},
        errors=("message", "errors*"),
        repeatable=True,
    )
    return picked(answer, id="id", channel_id="channel_id")


TOOL = Builtin(
    slug="discord-message",
    display_name="Discord message",
    brand="Discord",
    description="Posts a message to a Discord channel.",
    input_schema=fields(
        "text",
        text=text("The message, in Discord's markdown", most=2_000),
        channel_id=text("Id of the channel; the configured one if left out", most=21, pattern=SNOWFLAKE),
        reply_to=text("Id of the message to answer", most=21, pattern=SNOWFLAKE),
    ),
    config_schema=fields(
        "bot_token",
        bot_token=secret("Token of a Discord bot that may send messages"),
        channel_id=text("Channel for messages that name none", most=21, pattern=SNOWFLAKE),
        may_mention=flag("Whether mentions of users notify them"),
    ),
    run=run,
    retry_safe=False,
)
