"""This installation's signing key for authorization servers: made once, sealed, its public half published."""

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
THE_KEY = "signing_key"
KEY_BITS = 2048


class SigningKeys:
    def __init__(self, db: Database, vault: Vault, clock: Clock) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock

    async def private(self) -> SigningKey:
        """The key, made on first use; whichever process is first makes it for all."""
        row = await self._row()
        pem = await self._vault.open(row.secret_id, account_id=OPERATOR, owner=row.id, purpose=PURPOSE)
        return SigningKey(row.public_jwk["kid"], pem.decode())

    async def public_set(self) -> dict[str, Any]:
        """The JWK set (RFC 7517) that authorization servers fetch."""
        return {"keys": [(await self._row()).public_jwk]}

    async def _row(self) -> OAuthSigningKey:
        found = await self._found()
        if found is None:
            await self._make()
            found = await self._found()
            assert found is not None
        return found

    async def _found(self) -> OAuthSigningKey | None:
        async with self._db.session() as session:
            return await session.get(OAuthSigningKey, THE_KEY)

    async def _make(self) -> None:
        private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        facts = {"kid": new_id("jwk"), "use": "sig", "alg": SIGNING_ALG}
        public: dict[str, Any] = {**RSAKey.import_key(pem).as_dict(private=False), **facts}

        def write(session: Session) -> None:
            if session.get(OAuthSigningKey, THE_KEY) is not None:
                return  # another process was faster
            secret_id = self._vault.seal(
                session, account_id=OPERATOR, owner=THE_KEY, purpose=PURPOSE, plaintext=pem
            )
            session.add(
                OAuthSigningKey(
                    id=THE_KEY, secret_id=secret_id, public_jwk=public, created_at=self._clock.now_ms()
                )
            )

        await self._db.write(write)
