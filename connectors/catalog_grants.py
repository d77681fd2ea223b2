"""What the catalogue says of how a vendor gives out tokens, where it differs from the RFCs.

A vendor that follows them needs few of these fields: each has the standard's value as its default.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from connectors.url_template import PLACEHOLDER

TokenAuth = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
"""How a client proves itself at the token endpoint (OpenID Connect Core, section 9)."""


def _is_path(path: str) -> str:
    if not all(part.replace("_", "").replace("-", "").isalnum() for part in path.split(".")):
        raise ValueError("expected a path of names with dots, such as authed_user.access_token")
    return path


def _is_header_template(template: str) -> str:
    if not template.isascii() or not template.isprintable():
        raise ValueError("expected printable ASCII characters")
    return template


JsonPath = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_is_path)]
"""Where a value is in a JSON answer: ``team.name``; a number picks from an array: ``data.0.login``."""

Headers = dict[
    Annotated[str, Field(pattern=r"^[a-z0-9-]{1,60}$")],
    Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_is_header_template)],
]
"""Header templates by lower-case name."""

Scopes = tuple[Annotated[str, Field(pattern=r"^[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+$")], ...]
"""Scopes (RFC 6749, section 3.3), without commas, since some vendors separate them by those."""

IdleDays = Annotated[int, Field(ge=1, le=3650)]

Parameters = dict[
    Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,60}$")],
    Annotated[str, Field(min_length=1, max_length=500)],
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class McpOAuth(_Table):
    """The MCP authorization flow: everything else is discovered.

    ``registration`` ``manual``: the authorization server takes only clients registered by hand, so that the
    operator's own must be configured. ``refresh_idle_days``: as of ``OAuth2``.
    """

    registration: Literal["dynamic", "manual"] | None = None
    scopes: Scopes = ()
    refresh_idle_days: IdleDays | None = None


class TokenResponse(_Table):
    """Where the vendor's token answer has what RFC 6749, section 5.1 names.

    ``api_url`` and ``account_name``: where it has the address, or the host, of this account's API and the
    account's name, if it has them.
    """

    access_token: JsonPath = Field(default="access_token")
    refresh_token: JsonPath = Field(default="refresh_token")
    expires_in: JsonPath = "expires_in"
    scope: JsonPath = "scope"
    api_url: JsonPath | None = None
    account_name: JsonPath | None = None


class OAuth2(_Table):
    """The authorization code grant at given endpoints (RFC 6749, section 4.1).

    URLs and parameters may have placeholders of ``config_schema``. ``token_params`` go with the code,
    ``refresh_params`` with a refresh token. ``callback_values``: the parameters, besides ``code``, that the
    vendor's redirect brings and its API needs later. ``tokens_expire`` false: an access token
    without ``expires_in`` lives until it is revoked. ``token_lifetime_s``: how long one lives, in seconds,
    if the answer does not say. ``refresh_idle_days``: how long a refresh token lives that nobody uses, where
    the vendor documents it. ``grant_errors``: the vendor's own words for
    ``invalid_grant``, a refresh token that is gone. ``headers``: how an access token is sent
    to the vendor's API.
    """

    authorize_url: str
    token_url: str
    refresh_url: str | None = None
    revocation_url: str | None = None
    device_url: str | None = None
    scopes: Scopes = ()
    scope_separator: Literal[" ", ","] = " "
    scope_parameter: str = Field(default="scope", pattern=r"^[a-z_]{1,30}$")
    client_id_parameter: str = Field(default="client_id", pattern=r"^[a-z_]{1,30}$")
    token_auth: TokenAuth = Field(default="client_secret_post")
    token_body: Literal["form", "json"] = Field(default="form")
    pkce: bool = True
    refresh: bool = True
    tokens_expire: bool = True
    token_lifetime_s: int | None = Field(default=None, ge=60)
    refresh_idle_days: IdleDays | None = None
    authorize_params: Parameters = Field(default_factory=dict)
    token_params: Parameters = Field(default_factory=dict)
    refresh_params: Parameters = Field(default_factory=dict)
    grant_errors: tuple[Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,60}$")], ...] = ()
    callback_values: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")], ...] = ()
    token_response: TokenResponse = Field(default_factory=TokenResponse)
    headers: Headers = Field(default_factory=lambda: {"authorization": "Bearer {access_token}"})

    def urls(self) -> dict[str, str]:
        """The endpoints that are given, by field name."""
        named = {
            "authorize_url": self.authorize_url,
            "token_url": self.token_url,
            "refresh_url": self.refresh_url,
            "revocation_url": self.revocation_url,
            "device_url": self.device_url,
        }
        return {name: url for name, url in named.items() if url is not None}

    def texts(self) -> dict[str, str]:
        """The other texts that may have placeholders, by field name."""
        tables = {
            "authorize_params": self.authorize_params,
            "token_params": self.token_params,
            "refresh_params": self.refresh_params,
        }
        return {f"{table}.{name}": text for table, texts in tables.items() for name, text in texts.items()}


class ClientCredentials(_Table):
    """The client credentials grant (RFC 6749, section 4.4), for the developer's own account."""

    token_url: str
    token_auth: TokenAuth = Field(default="client_secret_basic")
    scopes: Scopes = ()
    scope_separator: Literal[" ", ","] = " "
    token_params: Parameters = Field(default_factory=dict)


class Basic(_Table):
    """A key that is sent as a user name or password (RFC 7617), from templates."""

    username: Annotated[str, Field(max_length=200)] = ""
    password: Annotated[str, Field(max_length=200)] = ""


class AccountLookup(_Table):
    """How to ask the vendor whose account was connected, for display: a GET with the account's credential."""

    url: str
    name: JsonPath


def asked_of(*texts: str) -> frozenset[str]:
    """The placeholders of all the texts."""
    return frozenset(name for text in texts for name in PLACEHOLDER.findall(text))
