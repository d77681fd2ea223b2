"""Who may send events: only who knows the endpoint's secret, and only now."""

import pytest
from stripe import WebhookSignature

from gateway.billing.stripe.signature import BadSignature, verify_signature
from tests.gateway.billing.stripe.news import signed

NOW = 1_800_000_000_000
SECRETS = ("whsec_now", "whsec_before")
BODY = b'{"id": "evt_1", "note": "caf\xc3\xa9"}'


@pytest.mark.parametrize("secret", SECRETS)
def test_each_of_the_secrets_is_accepted_while_one_is_rolled(secret: str) -> None:
    body, header = signed(BODY, NOW, secret)
    verify_signature(body, header, SECRETS, NOW)


def test_stripe_may_sign_with_several_secrets_at_once() -> None:
    _, first = signed(BODY, NOW, "whsec_of_another_endpoint")
    _, second = signed(BODY, NOW, "whsec_now")
    verify_signature(BODY, f"{first},{second.split(',')[1]},v0=abc", SECRETS, NOW)


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (None, "missing"),
        ("", "missing"),
        ("t=1800000000", "malformed"),
        ("v1=" + "0" * 64, "malformed"),
        ("t=later,v1=" + "0" * 64, "malformed"),
        ("t=1800000000,t=1800000001,v1=" + "0" * 64, "malformed"),
        ("t=ffffffff,v1=" + "0" * 64, "malformed"),
        ("t=" + "9" * 400 + ",v1=" + "0" * 64, "malformed"),
        ("t=1800000000,v1=" + "0" * 64, "matches"),
        ("t=1800000000,v1=" + "0" * 5000, "longer"),
        ("t=1800000000,v0=" + "0" * 64, "malformed"),
    ],
)
def test_a_header_that_is_not_stripes_is_refused(header: str | None, complaint: str) -> None:
    with pytest.raises(BadSignature, match=complaint):
        verify_signature(BODY, header, SECRETS, NOW)


def test_another_secret_another_body_and_another_time_are_refused() -> None:
    _, header = signed(BODY, NOW)
    _, foreign = signed(BODY, NOW, "whsec_wrong")
    moved = header.replace("1800000000", "1800000001")
    for body, given in ((BODY, foreign), (BODY + b" ", header), (BODY, moved)):
        with pytest.raises(BadSignature, match="matches"):
            verify_signature(body, given, SECRETS, NOW)


def test_a_signature_is_good_for_five_minutes() -> None:
    _, header = signed(BODY, NOW)
    verify_signature(BODY, header, SECRETS, NOW + 300_000)
    with pytest.raises(BadSignature, match="301 s ago"):
        verify_signature(BODY, header, SECRETS, NOW + 301_000)


def test_what_we_accept_the_sdk_accepts_as_well() -> None:
    body, header = signed(BODY, NOW)
    assert WebhookSignature.verify_header(body, header, "whsec_now", None)
