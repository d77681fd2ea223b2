"""Webhook signatures: Standard Webhooks (standardwebhooks.com, v1) and the plain hex form, both on each
request."""

import base64
import hashlib
import hmac
import secrets

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret
SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh signing secret in Standard Webhooks form."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(secret: str, *, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers that prove a webhook request is ours, and fresh.

    ``webhook-signature`` signs ``id.timestamp.body`` with the decoded secret; ``x-qlaud-signature`` is the
    hex HMAC-SHA256 of ``timestamp.body`` with the secret's text.
    """
    stamp = str(timestamp_s)
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    standard = hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    plain = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(standard).decode()}",
        "x-qlaud-timestamp": stamp,
        "x-qlaud-signature": plain,
    }
