"""The ``Stripe-Signature`` header: who sent an event, and when (docs.stripe.com/webhooks#verify-manually)."""

import hashlib
import hmac
import re

from kit.errors import InvalidRequest

TOLERANCE_S = 300
MAX_HEADER = 4096
_ELEMENT = re.compile(r"(t|v1)=([0-9a-f]+)")


class BadSignature(InvalidRequest):
    """The event was not signed by Stripe for this endpoint, or too long ago."""

    code = "bad_stripe_signature"


def verify_signature(body: bytes, header: str | None, secrets: tuple[str, ...], now_ms: int) -> None:
    """Check that one of ``secrets`` signed this body within the last 300 s. Raises BadSignature.

    Several secrets are valid while the endpoint's secret is rolled; Stripe then signs with each of them.
    """
    if not header:
        raise BadSignature("the header Stripe-Signature is missing: only Stripe may call this route")
    if len(header) > MAX_HEADER:
        raise BadSignature(f"Stripe-Signature is longer than {MAX_HEADER} characters")
    timestamps: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        element = _ELEMENT.fullmatch(part.strip())
        if element is not None:
            (timestamps if element[1] == "t" else signatures).append(element[2])
    if len(timestamps) != 1 or not re.fullmatch("[0-9]{1,12}", timestamps[0]) or not signatures:
        raise BadSignature("Stripe-Signature is malformed: expected t=<seconds>,v1=<hex>")
    signed = timestamps[0].encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    matches = [hmac.compare_digest(one, given) for one in expected for given in signatures]
    if not any(matches):
        raise BadSignature(
            "no signature in Stripe-Signature matches: HEDDLE_STRIPE_WEBHOOK_SECRET must hold this "
            "endpoint's secret (whsec_…), and nothing in between may change the body"
        )
    age_s = now_ms // 1000 - int(timestamps[0])
    if age_s > TOLERANCE_S:
        raise BadSignature(
            f"the event was signed {age_s} s ago, at most {TOLERANCE_S} s are accepted: "
            "is the clock of this machine right?"
        )
