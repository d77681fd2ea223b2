"""How an end user is asked for consent: discovered for an MCP server, given by the catalogue for others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connectors.catalog_entry import CatalogEntry
from connectors.discovery import AuthorizationServer
from connectors.token_target import TokenPaths, TokenTarget
from connectors.url_template import filled_text

OFFLINE = "offline_access"


@dataclass(frozen=True)
class Grant:
    """What the browser's way to the authorization server needs, and where the tokens then come from.

    ``scopes``: what is asked for unless somebody says otherwise. ``server``: the discovered metadata, where
    there is some: only then can we register by ourselves. ``token_auth``: how a client registered by hand
    proves itself.
    """

    authorize_url: str
    target: TokenTarget
    token_auth: str
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    scope_parameter: str = "scope"
    scope_separator: str = " "
    pkce: bool = True
    sends_iss: bool = False
    device_endpoint: str | None = None
    server: AuthorizationServer | None = None

    def scopes_for(self, requested: Sequence[str] | None, granted: Sequence[str]) -> tuple[str, ...]:
        """What to ask for: what was requested, or the usual, and what this end user has granted before, so
        that connecting again for one more scope does not lose the others. ``offline_access`` is asked for
        exactly where the server lists it."""
        wanted = [*(requested or self.scopes), *granted]
        if self.server is not None:
            wanted = [scope for scope in wanted if scope != OFFLINE]
            if self.server.offers_offline_access:
                wanted.append(OFFLINE)
        return tuple(dict.fromkeys(wanted))


def server_grant(
    server: AuthorizationServer, usual_scopes: Sequence[str] = (), *, refresh_idle_days: int | None = None
) -> Grant:
    """For a discovered server. Scopes: the challenge's, the resource's, else ``usual_scopes``."""
    method = next((name for name in server.auth_methods if name != "none"), "client_secret_basic")
    return Grant(
        authorize_url=server.authorization_endpoint,
        target=TokenTarget(
            issuer=server.issuer,
            token_endpoint=server.token_endpoint,
            revocation_endpoint=server.revocation_endpoint,
            resource=server.resource,
            refresh_idle_days=refresh_idle_days,
        ),
        token_auth=method,
        scopes=server.scopes or tuple(usual_scopes),
        sends_iss=server.sends_iss,
        device_endpoint=server.device_endpoint,
        server=server,
    )


def vendor_grant(entry: CatalogEntry, values: Mapping[str, str]) -> Grant:
    """For a vendor with given endpoints and somebody's values. Raises BadUrlValue naming the field."""
    oauth2 = entry.oauth2
    assert oauth2 is not None
    urls = {name: entry.filled(url, values) for name, url in oauth2.urls().items()}
    target = TokenTarget(
        issuer=urls["token_url"],
        token_endpoint=urls["token_url"],
        authority=oauth2.token_url,
        revocation_endpoint=urls.get("revocation_url"),
        refresh_endpoint=urls.get("refresh_url"),
        body=oauth2.token_body,
        client_id_parameter=oauth2.client_id_parameter,
        token_params=dict(oauth2.token_params),
        refresh_params=dict(oauth2.refresh_params),
        refreshes=oauth2.refresh,
        tokens_expire=oauth2.tokens_expire,
        token_lifetime_s=oauth2.token_lifetime_s,
        refresh_idle_days=oauth2.refresh_idle_days,
        answer=TokenPaths(**oauth2.token_response.model_dump()),
        grant_errors=oauth2.grant_errors,
        api_url=entry.api_address(values),
        headers=dict(oauth2.headers),
    )
    return Grant(
        authorize_url=urls["authorize_url"],
        target=target,
        token_auth=oauth2.token_auth,
        scopes=oauth2.scopes,
        parameters={name: filled_text(text, values) for name, text in oauth2.authorize_params.items()},
        scope_parameter=oauth2.scope_parameter,
        scope_separator=oauth2.scope_separator,
        pkce=oauth2.pkce,
        device_endpoint=urls.get("device_url"),
    )
