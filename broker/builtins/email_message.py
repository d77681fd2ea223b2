"""What the e-mail tools have in common: a message as models write it, and to whom it may go."""

from typing import Any

from broker.builtins.builtin import Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import Schema, fields, text, texts

ADDRESS = r"^[^\s@<>,;\x22]+@[^\s@<>,;\x22]+$"
SENDER = r"^([^<>\r\n]*<)?[^\s@<>,;\x22]+@[^\s@<>,;\x22]+>?$"
MAX_BODY_CHARS = 200_000


def _addresses(description: str) -> Schema:
    schema = texts(description, each=254)
    return {**schema, "items": {**schema["items"], "pattern": ADDRESS}}


INPUT = fields(
    "to",
    "subject",
    "text",
    to={**_addresses("Addresses of the recipients"), "minItems": 1},
    subject=text("The subject, in one line", most=500, pattern=r"^[^\r\n]*$"),
    text=text("The message as plain text", most=MAX_BODY_CHARS),
    html=text("The message as HTML, beside the plain text", most=MAX_BODY_CHARS),
    cc=_addresses("Addresses that get a copy"),
    bcc=_addresses("Addresses that get a copy unseen by the others"),
    reply_to=text("Where answers go", most=254, pattern=ADDRESS),
)


def sender_config(*required: str, **properties: Schema) -> Schema:
    """A provider's own configuration, and what all of them have."""
    return fields(
        "from",
        *required,
        **{"from": text("The sender: an address, or Name <address>", most=320, pattern=SENDER)},
        allowed_recipients=texts("Where messages may go at all: addresses, or @domain", each=254),
        **properties,
    )


def recipients(call: Invocation) -> dict[str, list[str]]:
    """``to``, ``cc`` and ``bcc``, the empty ones left out. Raises BuiltinFailed for one not allowed."""
    named = {name: list(call.input.get(name) or []) for name in ("to", "cc", "bcc")}
    allowed = call.config.get("allowed_recipients")
    if allowed is not None:
        known = {entry.lower() for entry in allowed}
        for address in (address.lower() for group in named.values() for address in group):
            if address not in known and "@" + address.rpartition("@")[2] not in known:
                raise BuiltinFailed(
                    f"{address} is not among the recipients that are allowed.", status="not_allowed"
                )
    return {name: group for name, group in named.items() if group}


def sent(**facts: Any) -> dict[str, Any]:
    return {"sent": True, **{name: fact for name, fact in facts.items() if fact is not None}}
