"""The client credentials grant: a token for a developer's own client, without an end user.

RFC 6749, section 4.4, with MCP's extension ``io.modelcontextprotocol/oauth-client-credentials``: a client
that was registered by hand asks the authorization server that the MCP server names (RFC 9728, RFC 8414) for
a token for this very server (RFC 8707), or asks at the token endpoint that the catalogue names.

Invariant: what proves a client is only ever sent to the authority that the client is bound to.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.catalog import Catalog
from connectors.catalog_entry import CatalogEntry
from connectors.client_auth import SIGNING_ALG, ClientIdentity
from connectors.clients import OAuthClients
from connectors.discovery import (
    auth_methods,
    protected_resource,
    server_metadata,
    signing_algs,
    token_endpoint,
)
from connectors.http import OAuthHttp
from connectors.oauth import OAuthFailed, client_credentials
from connectors.token_answer import Tokens
from connectors.token_target import TokenTarget
from connectors.url_template import BadUrlValue
from kit.errors import InvalidRequest, UpstreamFailed, UpstreamTimeout

GRANT = "client_credentials"
SECRET_METHODS = ("client_secret_basic", "client_secret_post")
"""In our order of preference: the extension has servers offer ``basic``."""
JWT = "private_key_jwt"
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
MAX_SCOPES_CHARS = 300
TIMEOUT_S = 30.0
"""To find whom to ask, and to get an answer: a call waits for it."""


@dataclass(frozen=True, slots=True)
class OwnClient:
    """A developer's own client, as it is sealed.

    ``token_auth`` None: as the authorization server has it. ``scopes`` None: what the server asks for.
    ``authority``: whom it is bound to (``TokenTarget.bound_to``); "": nobody yet. ``values`` fill the
    catalogue's addresses and parameters.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    token_auth: str | None = None
    scopes: tuple[str, ...] | None = None
    authority: str = ""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Protected:
    """The MCP server that a token is for, and whose client asks. ``slug``: of the catalogue, if it is from
    there."""

    account_id: str
    server_url: str
    slug: str | None = None


@dataclass(frozen=True, slots=True)
class _Grant:
    """Where the token comes from. ``methods``: how a client may prove itself, in order of preference."""

    target: TokenTarget
    methods: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    separator: str = " "


class TokenRefused(UpstreamFailed):
    """There is no token for a developer's own client; the message says what to do. ``param``: the field of
    the registration that it is about; ``is_final``: whether asking again would be answered alike."""

    code = "client_credentials_refused"

    def __init__(self, message: str, *, param: str, oauth_error: str, is_final: bool = True) -> None:
        super().__init__(message, param=param, details={"oauth_error": oauth_error})
        self.is_final = is_final
        self.retry_after: str | None = None

    def as_bad_input(self) -> InvalidRequest:
        """The same, to somebody who has just sent the client."""
        return InvalidRequest(self.message, code=self.code, param=self.param, details=self.details)


