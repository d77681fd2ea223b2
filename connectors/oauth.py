"""The OAuth 2.1 client: registration, authorization with PKCE, tokens, refresh, revocation.

Pure protocol, no storage. RFC 6749, 7591 (dynamic registration), 7636 (PKCE), 8707 (resource
indicators), 9207 (issuer identification), 7009 (revocation).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from connectors.discovery import AuthorizationServer
from connectors.http import Answer, OAuthHttp
from kit.errors import UpstreamFailed

CLIENT_NAME = "Heddle"
AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic")
"""In our order of preference: servers that offer ``post`` get it right more often than ``basic``."""


class OAuthFailed(UpstreamFailed):
    """The authorization server refused; ``oauth_error`` is its error code (RFC 6749, section 5.2), ``answer``
    what it said it with, unless nobody was asked."""

    code = "oauth_failed"

    def __init__(self, message: str, oauth_error: str, answer: Answer | None = None) -> None:
        super().__init__(message, details={"oauth_error": oauth_error})
        self.oauth_error = oauth_error
        self.answered = 0 if answer is None else answer.status
        self.retry_after = None if answer is None else answer.headers.get("retry-after")

    @property
    def is_final(self) -> bool:
        """Whether asking again soon would be answered in the same way: it is neither busy nor broken."""
        return self.answered < 500 and self.answered not in {408, 429}


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who we are at one authorization server."""

    client_id: str
    auth_method: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint gave out. ``expires_in`` in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_in: int | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenTarget:
    """Where and for what tokens are asked; the part of the metadata that a connection keeps."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str | None
    resource: str


def token_target(kept: Mapping[str, Any] | None) -> TokenTarget:
    """What a connection kept of the metadata (``Connection.oauth``)."""
    facts = kept or {}
    return TokenTarget(
        facts["issuer"], facts["token_endpoint"], facts.get("revocation_endpoint"), facts["resource"]
    )


async def register_client(http: OAuthHttp, server: AuthorizationServer, redirect_uri: str) -> ClientIdentity:
    """Dynamic registration (RFC 7591). Raises OAuthFailed or UpstreamFailed."""
    if server.registration_endpoint is None:
        raise OAuthFailed(
            f"{server.issuer} offers no dynamic client registration, and no client is configured for it",
            "registration_not_supported",
        )
    method = next((name for name in AUTH_METHODS if name in server.auth_methods), "client_secret_basic")
    request = {
        "client_name": CLIENT_NAME,
        "application_type": "web",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        **({"scope": " ".join(server.scopes)} if server.scopes else {}),
    }
    answer = await http.post_json(server.registration_endpoint, request)
    body = answer.json or {}
    client_id = body.get("client_id")
    if answer.status not in {200, 201} or not isinstance(client_id, str):
        raise _failure(answer, f"{server.issuer} refused to register Heddle")
    secret = body.get("client_secret")
    granted = body.get("token_endpoint_auth_method") or method
    return ClientIdentity(client_id, granted if secret else "none", secret)


def authorization_url(
    server: AuthorizationServer,
    client_id: str,
    redirect_uri: str,
    *,
    state: str,
    verifier: str,
    scopes: Sequence[str],
) -> str:
    """Where the end user's browser goes to consent."""
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
        "resource": server.resource,
    }
    if scopes:
        parameters["scope"] = " ".join(scopes)
    if "offline_access" in scopes:
        parameters["prompt"] = "consent"  # OpenID Connect Core, section 11: offline access needs it
    separator = "&" if "?" in server.authorization_endpoint else "?"
    return f"{server.authorization_endpoint}{separator}{urlencode(parameters)}"


async def exchange_code(
    http: OAuthHttp,
    target: TokenTarget,
    client: ClientIdentity,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
) -> Tokens:
    """Raises OAuthFailed or UpstreamFailed."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        "resource": target.resource,
    }
    return await _token_request(http, target, client, form)


async def refresh(http: OAuthHttp, target: TokenTarget, client: ClientIdentity, refresh_token: str) -> Tokens:
    """Raises OAuthFailed (``invalid_grant``: the grant is gone) or UpstreamFailed."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "resource": target.resource}
    return await _token_request(http, target, client, form)


async def revoke(http: OAuthHttp, target: TokenTarget, client: ClientIdentity, token: str) -> None:
    """RFC 7009; does nothing where the server has no revocation endpoint. Raises OAuthFailed."""
    if target.revocation_endpoint is None:
        return
    form, auth = _authenticated({"token": token}, client)
    answer = await http.post_form(target.revocation_endpoint, form, auth=auth)
    if answer.status >= 400:
        raise _failure(answer, f"{target.issuer} did not revoke the token")


async def _token_request(
    http: OAuthHttp, target: TokenTarget, client: ClientIdentity, form: Mapping[str, str]
) -> Tokens:
    fields, auth = _authenticated(form, client)
    answer = await http.post_form(target.token_endpoint, fields, auth=auth)
    body = answer.json or {}
    if answer.status != 200 or not isinstance(body.get("access_token"), str):
        raise _failure(answer, f"{target.issuer} gave no token")
    if str(body.get("token_type", "bearer")).lower() != "bearer":
        raise OAuthFailed(
            f"{target.issuer} gave a token that is not a bearer token", "unsupported_token_type"
        )
    expires_in, refresh_token = body.get("expires_in"), body.get("refresh_token")
    return Tokens(
        access_token=body["access_token"],
        refresh_token=refresh_token if isinstance(refresh_token, str) else None,
        expires_in=int(expires_in) if isinstance(expires_in, int | float) else None,
        scopes=tuple(str(body.get("scope") or "").split()),
    )


def _authenticated(
    form: Mapping[str, str], client: ClientIdentity
) -> tuple[dict[str, str], tuple[str, str] | None]:
    fields = {**form, "client_id": client.client_id}  # some servers want it beside Basic, too
    if client.client_secret is not None and client.auth_method == "client_secret_basic":
        # Both are form-encoded before they are joined (RFC 6749, section 2.3.1).
        return fields, (quote_plus(client.client_id), quote_plus(client.client_secret))
    if client.client_secret is not None:
        fields["client_secret"] = client.client_secret
    return fields, None


def _failure(answer: Answer, what: str) -> OAuthFailed:
    body: dict[str, Any] = answer.json or {}
    error = str(body.get("error") or f"status_{answer.status}")[:100]
    return OAuthFailed(f"{what}: {error}", error, answer)
