"""Finding the authorization server of an MCP server.

RFC 9728 (protected resource metadata), then RFC 8414 or OpenID Connect Discovery, as the MCP
specification's authorization chapter orders them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from connectors.http import OAuthHttp
from kit.errors import UpstreamFailed

PROBE = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
_PARAMETER = re.compile(r'([a-zA-Z_]+)="([^"]*)"')


class DiscoveryFailed(UpstreamFailed):
    """No usable authorization server could be found; the message says at which point."""

    code = "oauth_discovery"


@dataclass(frozen=True)
class AuthorizationServer:
    """What we need of an authorization server's metadata, and of the resource it protects."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None
    revocation_endpoint: str | None
    auth_methods: tuple[str, ...]
    sends_iss: bool
    takes_client_documents: bool
    """Whether a client may be the address of its metadata (Client ID Metadata Documents)."""
    signing_algs: tuple[str, ...]
    device_endpoint: str | None
    offers_offline_access: bool
    listed: tuple[str, ...]
    """All the issuers that the resource names."""
    resource: str
    scopes: tuple[str, ...]
    """The challenge's, else what the resource says it supports."""


@dataclass(frozen=True)
class ProtectedResource:
    """What a server says of itself: its identifier, who gives out tokens for it (never nobody), and for what.

    ``scopes``: the challenge's, else what the resource says it supports.
    """

    identifier: str
    issuers: tuple[str, ...]
    scopes: tuple[str, ...]


async def protected_resource(http: OAuthHttp, server_url: str) -> ProtectedResource:
    """Raises DiscoveryFailed, or UpstreamFailed if the server cannot be reached."""
    challenge = await _challenge(http, server_url)
    metadata = await _resource_metadata(http, server_url, challenge.get("resource_metadata"))
    named = metadata.get("authorization_servers") or [_origin(server_url)]
    issuers = tuple(issuer for issuer in named if isinstance(issuer, str)) if isinstance(named, list) else ()
    if not issuers:
        raise DiscoveryFailed("the resource metadata names no authorization server")
    return ProtectedResource(
        identifier=metadata.get("resource") or server_url.rstrip("/"),
        issuers=issuers,
        scopes=_scopes(challenge.get("scope"), metadata.get("scopes_supported")),
    )


async def discover(http: OAuthHttp, server_url: str) -> AuthorizationServer:
    """Raises DiscoveryFailed, or UpstreamFailed if a server cannot be reached."""
    resource = await protected_resource(http, server_url)
    issuer = resource.issuers[0]
    metadata = await server_metadata(http, issuer)
    if "S256" not in (metadata.get("code_challenge_methods_supported") or ()):
        raise DiscoveryFailed(f"{issuer} does not offer PKCE with S256")
    return AuthorizationServer(
        issuer=issuer,
        authorization_endpoint=http.check(_required(metadata, "authorization_endpoint", issuer)),
        token_endpoint=token_endpoint(http, metadata, issuer),
        registration_endpoint=metadata.get("registration_endpoint"),
        revocation_endpoint=metadata.get("revocation_endpoint"),
        takes_client_documents=metadata.get("client_id_metadata_document_supported") is True,
        signing_algs=signing_algs(metadata),
        device_endpoint=metadata.get("device_authorization_endpoint"),
        offers_offline_access="offline_access" in (metadata.get("scopes_supported") or ()),
        listed=resource.issuers,
        auth_methods=auth_methods(metadata),
        sends_iss=metadata.get("authorization_response_iss_parameter_supported") is True,
        resource=resource.identifier,
        scopes=resource.scopes,
    )


def token_endpoint(http: OAuthHttp, metadata: Mapping[str, Any], issuer: str) -> str:
    """Raises DiscoveryFailed, or UpstreamFailed if it may not be used."""
    return http.check(_required(metadata, "token_endpoint", issuer))


def auth_methods(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """How clients may prove themselves at the token endpoint."""
    return tuple(metadata.get("token_endpoint_auth_methods_supported") or ("client_secret_basic",))


def signing_algs(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """With which algorithms assertions may be signed; none: it does not say."""
    return tuple(metadata.get("token_endpoint_auth_signing_alg_values_supported") or ())


def parse_challenge(header: str) -> dict[str, str]:
    """The parameters of a ``WWW-Authenticate: Bearer`` challenge (RFC 6750, section 3)."""
    scheme, _, rest = header.partition(" ")
    return dict(_PARAMETER.findall(rest)) if scheme.lower() == "bearer" else {}


async def _challenge(http: OAuthHttp, server_url: str) -> dict[str, str]:
    answer = await http.post_json(server_url, PROBE)
    return parse_challenge(answer.headers.get("www-authenticate", "")) if answer.status == 401 else {}


async def _resource_metadata(http: OAuthHttp, server_url: str, named: str | None) -> dict[str, Any]:
    origin, path = _origin(server_url), urlsplit(server_url).path.rstrip("/")
    well_known = f"{origin}/.well-known/oauth-protected-resource"
    candidates = [named] if named else list(dict.fromkeys([well_known + path, well_known]))
    for url in candidates:
        answer = await http.get(url)
        if answer.status == 200 and answer.json is not None:
            resource = answer.json.get("resource")
            if resource is not None and not _covers(str(resource), server_url):
                raise DiscoveryFailed(f"{url} describes another resource, {resource}")
            return answer.json
    return {}


def _covers(resource: str, server_url: str) -> bool:
    """Whether the metadata is of this server (RFC 9728, section 3.3): its origin, a path leading to it."""
    path = urlsplit(resource).path.rstrip("/")
    return _origin(resource) == _origin(server_url) and (
        urlsplit(server_url).path.rstrip("/") + "/"
    ).startswith(path + "/")


async def server_metadata(http: OAuthHttp, issuer: str) -> dict[str, Any]:
    """What an authorization server says of itself (RFC 8414, OpenID Connect Discovery).

    Raises DiscoveryFailed, also if it says to be another; UpstreamFailed if it cannot be reached.
    """
    origin, path = _origin(issuer), urlsplit(issuer).path.rstrip("/")
    candidates = [
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{issuer.rstrip('/')}/.well-known/openid-configuration",
    ]
    for url in dict.fromkeys(candidates):
        answer = await http.get(url)
        if answer.status == 200 and answer.json is not None:
            if answer.json.get("issuer") != issuer:
                raise DiscoveryFailed(f"{url} says it is {answer.json.get('issuer')}, not {issuer}")
            return answer.json
    raise DiscoveryFailed(f"{issuer} publishes no authorization server metadata")


def _scopes(challenged: str | None, supported: Any) -> tuple[str, ...]:
    if challenged:
        return tuple(challenged.split())
    return tuple(str(scope) for scope in supported) if isinstance(supported, list) else ()


def _required(metadata: Mapping[str, Any], name: str, issuer: str) -> str:
    value = metadata.get(name)
    if not isinstance(value, str):
        raise DiscoveryFailed(f"{issuer} names no {name}")
    return value


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