class ClientCredentialsGrant:
    def __init__(self, http: OAuthHttp, clients: OAuthClients, catalog: Catalog) -> None:
        self._http = http
        self._clients = clients
        self._catalog = catalog

    async def token(self, at: Protected, client: OwnClient) -> tuple[Tokens, OwnClient]:
        """A token for this server, and the client bound to whom it came from.

        Raises TokenRefused, or UpstreamFailed where a server cannot be asked.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._token(at, client)
        except TimeoutError:
            raise UpstreamTimeout(
                f"there was no token for the client {client.client_id} within {TIMEOUT_S:.0f} s: its "
                "authorization server, or the MCP server that names it, does not answer in time",
                code="oauth_unreachable",
            ) from None

    async def _token(self, at: Protected, client: OwnClient) -> tuple[Tokens, OwnClient]:
        grant = await self._grant(at, client)
        identity = await self._identity(at, client, grant)
        scopes = grant.scopes if client.scopes is None else client.scopes
        try:
            tokens = await client_credentials(
                self._http, grant.target, identity, grant.separator.join(scopes), client.values
            )
        except OAuthFailed as failure:
            raise self._refused(at, identity, grant.target, scopes, failure) from None
        return tokens, replace(client, authority=grant.target.bound_to)

    async def _grant(self, at: Protected, client: OwnClient) -> _Grant:
        entry = self._catalog.get(at.slug) if at.slug is not None else None
        if entry is not None and entry.client_credentials is not None:
            _check_bound(client, entry.client_credentials.token_url)
            return _vendor_grant(entry, client.values)
        resource = await protected_resource(self._http, at.server_url)
        known = client.authority in resource.issuers
        issuer = client.authority if known else resource.issuers[0]
        _check_bound(client, issuer)
        metadata = await server_metadata(self._http, issuer)
        _check_grant(metadata, issuer)
        target = TokenTarget(
            issuer=issuer,
            token_endpoint=token_endpoint(self._http, metadata, issuer),
            resource=resource.identifier,
        )
        scopes = tuple(scope for scope in resource.scopes if scope != "offline_access")
        return _Grant(target, _methods(metadata), scopes)

    async def _identity(self, at: Protected, client: OwnClient, grant: _Grant) -> ClientIdentity:
        usual = JWT if client.client_secret is None else None
        wanted = client.token_auth or usual
        method = wanted or next((name for name in grant.methods if name in SECRET_METHODS), None)
        if method is None or method not in grant.methods:
            raise TokenRefused(
                f"{grant.target.issuer} takes clients by {', '.join(grant.methods) or 'nothing we know'}, "
                f"not by {method or 'a secret'}: expected another auth.token_auth",
                param="auth.token_auth",
                oauth_error="invalid_client",
            )
        identity = ClientIdentity(client.client_id, method, client.client_secret)
        if method != JWT:
            return identity
        return replace(identity, signing_key=await self._clients.keys.private(at.account_id))

    def _refused(
        self,
        at: Protected,
        identity: ClientIdentity,
        target: TokenTarget,
        scopes: tuple[str, ...],
        failure: OAuthFailed,
    ) -> TokenRefused:
        """What the refusal means, and what to do."""
        said = _code(failure.oauth_error, identity.client_secret)
        who = f"{target.issuer} gave no token to the client {identity.client_id} ({said})"
        proof = ("client_secret", "it does not know the client or this secret: send auth.client_secret anew")
        if identity.auth_method == JWT:
            keys = self._clients.documents.key_set(at.account_id)
            proof = (
                "client_id",
                f"it does not know the client or its key: expected its key set to be {keys}",
            )
        listed = " ".join(scopes)[:MAX_SCOPES_CHARS]
        advice = {
            "invalid_client": proof,
            "unsupported_grant_type": ("type", f"it does not offer the grant {GRANT}"),
            "invalid_scope": (
                "scopes",
                f"it may not have the scopes {listed or 'that are usual'}: send auth.scopes that it may have",
            ),
            "invalid_target": ("client_id", f"expected a client that may ask for {target.resource} there"),
        }
        usual = ("client_id", f"expected a client that may use the grant {GRANT} there")
        field_name, what = advice.get(said, usual if failure.is_final else ("client_id", "it failed"))
        refused = TokenRefused(
            f"{who}: {what}", param=f"auth.{field_name}", oauth_error=said, is_final=failure.is_final
        )
        refused.retry_after = failure.retry_after
        return refused


def _code(said: str, secret: str | None) -> str:
    """The error code, if it is one: an authorization server may put what it was sent there."""
    quotes = secret is not None and (secret in said or said in secret)
    return said if _WORD.fullmatch(said) and not quotes else "unknown_error"


def _vendor_grant(entry: CatalogEntry, values: Mapping[str, str]) -> _Grant:
    """At the token endpoint of the catalogue. Raises TokenRefused naming the value that does not fit."""
    table = entry.client_credentials
    assert table is not None
    try:
        url = entry.filled(table.token_url, values)
    except BadUrlValue as error:
        raise TokenRefused(f"config.{error}", param="config", oauth_error="invalid_request") from None
    target = TokenTarget(
        issuer=url, token_endpoint=url, authority=table.token_url, token_params=dict(table.token_params)
    )
    methods = tuple(dict.fromkeys((table.token_auth, *SECRET_METHODS, JWT)))
    return _Grant(target, methods, table.scopes, table.scope_separator)


def _check_grant(metadata: Mapping[str, Any], issuer: str) -> None:
    """Many servers do not list their grants, and have this one."""
    offered = metadata.get("grant_types_supported")
    if isinstance(offered, list) and GRANT not in offered:
        raise TokenRefused(
            f"{issuer} does not offer the grant {GRANT}: expected auth_headers, or auth_mode per_user",
            param="auth.type",
            oauth_error="unsupported_grant_type",
        )


def _methods(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    offered, algs = auth_methods(metadata), signing_algs(metadata)
    signs = JWT in offered and SIGNING_ALG in (algs or (SIGNING_ALG,))
    return (*(name for name in SECRET_METHODS if name in offered), *((JWT,) if signs else ()))


def _check_bound(client: OwnClient, authority: str) -> None:
    """Raises TokenRefused if it is another one that the client is bound to."""
    if client.authority in {"", authority}:
        return
    raise TokenRefused(
        f"tokens for this server are given out by {authority}, and the client {client.client_id} is bound to "
        f"{client.authority}: nothing was sent. If you have a client there, send auth with its client_id",
        param="auth.client_id",
        oauth_error="issuer_changed",
    )
