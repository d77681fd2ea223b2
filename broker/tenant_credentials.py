"""What a request carries to act as the developer: their fixed headers, or a token for their own client."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.models import McpServer
from broker.server_store import ServerStore
from connectors.client_tokens import ClientToken
from connectors.credentials import Credentials
from connectors.own_client import OwnClient, Protected, TokenRefused
from connectors.token_answer import Tokens
from kit.brief_cache import BriefCache
from kit.clock import Clock
from kit.errors import HeddleError

logger = logging.getLogger("heddle.broker")


@dataclass(frozen=True)
class TenantCredential:
    """``token``: what the headers are made of, if it was given to the developer's client."""

    headers: Mapping[str, str] = field(repr=False)
    token: ClientToken | None = None


@dataclass(frozen=True)
class Checked:
    """A client that has just been given a token: bound to whom it is from."""

    client: OwnClient
    tokens: Tokens

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens.access_token}"}


class TenantCredentials:
    """Opened headers are kept for seconds (``kit.brief_cache``) by the id of their secret, which is another
    one after each change."""

    def __init__(self, store: ServerStore, credentials: Credentials, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._headers = BriefCache[str, Mapping[str, str]]()
        self._tokens = credentials.client_tokens
        self._grant = credentials.own_clients

    async def of(self, server: McpServer, *, rejected: ClientToken | None = None) -> TenantCredential:
        """``rejected``: the server just answered 401 to it; the same is returned if there is no other.

        Raises UpstreamFailed if there is no token, SecretNotFound, SecretTampered.
        """
        key = server.headers_secret_id
        if key is None:
            return TenantCredential({})
        if key not in self._tokens:
            headers = await self._fixed_headers(server, key)
            if headers is not None:
                return TenantCredential(headers)
        token = await self._tokens.lease(key, lambda: self._ask(server), rejected=rejected)
        return TenantCredential(token.headers, token)

    async def _fixed_headers(self, server: McpServer, key: str) -> Mapping[str, str] | None:
        """None for one that has a client instead."""
        now, drops = self._clock.now_ms(), self._headers.drops
        if (kept := self._headers.get(key, now)) is not None:
            return kept
        secret = await self._store.credentials(server)
        if isinstance(secret, OwnClient):
            return None
        self._headers.put(key, secret, now_ms=now, drops=drops)
        return secret

    async def check(self, account_id: str, server_url: str, slug: str | None, client: OwnClient) -> Checked:
        """Have the client given a token, before it is stored. Raises InvalidRequest naming the field that was
        refused, or UpstreamFailed."""
        try:
            tokens, bound = await self._grant.token(Protected(account_id, server_url, slug), client)
        except TokenRefused as refused:
            if refused.is_final:
                raise refused.as_bad_input() from None
            raise
        return Checked(bound, tokens)

    async def changed(self, server: McpServer, client: OwnClient) -> Checked:
        """``check`` for a server that is there."""
        return await self.check(server.account_id, server.server_url, server.catalog_slug, client)

    async def current(self, server: McpServer) -> OwnClient | None:
        """Raises SecretNotFound, SecretTampered."""
        secret = await self._store.credentials(server)
        return secret if isinstance(secret, OwnClient) else None

    def keep(self, server: McpServer, checked: Checked) -> None:
        """The token serves the server that its client was stored with."""
        if server.headers_secret_id is not None:
            self._tokens.keep(server.headers_secret_id, checked.tokens)

    def forget(self, server: McpServer) -> None:
        if server.headers_secret_id is not None:
            self._tokens.forget(server.headers_secret_id)
            self._headers.drop(server.headers_secret_id)

    async def _ask(self, server: McpServer) -> Tokens:
        client = await self.current(server)
        assert client is not None
        at = Protected(server.account_id, server.server_url, server.catalog_slug)
        try:
            tokens, _ = await self._grant.token(at, client)
        except HeddleError as failure:
            reason = failure.details.get("oauth_error", failure.code)
            logger.warning("no token for the developer's client at MCP server %s: %s", server.id, reason)
            raise
        return tokens
