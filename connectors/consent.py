"""The OAuth part of a connect flow: what to ask the end user's consent for, and what came of it."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from connectors.clients import OAuthClients
from connectors.connections import OAUTH, NewCredentials
from connectors.discovery import discover
from connectors.grant import Grant, server_grant, vendor_grant
from connectors.http import OAuthHttp
from connectors.oauth import OAuthFailed, authorization_url, exchange_code
from connectors.registry import ConnectorTarget
from connectors.token_answer import Tokens, at_path
from connectors.token_target import TokenTarget, token_headers, token_target
from connectors.url_template import BadUrlValue, fill_url, placeholders
from kit.clock import Clock
from kit.errors import HeddleError, InvalidRequest

logger = logging.getLogger("heddle.connectors")

MAX_ACCOUNT_NAME = 200
MAX_CALLBACK_VALUE = 200


@dataclass(frozen=True)
class Consent:
    """A flow that is under way, between the browser's departure and its return.

    ``facts`` may be stored as they are; ``sealed`` only in the vault.
    """

    url: str = field(repr=False)
    state: str = field(repr=False)
    facts: dict[str, Any]
    sealed: bytes = field(repr=False)


class Consents:
    def __init__(self, http: OAuthHttp, clients: OAuthClients, clock: Clock) -> None:
        self._http = http
        self.clients = clients
        self._clock = clock

    async def grant(self, target: ConnectorTarget, values: Mapping[str, str]) -> Grant:
        """How to ask, with the values of ``config_schema``. Raises InvalidRequest, UpstreamFailed."""
        try:
            if target.auth == "oauth2" and target.entry is not None:
                return vendor_grant(target.entry, values)
            choices = target.entry.choices if target.entry is not None else {}
            asked = placeholders(target.server_url)
            url = fill_url(target.server_url, values, choices) if asked else target.server_url
        except BadUrlValue as error:
            raise InvalidRequest(str(error), param=error.field) from None
        server = await discover(self._http, url)
        return server_grant(server, target.usual_scopes, refresh_idle_days=target.refresh_idle_days)

    async def authority(self, target: ConnectorTarget) -> tuple[str, str]:
        """What a client registered by hand is bound to, and how one proves itself there usually.

        Raises InvalidRequest for a connector without OAuth, UpstreamFailed if it cannot be discovered.
        """
        if target.auth == "oauth2" and target.entry is not None and target.entry.oauth2 is not None:
            return target.entry.oauth2.token_url, target.entry.oauth2.token_auth
        if target.auth != "oauth" or placeholders(target.server_url):
            raise InvalidRequest(
                f"{target.name} does not connect by OAuth at one authorization server: expected a connector "
                "with auth oauth or oauth2",
                param="connector",
            )
        grant = await self.grant(target, {})
        return grant.target.bound_to, grant.token_auth

    async def begin(
        self,
        account_id: str,
        target: ConnectorTarget,
        values: Mapping[str, str],
        *,
        requested: Sequence[str] | None,
        granted: Sequence[str],
    ) -> Consent:
        """Raises ClientNeeded, InvalidRequest or UpstreamFailed (discovery, registration)."""
        grant = await self.grant(target, values)
        client = await self.clients.identity(account_id, target, grant)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        scopes = grant.scopes_for(requested, granted)
        url = authorization_url(
            grant,
            client.client_id,
            self.clients.redirect_uri,
            state=state,
            verifier=verifier,
            scopes=scopes,
        )
        sealed = msgspec.json.encode({"verifier": verifier if grant.pkce else None, "values": dict(values)})
        return Consent(url, state, flow_facts(grant, bound(grant.target, client), scopes), sealed)

    async def finish(
        self,
        account_id: str,
        target: ConnectorTarget,
        facts: Mapping[str, Any],
        sealed: bytes,
        *,
        code: str,
        callback: Mapping[str, str],
    ) -> NewCredentials:
        """Exchange the code. Raises OAuthFailed or UpstreamFailed."""
        kept = token_target(facts["target"])
        client = await self.clients.registered(account_id, target.name, kept)
        opened = msgspec.json.decode(sealed)
        try:
            tokens = await exchange_code(
                self._http,
                kept,
                client,
                code=code,
                verifier=opened["verifier"],
                redirect_uri=self.clients.redirect_uri,
                values=opened["values"],
            )
        except OAuthFailed as failure:
            if failure.oauth_error == "invalid_client":
                await self.clients.forget(kept)
            raise
        return await self.credentials(target, facts, opened["values"], tokens, callback)

    async def credentials(
        self,
        target: ConnectorTarget,
        facts: Mapping[str, Any],
        values: Mapping[str, str],
        tokens: Tokens,
        callback: Mapping[str, str],
    ) -> NewCredentials:
        """What a connection keeps of the tokens, with what else their use needs."""
        kept = token_target(facts["target"])
        oauth2 = target.entry.oauth2 if target.entry is not None and target.auth == "oauth2" else None
        secret: dict[str, Any] = {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "values": dict(values),
        }
        wanted = oauth2.callback_values if oauth2 is not None else ()
        brought = {name: callback[name][:MAX_CALLBACK_VALUE] for name in wanted if callback.get(name)}
        if brought:
            secret["callback"] = brought
        if tokens.api_url is not None:
            secret["api_url"] = self._api_url(tokens.api_url)
        expires_at = None
        if tokens.expires_in is not None:
            expires_at = self._clock.now_ms() + tokens.expires_in * 1000
        name = tokens.account_name or await self.account_name(target, token_headers(kept, secret), values)
        return NewCredentials(
            OAUTH,
            secret,
            scopes=tokens.scopes or tuple(facts["scopes"]),
            expires_at=expires_at,
            oauth=kept.kept(),
            account_name=name[:MAX_ACCOUNT_NAME] if name else None,
        )

    async def account_name(
        self, target: ConnectorTarget, headers: Mapping[str, str], values: Mapping[str, str]
    ) -> str | None:
        """Whose account it is, asked of the vendor; None if it does not say. For display only."""
        if target.entry is None or target.entry.account is None:
            return None
        lookup = target.entry.account
        try:
            answer = await self._http.get(target.entry.filled(lookup.url, values), headers=headers)
        except (HeddleError, BadUrlValue) as failure:
            logger.info("the account's name at %s is not known: %s", target.name, type(failure).__name__)
            return None
        name = at_path(answer.json, lookup.name) if answer.status == 200 else None
        return str(name)[:MAX_ACCOUNT_NAME] if isinstance(name, str | int) and name else None

    def _api_url(self, told: str) -> str:
        """The address of an account's own API: some vendors tell only its host. Raises UpstreamFailed."""
        return self._http.check(told if "://" in told else f"https://{told}").rstrip("/")


def bound(target: TokenTarget, client: Any) -> TokenTarget:
    """The target with the client that tokens will be given to."""
    return msgspec.structs.replace(
        target, client=client.source, client_id=client.client_id, client_auth=client.auth_method
    )


def flow_facts(grant: Grant, target: TokenTarget, scopes: Sequence[str]) -> dict[str, Any]:
    """What must be known when the answer comes. ``issuer`` None: the vendor has none to be named."""
    return {
        "target": target.kept(),
        "scopes": list(scopes),
        "sends_iss": grant.sends_iss,
        "issuer": grant.target.issuer if grant.server is not None else None,
        "listed": list(grant.server.listed) if grant.server is not None else None,
    }
