"""Messages to Slack (Slack Web API: chat.postMessage)."""

from typing import Any

from broker.builtins.answers import at, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.failures import BuiltinFailed, Unauthorized
from broker.builtins.fields import fields, secret, text

URL = "https://slack.com/api/chat.postMessage"
NOT_ACCEPTED = frozenset(
    {"not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "org_login_required"}
)


async def run(call: Invocation) -> Any:
    answer = await call.http.ask(
        "POST",
        URL,
        json={"channel": call.setting("channel"), **call.given("text", "thread_ts")},
        headers=call.own or {"authorization": f"Bearer {call.config['bot_token']}"},
        errors=("error",),
    )
    if at(answer, "ok") is not True:
        error = str(at(answer, "error") or "no reason was given")[:200]
        if error in NOT_ACCEPTED:
            raise Unauthorized(f"Slack does not accept the credentials: {error}", status=error)
        raise BuiltinFailed(f"Slack refused the message: {error}", status=error)
    return picked(answer, channel="channel", ts="ts")


TOOL = Builtin(
    slug="slack-message",
    aliases=("slack-post-message",),
    display_name="Slack message",
    brand="Slack",
    description="Posts a message to a Slack channel, or as an answer in a thread there.",
    input_schema=fields(
        "text",
        text=text("The message, in Slack's mrkdwn", most=12_000),
        channel=text("Id or name of the channel; the configured one if left out", most=100),
        thread_ts=text("The ts of the message to answer", most=40),
    ),
    config_schema=fields(
        "bot_token",
        bot_token=secret("Bot token of a Slack app with chat:write"),
        channel=text("Channel for messages that name none", most=100),
    ),
    run=run,
    retry_safe=False,
    connector="slack",
)
