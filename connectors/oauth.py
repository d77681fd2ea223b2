"""The OAuth 2.1 client: authorization with PKCE, tokens, refresh, client credentials, revocation.

Pure protocol, no storage. RFC 6749, 7636 (PKCE), 8707 (resource indicators), 7009 (revocation).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from connectors.client_auth import ClientIdentity, authenticated
from connectors.grant import Grant
from connectors.http import Answer, OAuthHttp
from connectors.token_answer import Tokens, read_tokens
from connectors.token_target import TokenTarget
from connectors.url_template import filled_text
from kit.errors import UpstreamFailed


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


def authorization_url(
    grant: Grant,
    client_id: str,
    redirect_uri: str,
    *,
    state: str,
    verifier: str,
    scopes: Sequence[str],
) -> str:
    """Where the end user's browser goes to consent."""
    parameters = {
        **grant.parameters,
        "response_type": "code",
        grant.target.client_id_parameter: client_id,
        "redirect_uri": redirect_uri,
        "state": state,
    }
    if grant.pkce:
        parameters["code_challenge"] = create_s256_code_challenge(verifier)
        parameters["code_challenge_method"] = "S256"
    if grant.target.resource is not None:
        parameters["resource"] = grant.target.resource
    if scopes:
        parameters[grant.scope_parameter] = grant.scope_separator.join(scopes)
    if "offline_access" in scopes:
        # OpenID Connect Core, section 11: offline access needs it.
        parameters.setdefault("prompt", "consent")
    separator = "&" if "?" in grant.authorize_url else "?"
    return f"{grant.authorize_url}{separator}{urlencode(parameters)}"


async def exchange_code(
    http: OAuthHttp,
    target: TokenTarget,
    client: ClientIdentity,
    *,
    code: str,
    verifier: str | None,
    redirect_uri: str,
    values: Mapping[str, str] | None = None,
) -> Tokens:
    """``values`` fill the vendor's own parameters. Raises OAuthFailed or UpstreamFailed."""
    form = {
        **_filled(target.token_params, values),
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        **({"code_verifier": verifier} if verifier is not None else {}),
        **_resource(target),
    }
    return await request_tokens(http, target, client, form)


async def refresh(
    http: OAuthHttp,
    target: TokenTarget,
    client: ClientIdentity,
    refresh_token: str,
    values: Mapping[str, str] | None = None,
) -> Tokens:
    """Raises OAuthFailed (``invalid_grant``: the grant is gone) or UpstreamFailed."""
    form = {
        **_filled(target.refresh_params, values),
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        **_resource(target),
    }
    return await request_tokens(http, target, client, form, endpoint=target.refresh_endpoint)


async def client_credentials(
    http: OAuthHttp,
    target: TokenTarget,
    client: ClientIdentity,
    scope: str,
    values: Mapping[str, str] | None = None,
) -> Tokens:
    """A token for the client itself (RFC 6749, section 4.4); ``scope`` as it is sent, "" for none.

    Raises OAuthFailed or UpstreamFailed.
    """
    form = {
        **_filled(target.token_params, values),
        "grant_type": "client_credentials",
        **({"scope": scope} if scope else {}),
        **_resource(target),
    }
    return await request_tokens(http, target, client, form)


async def request_device_code(
    http: OAuthHttp, grant: Grant, client: ClientIdentity, scopes: Sequence[str]
) -> Answer:
    """Begin a device flow (RFC 8628, section 3.1). Raises UpstreamFailed."""
    assert grant.device_endpoint is not None
    form = _resource(grant.target)
    if scopes:
        form[grant.scope_parameter] = grant.scope_separator.join(scopes)
    fields, auth = _authenticated(form, grant.target, client)
    return await http.post_form(grant.device_endpoint, fields, auth=auth)


async def revoke(http: OAuthHttp, target: TokenTarget, client: ClientIdentity, token: str) -> None:
    """RFC 7009; does nothing where the server has no revocation endpoint. Raises OAuthFailed."""
    if target.revocation_endpoint is None:
        return
    form, auth = _authenticated({"token": token}, target, client)
    answer = await http.post_form(target.revocation_endpoint, form, auth=auth)
    if answer.status >= 400:
        raise oauth_failure(answer, f"{target.issuer} did not revoke the token")


async def request_tokens(
    http: OAuthHttp,
    target: TokenTarget,
    client: ClientIdentity,
    form: Mapping[str, str],
    *,
    endpoint: str | None = None,
) -> Tokens:
    """Ask the token endpoint. Raises OAuthFailed or UpstreamFailed."""
    fields, auth = _authenticated(form, target, client)
    answer = await http.post_form(
        endpoint or target.token_endpoint, fields, auth=auth, as_json=target.body == "json"
    )
    body = answer.json or {}
    tokens = read_tokens(body, target)
    if answer.status not in {200, 201} or tokens is None:
        raise oauth_failure(answer, f"{target.issuer} gave no token", target.grant_errors)
    # Vendors with shapes of their own name the kind of token as they like (Slack: "user").
    if target.headers is None and str(body.get("token_type") or "bearer").lower() != "bearer":
        raise OAuthFailed(
            f"{target.issuer} gave a token that is not a bearer token", "unsupported_token_type"
        )
    return tokens


def oauth_failure(answer: Answer, what: str, grant_errors: Sequence[str] = ()) -> OAuthFailed:
    """The refusal in an answer. Only its code is told on: descriptions may quote what was sent."""
    body: dict[str, Any] = answer.json or {}
    named = body.get("error")
    error = named[:100] if isinstance(named, str) and named else f"status_{answer.status}"
    if error in grant_errors:
        error = "invalid_grant"
    return OAuthFailed(f"{what}: {error}", error, answer)


def _authenticated(
    form: Mapping[str, str], target: TokenTarget, client: ClientIdentity
) -> tuple[dict[str, str], tuple[str, str] | None]:
    return authenticated(form, client, audience=target.issuer, client_id_parameter=target.client_id_parameter)


def _filled(templates: Mapping[str, str], values: Mapping[str, str] | None) -> dict[str, str]:
    return {name: filled_text(text, values or {}) for name, text in templates.items()}


def _resource(target: TokenTarget) -> dict[str, str]:
    return {"resource": target.resource} if target.resource is not None else {}
