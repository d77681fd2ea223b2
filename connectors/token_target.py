"""Where tokens come from: the facts that a connection keeps of its authorization server.

They are kept, not looked up, so that a token is only ever sent to where it came from: a vendor file or a
server's metadata that changes later does not move the tokens that are out.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from connectors.url_template import filled_text


class TokenPaths(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a token answer has what RFC 6749, section 5.1 names, as paths with dots."""

    access_token: str = "access_token"  # noqa: S105 - a path
    refresh_token: str = "refresh_token"  # noqa: S105 - a path
    expires_in: str = "expires_in"
    scope: str = "scope"
    api_url: str | None = None
    account_name: str | None = None


class TokenTarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One authorization server, as a client of it that asks for tokens must know it.

    ``issuer``: its identifier, or where none is known, the token endpoint. ``authority``: what a client that
    was registered by hand is bound to, the issuer, or for a vendor with given endpoints the catalogue's
    ``token_url``, placeholders and all; empty: the issuer. ``client``, ``client_id`` and ``client_auth``:
    whom the tokens were given to, and how it proves itself (``connectors.clients``). Parameters and headers
    are templates; what they need lies sealed with the tokens. ``grant_errors``: the vendor's own words for
    ``invalid_grant``.
    """

    issuer: str
    token_endpoint: str
    resource: str | None = None
    authority: str = ""
    client: str = ""
    client_id: str = ""
    client_auth: str = ""
    revocation_endpoint: str | None = None
    refresh_endpoint: str | None = None
    body: Literal["form", "json"] = "form"
    client_id_parameter: str = "client_id"
    token_params: dict[str, str] = {}
    refresh_params: dict[str, str] = {}
    refreshes: bool = True
    tokens_expire: bool = True
    token_lifetime_s: int | None = None
    refresh_idle_days: int | None = None
    """How long a refresh token lives that nobody uses; None: the vendor does not say."""
    answer: TokenPaths = TokenPaths()
    grant_errors: tuple[str, ...] = ()
    api_url: str | None = None
    """Where the vendor's API is for this account, unless a token answer has told it."""
    headers: dict[str, str] | None = None
    """How an access token is sent; None: as a bearer."""

    @property
    def bound_to(self) -> str:
        return self.authority or self.issuer

    def kept(self) -> dict[str, Any]:
        """As ``Connection.oauth`` has it: without what is as usual."""
        facts: dict[str, Any] = msgspec.to_builtins(self)
        return facts


def token_target(kept: Mapping[str, Any] | None) -> TokenTarget:
    """What a connection kept of its authorization server (``Connection.oauth``)."""
    return msgspec.convert(kept or {}, TokenTarget)


def token_headers(target: TokenTarget, secret: Mapping[str, Any]) -> dict[str, str]:
    """What a request with this access token must carry."""
    token = secret["access_token"]
    if target.headers is None:
        return {"authorization": f"Bearer {token}"}
    values = {**secret.get("values", {}), "access_token": token}
    return {name: filled_text(text, values) for name, text in target.headers.items()}
