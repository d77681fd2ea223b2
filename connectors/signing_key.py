"""Signing keys for authorization servers: made once, sealed, their public halves published.

The installation has one for its own clients and the operator's, and each account that needs one has its own:
with a shared key, an account could name another's client and be taken for it.
"""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import RSAKey
from sqlmodel import Session

from connectors.client_auth import SIGNING_ALG, SigningKey
from connectors.models import OAuthSigningKey
from kit.clock import Clock
from kit.db import Database
from kit.ids import new_id
from vault.store import Vault

OPERATOR = "operator"
PURPOSE = "oauth_signing_key"
KEY_BITS = 2048


class SigningKeys:
    def __init__(self, db: Database, vault: Vault, clock: Clock) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock

    async def private(self, account_id: str = OPERATOR) -> SigningKey:
        """The key, made on first use; whichever process is first makes it for all."""
        row = await self._row(account_id)
        pem = await self._vault.open(row.secret_id, account_id=account_id, owner=row.id, purpose=PURPOSE)
        return SigningKey(row.public_jwk["kid"], pem.decode())

    async def public_set(self) -> dict[str, Any]:
        """The installation's JWK set (RFC 7517), as authorization servers fetch it."""
        return {"keys": [(await self._row(OPERATOR)).public_jwk]}

    async def public_set_of(self, account_id: str) -> dict[str, Any]:
        """An account's; without keys if it has none: asking for it makes none."""
        row = await self._found(account_id)
        return {"keys": [] if row is None else [row.public_jwk]}

    async def _row(self, account_id: str) -> OAuthSigningKey:
        found = await self._found(account_id)
        if found is None:
            await self._make(account_id)
            found = await self._found(account_id)
            assert found is not None
        return found

    async def _found(self, account_id: str) -> OAuthSigningKey | None:
        async with self._db.session() as session:
            return await session.get(OAuthSigningKey, account_id)

    async def _make(self, account_id: str) -> None:
        private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        facts = {"kid": new_id("jwk"), "use": "sig", "alg": SIGNING_ALG}
        public: dict[str, Any] = {**RSAKey.import_key(pem).as_dict(private=False), **facts}

        def write(session: Session) -> None:
            if session.get(OAuthSigningKey, account_id) is not None:
                return  # another process was faster
            secret_id = self._vault.seal(
                session, account_id=account_id, owner=account_id, purpose=PURPOSE, plaintext=pem
            )
            session.add(
                OAuthSigningKey(
                    id=account_id, secret_id=secret_id, public_jwk=public, created_at=self._clock.now_ms()
                )
            )

        await self._db.write(write)
