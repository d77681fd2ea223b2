"""Webhook signatures: Standard Webhooks (standardwebhooks.com, v1) and the plain hex form, both on each
request."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from secrets import token_bytes

from kit.errors import AuthenticationFailed

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret
SECRET_BYTES = 32
TOLERANCE_S = 300
"""How old, or how far ahead, a signature may be (Standard Webhooks: five minutes)."""
MAX_STAMP_DIGITS = 15
MAX_SIGNATURES = 8
"""Of one header; more are not looked at."""


def new_secret() -> str:
    """A fresh signing secret in Standard Webhooks form."""
    return SECRET_PREFIX + base64.b64encode(token_bytes(SECRET_BYTES)).decode()


def signed_headers(
    secret: str, old_secret: str | None = None, *, message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """The headers that prove a webhook request is ours, and fresh.

    ``webhook-signature`` signs ``id.timestamp.body`` with the decoded secret; ``x-qlaud-signature`` is the
    hex HMAC-SHA256 of ``timestamp.body`` with the secret's text. With an old secret, the first has a second
    signature after the new one (Standard Webhooks: separated by spaces); the other has room for one only, so
    the old one's is in ``x-qlaud-signature-old``.
    """
    stamp = str(timestamp_s)
    secrets = (secret,) if old_secret is None else (secret, old_secret)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(_standard(one, message_id, stamp, body) for one in secrets),
        "x-qlaud-timestamp": stamp,
        "x-qlaud-signature": _plain(secret, stamp, body),
    }
    if old_secret is not None:
        headers["x-qlaud-signature-old"] = _plain(old_secret, stamp, body)
    return headers


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether a request carries a signature of either form."""
    return "webhook-signature" in headers or "x-qlaud-signature" in headers


def verify(headers: Mapping[str, str], body: bytes, *secrets: str, now_s: int) -> None:
    """Check that the holder of one of the secrets sent this now; either signature will do, but none may be
    wrong. Raises AuthenticationFailed, which does not say more than it must."""
    believed = False
    if "webhook-signature" in headers:
        stamp = _fresh(headers.get("webhook-timestamp", ""), now_s)
        wanted = [_standard(secret, headers.get("webhook-id", ""), stamp, body) for secret in secrets]
        given = headers["webhook-signature"].split()[:MAX_SIGNATURES]
        believed = any(_equal(one, other) for one in wanted for other in given)
        _must(believed)
    if "x-qlaud-signature" in headers:
        stamp = _fresh(headers.get("x-qlaud-timestamp", ""), now_s)
        given_plain = headers["x-qlaud-signature"]
        believed = any(_equal(_plain(secret, stamp, body), given_plain) for secret in secrets)
    _must(believed)


def _fresh(stamp: str, now_s: int) -> str:
    plain = stamp.isascii() and stamp.isdigit() and len(stamp) < MAX_STAMP_DIGITS
    _must(plain and abs(now_s - int(stamp)) <= TOLERANCE_S)
    return stamp


def _must(condition: bool) -> None:
    if not condition:
        raise AuthenticationFailed(
            "the signature is missing, wrong, or not of these five minutes", code="bad_signature"
        )


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _standard(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def _plain(secret: str, stamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
