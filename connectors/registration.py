"""How we come to be known to an authorization server: dynamic registration, or a document of our own.

RFC 7591; OAuth Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document).
"""

from dataclasses import dataclass
from typing import Any

from connectors.client_auth import SIGNING_ALG, ClientIdentity
from connectors.discovery import AuthorizationServer
from connectors.http import OAuthHttp
from connectors.oauth import OAuthFailed, oauth_failure

CLIENT_NAME = "Heddle"
AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic")
"""In our order of preference: servers that offer ``post`` get it right more often than ``basic``."""
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES = ["authorization_code", "refresh_token"]
PLAIN_PATH, SIGNED_PATH, KEYS_PATH = (
    "/.well-known/oauth-client",
    "/.well-known/oauth-client/signed",
    "/.well-known/oauth-client/keys",
)


@dataclass(frozen=True, slots=True)
class OwnDocuments:
    """The two clients that we are by documents of our own: one without a proof, one that signs."""

    public_url: str
    redirect_uri: str

    @property
    def usable(self) -> bool:
        """A client is only known by an https address."""
        return self.public_url.startswith("https://")

    def client_id(self, *, signed: bool) -> str:
        return self.public_url + (SIGNED_PATH if signed else PLAIN_PATH)

    def key_set(self, account_id: str) -> str:
        """Where the public key of an account's own clients is."""
        return f"{self.public_url}{KEYS_PATH}/{account_id}"

    def document(self, *, signed: bool) -> dict[str, Any]:
        """What is served at ``client_id(signed=…)``."""
        document = {
            "client_id": self.client_id(signed=signed),
            "client_name": CLIENT_NAME,
            "client_uri": self.public_url,
            "redirect_uris": [self.redirect_uri],
            "grant_types": [*GRANT_TYPES, DEVICE_GRANT],  # what a server has no use for, it leaves out
            "response_types": ["code"],
            "application_type": "web",
            "token_endpoint_auth_method": "private_key_jwt" if signed else "none",
        }
        if signed:
            document["token_endpoint_auth_signing_alg"] = SIGNING_ALG
            document["jwks_uri"] = self.public_url + KEYS_PATH
        return document


def may_sign(server: AuthorizationServer) -> bool:
    """Whether the server takes assertions as we sign them."""
    return "private_key_jwt" in server.auth_methods and SIGNING_ALG in (server.signing_algs or (SIGNING_ALG,))


async def register_client(http: OAuthHttp, server: AuthorizationServer, redirect_uri: str) -> ClientIdentity:
    """Dynamic registration (RFC 7591). Raises OAuthFailed or UpstreamFailed."""
    if server.registration_endpoint is None:
        raise OAuthFailed(
            f"{server.issuer} offers no dynamic client registration, and no client is configured for it",
            "registration_not_supported",
        )
    method = next((name for name in AUTH_METHODS if name in server.auth_methods), "client_secret_basic")
    scopes = dict.fromkeys([*server.scopes, *(["offline_access"] if server.offers_offline_access else [])])
    request = {
        "client_name": CLIENT_NAME,
        "application_type": "web",
        "redirect_uris": [redirect_uri],
        "grant_types": [*GRANT_TYPES, *([DEVICE_GRANT] if server.device_endpoint else [])],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        **({"scope": " ".join(scopes)} if server.scopes else {}),
    }
    answer = await http.post_json(server.registration_endpoint, request)
    body = answer.json or {}
    client_id = body.get("client_id")
    if answer.status not in {200, 201} or not isinstance(client_id, str):
        raise oauth_failure(answer, f"{server.issuer} refused to register Heddle")
    secret = body.get("client_secret")
    granted = body.get("token_endpoint_auth_method") or method
    return ClientIdentity(client_id, granted if secret else "none", secret)
