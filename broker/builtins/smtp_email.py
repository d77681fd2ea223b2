"""E-mail over SMTP (RFC 5321) with submission over TLS (RFC 8314) or STARTTLS (RFC 3207)."""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import make_msgid, parseaddr
from typing import Any

import aiosmtplib

from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.email_message import INPUT, recipients, sender_config, sent
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import bad_config, secret, text
from kit.outbound import BlockedAddress, OutboundPolicy, tls_context

PORTS = {"tls": 465, "starttls": 587, "none": 25}
TIMEOUT_S = 15.0


async def run(call: Invocation) -> Any:
    config = call.config
    security = config.get("security", "starttls")
    to = recipients(call)
    try:
        message = _message(call, to)
        connection = await _connected(
            call.services.policy, config["host"], config.get("port", PORTS[security])
        )
        client = aiosmtplib.SMTP(
            hostname=config["host"],
            sock=connection,
            use_tls=security == "tls",
            start_tls=security == "starttls",
            tls_context=tls_context() if security != "none" else None,
            username=config.get("username"),
            password=config.get("password"),
            local_hostname="heddle",
            timeout=TIMEOUT_S,
        )
        async with client:
            refused, _ = await client.send_message(
                message,
                sender=parseaddr(config["from"])[1],
                recipients=[address for group in to.values() for address in group],
            )
    except (aiosmtplib.SMTPException, OSError, ValueError) as problem:
        raise _failure(problem) from None
    return sent(id=message["message-id"], refused=sorted(refused) or None)


def _message(call: Invocation, to: Mapping[str, list[str]]) -> EmailMessage:
    message = EmailMessage(policy=SMTP_POLICY)
    message["from"] = call.config["from"]
    for name in ("to", "cc"):
        if name in to:
            message[name] = ", ".join(to[name])
    message["subject"] = call.input["subject"]
    if "reply_to" in call.input:
        message["reply-to"] = call.input["reply_to"]
    message["message-id"] = make_msgid(domain=parseaddr(call.config["from"])[1].rpartition("@")[2])
    message.set_content(call.input["text"])
    if "html" in call.input:
        message.add_alternative(call.input["html"], subtype="html")
    return message


async def _connected(policy: OutboundPolicy, host: str, port: int) -> socket.socket:
    """A socket to an address of the host that is allowed. Raises OSError."""
    try:
        addresses = await policy.resolve(host, port)
    except (BlockedAddress, UnicodeError):
        raise ConnectionRefusedError from None
    problem: OSError = ConnectionRefusedError()
    for address in addresses:
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except OSError as error:
            made.close()
            problem = error
            continue
        except BaseException:
            with suppress(OSError):
                made.close()
            raise
        return made
    raise problem


def _failure(problem: Exception) -> BuiltinFailed:
    if isinstance(problem, aiosmtplib.SMTPAuthenticationError):
        return BuiltinFailed("The mail server does not accept the configured login.", status=problem.code)
    if isinstance(problem, aiosmtplib.SMTPRecipientsRefused):
        refused = ", ".join(f"{one.recipient}: {one.message}" for one in problem.recipients)[:500]
        return BuiltinFailed(f"The mail server refused the recipients: {refused}", status="refused")
    if isinstance(problem, aiosmtplib.SMTPResponseException):
        return BuiltinFailed(
            f"The mail server refused the message ({problem.code}): {str(problem.message)[:500]}",
            status=problem.code,
        )
    if isinstance(problem, ValueError):
        return BuiltinFailed("The message has headers that cannot be sent.", status="invalid_arguments")
    if isinstance(problem, aiosmtplib.SMTPException) and not isinstance(problem, aiosmtplib.SMTPConnectError):
        return BuiltinFailed(
            "The mail server broke off. Whether the message was sent is not known.",
            status=type(problem).__name__,
        )
    return BuiltinFailed("The mail server cannot be reached.", status="unreachable")


def check(config: Mapping[str, Any], policy: OutboundPolicy) -> None:
    """A login without TLS would show it to everybody on the way: only where plain http is allowed too."""
    secure = config.get("security", "starttls") != "none"
    policy.check_url(f"{'https' if secure else 'http'}://{config['host']}/", param="config.host")
    if ("username" in config) != ("password" in config):
        raise bad_config("username", "expected username and password together, or neither")


TOOL = Builtin(
    slug="send-email-smtp",
    display_name="Send e-mail (SMTP)",
    brand=None,
    description="Sends an e-mail.",
    input_schema=INPUT,
    config_schema=sender_config(
        "host",
        host=text("Name of the mail server", most=253, pattern=r"^[A-Za-z0-9.-]+$"),
        port={"type": "integer", "minimum": 1, "maximum": 65535, "description": "465, 587 or 25 if left out"},
        security={
            "type": "string",
            "enum": list(PORTS),
            "description": "tls from the start, starttls (the default), or none",
        },
        username=text("Login name", most=320, pattern=r"^[^\r\n]*$"),
        password=secret("Login password"),
    ),
    run=run,
    retry_safe=False,
    check=check,
)
