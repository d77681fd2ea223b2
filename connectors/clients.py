"""This installation's registrations at authorization servers: one per issuer, shared by all accounts.

They are shared because they identify Heddle's callback address, not a tenant; the tokens that come of
them belong to one end user's connection each.
"""

import asyncio

from sqlmodel import Session, select

from connectors.discovery import AuthorizationServer
from connectors.http import OAuthHttp
from connectors.models import OAuthClient
from connectors.oauth import ClientIdentity, OAuthFailed, register_client
from kit.clock import Clock
from kit.db import Database
from kit.ids import new_id
from vault.store import Vault

OPERATOR = "operator"
PURPOSE = "oauth_client_secret"


class OAuthClients:
    def __init__(self, db: Database, vault: Vault, clock: Clock, http: OAuthHttp, redirect_uri: str) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._http = http
        self._registering = asyncio.Lock()
        self.redirect_uri = redirect_uri

    async def identity(self, server: AuthorizationServer) -> ClientIdentity:
        """Who we are at this server, registering on first use. Raises OAuthFailed or UpstreamFailed."""
        known = await self._known(server.issuer)
        if known is not None:
            return known
        async with self._registering:
            known = await self._known(server.issuer)
            if known is not None:
                return known
            identity = await register_client(self._http, server, self.redirect_uri)
            await self._db.write(lambda session: self._store(session, server.issuer, identity))
        stored = await self._known(server.issuer)
        assert stored is not None
        return stored

    async def registered(self, issuer: str) -> ClientIdentity:
        """The identity that tokens of this issuer were given to. Raises OAuthFailed if it is gone."""
        known = await self._known(issuer)
        if known is None:
            raise OAuthFailed(f"the registration at {issuer} is gone", "invalid_client")
        return known

    async def _known(self, issuer: str) -> ClientIdentity | None:
        query = select(OAuthClient).where(
            OAuthClient.issuer == issuer, OAuthClient.redirect_uri == self.redirect_uri
        )
        async with self._db.session() as session:
            row = (await session.exec(query)).first()
        if row is None:
            return None
        secret = None
        if row.client_secret_id is not None:
            opened = await self._vault.open(
                row.client_secret_id, account_id=OPERATOR, owner=row.id, purpose=PURPOSE
            )
            secret = opened.decode()
        return ClientIdentity(row.client_id, row.auth_method, secret)

    def _store(self, session: Session, issuer: str, identity: ClientIdentity) -> None:
        taken = session.exec(
            select(OAuthClient.id).where(
                OAuthClient.issuer == issuer, OAuthClient.redirect_uri == self.redirect_uri
            )
        ).first()
        if taken is not None:  # another process was faster; its registration serves us too
            return
        row_id = new_id("oac")
        secret_id = None
        if identity.client_secret is not None:
            secret_id = self._vault.seal(
                session,
                account_id=OPERATOR,
                owner=row_id,
                purpose=PURPOSE,
                plaintext=identity.client_secret.encode(),
            )
        session.add(
            OAuthClient(
                id=row_id,
                issuer=issuer,
                redirect_uri=self.redirect_uri,
                client_id=identity.client_id,
                client_secret_id=secret_id,
                auth_method=identity.auth_method,
                created_at=self._clock.now_ms(),
            )
        )
