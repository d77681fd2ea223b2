"""How a client proves itself at a token endpoint: with nothing, a secret, or a key of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from authlib.oauth2.rfc7523 import private_key_jwt_sign

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME_S = 60
SIGNING_ALG = "RS256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Our key at authorization servers; ``private_pem`` as PKCS #8."""

    kid: str
    private_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who we are at one authorization server. ``source``: whose registration it is (``clients.py``)."""

    client_id: str
    auth_method: str
    client_secret: str | None = field(default=None, repr=False)
    signing_key: SigningKey | None = field(default=None, repr=False)
    source: str = ""


def authenticated(
    fields: Mapping[str, str],
    client: ClientIdentity,
    *,
    audience: str,
    client_id_parameter: str = "client_id",
) -> tuple[dict[str, str], tuple[str, str] | None]:
    """The fields with what proves the client, and the user name and password for HTTP Basic, if it is that.

    ``audience``: whom an assertion is for, the issuer where it is known (RFC 7523, section 3).
    """
    sent = {**fields, client_id_parameter: client.client_id}  # some servers want it beside Basic, too
    if client.auth_method == "private_key_jwt" and client.signing_key is not None:
        sent["client_assertion_type"] = ASSERTION_TYPE
        sent["client_assertion"] = private_key_jwt_sign(
            client.signing_key.private_pem,
            client.client_id,
            audience,
            alg=SIGNING_ALG,
            header={"kid": client.signing_key.kid},
            expires_in=ASSERTION_LIFETIME_S,
        )
        return sent, None
    if client.client_secret is None:
        return sent, None
    if client.auth_method == "client_secret_basic":
        # Both are form-encoded before they are joined (RFC 6749, section 2.3.1).
        return sent, (quote_plus(client.client_id), quote_plus(client.client_secret))
    return {**sent, "client_secret": client.client_secret}, None
