"""Who we are at an authorization server.

In this order: the account's own client, the operator's, our metadata document, a dynamic registration.
Invariant: a secret is only ever sent to the authority that its client was registered with, and tokens are
only ever used by the client they were given to. An authorization server that changed gets another identity.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from connectors.client_auth import ClientIdentity
from connectors.client_store import ACCOUNT, ClientStore
from connectors.discovery import AuthorizationServer
from connectors.grant import Grant
from connectors.http import OAuthHttp
from connectors.oauth import OAuthFailed
from connectors.registration import OwnDocuments, may_sign, register_client
from connectors.registry import ConnectorTarget
from connectors.signing_key import SigningKeys
from connectors.token_target import TokenTarget
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, HeddleError
from vault.store import Vault

CALLBACK_PATH = "/connect/callback"
CONFIGURED, PLAIN_DOCUMENT, SIGNED_DOCUMENT = "configured", "document", "signed_document"


@dataclass(frozen=True, slots=True)
class ConfiguredClient:
    """A client that the operator registered by hand, for all accounts. ``issuer``: whom it is bound to, where
    the connector's authorization server is discovered. ``auth_method`` None: as is usual there."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    auth_method: str | None = None
    issuer: str | None = None


class ClientNeeded(Conflict):
    """The vendor takes only clients registered by hand, and there is none."""

    code = "oauth_client_needed"


class OAuthClients:
    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        http: OAuthHttp,
        redirect_uri: str,
        configured: Mapping[str, ConfiguredClient] | None = None,
    ) -> None:
        self._http = http
        self._configured = dict(configured or {})
        self._registering = asyncio.Lock()
        self.redirect_uri = redirect_uri
        self.store = ClientStore(db, vault, clock, redirect_uri)
        self.keys = SigningKeys(db, vault, clock)
        self.documents = OwnDocuments(redirect_uri.removesuffix(CALLBACK_PATH), redirect_uri)

    async def must_have(self, account_id: str, target: ConnectorTarget) -> None:
        """Raises ClientNeeded if end users cannot be sent to a vendor because nobody registered a client."""
        if target.auth == "oauth2" and not await self.has_client(account_id, target.name):
            raise self._needed(target)

    async def has_client(self, account_id: str, connector: str) -> bool:
        """Whether somebody registered a client at this vendor by hand."""
        if connector in self._configured:
            return True
        return await self.store.account_row(account_id, connector) is not None

    async def identity(self, account_id: str, target: ConnectorTarget, grant: Grant) -> ClientIdentity:
        """Who we are for this account at this grant's server, registering on first use.

        Raises ClientNeeded, OAuthFailed or UpstreamFailed.
        """
        by_hand = await self._by_hand(account_id, target.name, grant)
        if by_hand is not None:
            return await self._with_key(by_hand, account_id)
        if grant.server is None or target.manual_registration:
            raise self._needed(target)
        if grant.server.takes_client_documents and self.documents.usable:
            signed = may_sign(grant.server)
            return await self._document(signed=signed)
        return await self._registered(grant.server)

    async def registered(self, account_id: str, connector: str, target: TokenTarget) -> ClientIdentity:
        """The identity that a connection's tokens were given to.

        Raises OAuthFailed: ``invalid_client`` if it is gone, ``invalid_grant`` if another took its place.
        """
        found = await self._source(account_id, connector, target)
        if found is None:
            raise OAuthFailed(f"our client at {target.issuer} is gone", "invalid_client")
        if target.client_id and found.client_id != target.client_id:
            raise OAuthFailed(f"our client at {target.issuer} is another one now", "invalid_grant")
        return await self._with_key(found, account_id)

    async def forget(self, target: TokenTarget) -> None:
        """The server does not know us: what we registered there ourselves is of no use any more."""
        if not target.client:
            await self.store.forget_registered(target.issuer, target.client_id)

    async def _by_hand(self, account_id: str, connector: str, grant: Grant) -> ClientIdentity | None:
        authority = grant.target.bound_to
        bound_to, own = await self.store.account_client(account_id, connector)
        if own is not None and bound_to == authority:
            return own
        if own is not None and grant.server is None:
            raise ClientNeeded(
                f"{connector} asks for tokens at {authority} now, and your client was registered for "
                f"{bound_to}: PUT /v1/oauth-clients/{connector} again",
                param="connector",
            )
        return self._of_operator(connector, grant)

    def _of_operator(self, connector: str, grant: Grant) -> ClientIdentity | None:
        authority = grant.target.bound_to
        by_name, by_issuer = self._configured.get(connector), self._configured.get(authority)
        if by_name is not None and grant.server is not None and by_name.issuer is None:
            raise ClientNeeded(
                f"[oauth_clients.{connector}] does not say whose client it is: expected "
                f'issuer = "{authority}", if you registered it there',
                param="connector",
            )
        if by_name is not None and (grant.server is None or by_name.issuer == authority):
            return _configured(connector, by_name, grant.token_auth)
        return _configured(authority, by_issuer, grant.token_auth) if by_issuer is not None else None

    async def _source(self, account_id: str, connector: str, target: TokenTarget) -> ClientIdentity | None:
        """The client as it is now, from where the tokens' client came, if it has the same authority."""
        kind, _, key = target.client.partition(":")
        if kind == ACCOUNT:
            bound_to, own = await self.store.account_client(account_id, connector)
            return own if bound_to == target.bound_to else None
        if kind == CONFIGURED:
            client = self._configured.get(key)
            if client is None or (client.issuer or target.bound_to) != target.bound_to:
                return None
            return _configured(key, client, target.client_auth)
        if kind in {PLAIN_DOCUMENT, SIGNED_DOCUMENT}:
            return await self._document(signed=kind == SIGNED_DOCUMENT)
        return await self.store.registered(target.issuer)

    async def _document(self, *, signed: bool) -> ClientIdentity:
        client_id = self.documents.client_id(signed=signed)
        if not signed:
            return ClientIdentity(client_id, "none", source=PLAIN_DOCUMENT)
        identity = ClientIdentity(client_id, "private_key_jwt", source=SIGNED_DOCUMENT)
        return replace(identity, signing_key=await self.keys.private())

    async def _with_key(self, identity: ClientIdentity, account_id: str) -> ClientIdentity:
        """An account's own client signs with the account's own key."""
        if identity.auth_method != "private_key_jwt" or identity.signing_key is not None:
            return identity
        own = identity.source == ACCOUNT
        key = await (self.keys.private(account_id) if own else self.keys.private())
        return replace(identity, signing_key=key)

    async def _registered(self, server: AuthorizationServer) -> ClientIdentity:
        known = await self.store.registered(server.issuer)
        if known is not None:
            return known
        async with self._registering:
            known = await self.store.registered(server.issuer)
            if known is not None:
                return known
            identity = await register_client(self._http, server, self.redirect_uri)
            await self.store.keep_registered(server.issuer, identity)
        stored = await self.store.registered(server.issuer)
        assert stored is not None
        return stored

    def _needed(self, target: ConnectorTarget) -> HeddleError:
        return ClientNeeded(
            f"{target.display_name} takes only clients that were registered by hand: register one there with "
            f"the redirect URI {self.redirect_uri}, then PUT /v1/oauth-clients/{target.name}, or have the "
            f"operator configure [oauth_clients.{target.name}]",
            param="connector",
        )


def _configured(key: str, client: ConfiguredClient, usual_auth: str) -> ClientIdentity:
    method = client.auth_method or (usual_auth if client.client_secret or "jwt" in usual_auth else "none")
    return ClientIdentity(client.client_id, method, client.client_secret, source=f"{CONFIGURED}:{key}")
