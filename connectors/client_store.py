"""The rows of our OAuth clients: those registered at issuers by us, and those of accounts.

What we registered ourselves is shared by all accounts: it identifies Heddle's callback address, not a tenant.
What an account registered by hand serves that account's connections only.
"""

from sqlmodel import Session, col, delete, select

from connectors.client_auth import ClientIdentity
from connectors.models import AccountOAuthClient, OAuthClient
from kit.clock import Clock
from kit.db import Database
from kit.ids import new_id
from vault.store import Vault

OPERATOR = "operator"
PURPOSE = "oauth_client_secret"
REGISTERED, ACCOUNT = "", "account"
"""Sources of an identity; the others are in ``connectors.clients``."""


class ClientStore:
    def __init__(self, db: Database, vault: Vault, clock: Clock, redirect_uri: str) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._redirect_uri = redirect_uri

    async def registered(self, issuer: str) -> ClientIdentity | None:
        """What we registered at this issuer."""
        query = select(OAuthClient).where(
            OAuthClient.issuer == issuer, OAuthClient.redirect_uri == self._redirect_uri
        )
        async with self._db.session() as session:
            row = (await session.exec(query)).first()
        if row is None:
            return None
        secret = await self._secret(row.client_secret_id, OPERATOR, row.id)
        return ClientIdentity(row.client_id, row.auth_method, secret, source=REGISTERED)

    async def keep_registered(self, issuer: str, identity: ClientIdentity) -> None:
        """Store what we registered, unless another process was faster; its registration serves us too."""

        def write(session: Session) -> None:
            taken = session.exec(
                select(OAuthClient.id).where(
                    OAuthClient.issuer == issuer, OAuthClient.redirect_uri == self._redirect_uri
                )
            ).first()
            if taken is not None:
                return
            row_id = new_id("oac")
            session.add(
                OAuthClient(
                    id=row_id,
                    issuer=issuer,
                    redirect_uri=self._redirect_uri,
                    client_id=identity.client_id,
                    client_secret_id=self._sealed(session, identity.client_secret, OPERATOR, row_id),
                    auth_method=identity.auth_method,
                    created_at=self._clock.now_ms(),
                )
            )

        await self._db.write(write)

    async def forget_registered(self, issuer: str, client_id: str) -> None:
        """The issuer does not know this registration any more: the next flow registers anew."""

        def write(session: Session) -> None:
            row = session.exec(
                select(OAuthClient).where(OAuthClient.issuer == issuer, OAuthClient.client_id == client_id)
            ).first()
            if row is not None:
                self._forget(session, row.client_secret_id)
                session.delete(row)

        await self._db.write(write)

    async def account_row(self, account_id: str, connector: str) -> AccountOAuthClient | None:
        query = select(AccountOAuthClient).where(
            AccountOAuthClient.account_id == account_id, AccountOAuthClient.connector == connector
        )
        async with self._db.session() as session:
            return (await session.exec(query)).first()

    async def account_client(
        self, account_id: str, connector: str
    ) -> tuple[str, ClientIdentity] | tuple[None, None]:
        """An account's own client for a connector, after the authority that it is bound to."""
        row = await self.account_row(account_id, connector)
        if row is None:
            return None, None
        secret = await self._secret(row.client_secret_id, account_id, row.id)
        return row.authority, ClientIdentity(row.client_id, row.auth_method, secret, source=ACCOUNT)

    async def put_account_client(
        self, account_id: str, connector: str, *, authority: str, identity: ClientIdentity
    ) -> AccountOAuthClient:
        """Store an account's own client in the place of the one it had."""
        now = self._clock.now_ms()

        def write(session: Session) -> AccountOAuthClient:
            row = session.exec(
                select(AccountOAuthClient)
                .where(AccountOAuthClient.account_id == account_id, AccountOAuthClient.connector == connector)
                .with_for_update()
            ).first()
            if row is None:
                row = AccountOAuthClient(
                    id=new_id("oac"),
                    account_id=account_id,
                    connector=connector,
                    authority=authority,
                    client_id=identity.client_id,
                    auth_method=identity.auth_method,
                    created_at=now,
                    updated_at=now,
                )
            else:
                self._forget(session, row.client_secret_id)
            row.client_secret_id = self._sealed(session, identity.client_secret, account_id, row.id)
            row.authority, row.client_id = authority, identity.client_id
            row.auth_method, row.updated_at = identity.auth_method, now
            session.add(row)
            session.flush()
            return row

        return await self._db.write(write)

    async def delete_account_client(self, account_id: str, connector: str) -> bool:
        """Whether there was one."""

        def write(session: Session) -> bool:
            row = session.exec(
                select(AccountOAuthClient).where(
                    AccountOAuthClient.account_id == account_id, AccountOAuthClient.connector == connector
                )
            ).first()
            if row is None:
                return False
            self._forget(session, row.client_secret_id)
            session.exec(delete(AccountOAuthClient).where(col(AccountOAuthClient.id) == row.id))
            return True

        return await self._db.write(write)

    async def _secret(self, secret_id: str | None, account_id: str, owner: str) -> str | None:
        if secret_id is None:
            return None
        opened = await self._vault.open(secret_id, account_id=account_id, owner=owner, purpose=PURPOSE)
        return opened.decode()

    def _sealed(self, session: Session, secret: str | None, account_id: str, owner: str) -> str | None:
        if secret is None:
            return None
        return self._vault.seal(
            session, account_id=account_id, owner=owner, purpose=PURPOSE, plaintext=secret.encode()
        )

    def _forget(self, session: Session, secret_id: str | None) -> None:
        if secret_id is not None:
            self._vault.forget(session, secret_id)
