"""Proof that the person who consents is the end user whom the link was made for.

A link can be forwarded. So the developer's site, which knows who is logged in, is asked: the connect page
sends the browser to ``verify_url`` with a challenge, the site sends it back with a signature of the challenge
and of its user's ``end_user_id``. Both sides use one secret, made for the account and shown once.

- the challenge: a JWT (HS256) with ``session``, ``connector``, ``browser`` (a hash of this browser's cookie),
  ``iss``, ``aud`` (the ``verify_url``), ``exp`` and ``jti``; the site should check it;
- the signature: hex HMAC-SHA256 of ``<challenge>.<end_user_id>``.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlmodel import Session, select

from connectors.connect_link import LinkUnusable
from connectors.models import ConnectSession, ConnectVerification
from kit.clock import Clock
from kit.db import Database
from kit.errors import InvalidRequest, NotFound
from kit.ids import new_id
from vault.store import SecretNotFound, Vault

PURPOSE = "connect_verification"
CHALLENGE_LIFETIME_MS = 10 * 60 * 1000
RETURN_PATH = "/connect/verified"
ALG = "HS256"


@dataclass(frozen=True, slots=True)
class NewVerification:
    """``secret`` exists in clear here and at the developer's."""

    verify_url: str
    secret: str = field(repr=False)


class Verification:
    def __init__(self, db: Database, vault: Vault, clock: Clock, public_url: str) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._public_url = public_url

    async def put(self, account_id: str, verify_url: str) -> NewVerification:
        """Ask this site from now on, with a fresh secret. Raises InvalidRequest."""
        checked, secret = check_verify_url(verify_url), f"cvs_{secrets.token_urlsafe(32)}"

        def write(session: Session) -> None:
            row = session.exec(
                select(ConnectVerification)
                .where(ConnectVerification.account_id == account_id)
                .with_for_update()
            ).first()
            if row is None:
                row = ConnectVerification(
                    account_id=account_id,
                    verify_url=checked,
                    secret_id="",
                    created_at=self._clock.now_ms(),
                )
            else:
                self._vault.forget(session, row.secret_id)
            row.verify_url = checked
            row.secret_id = self._vault.seal(
                session, account_id=account_id, owner=account_id, purpose=PURPOSE, plaintext=secret.encode()
            )
            session.add(row)

        await self._db.write(write)
        return NewVerification(checked, secret)

    async def url(self, account_id: str) -> str | None:
        """The site that vouches for an account's end users, if one does."""
        row = await self._row(account_id)
        return None if row is None else row.verify_url

    async def delete(self, account_id: str) -> None:
        """Raises NotFound."""

        def write(session: Session) -> bool:
            row = session.get(ConnectVerification, account_id)
            if row is None:
                return False
            self._vault.forget(session, row.secret_id)
            session.delete(row)
            return True

        if not await self._db.write(write):
            raise NotFound("no verify_url is set")

    async def url_for(self, account_id: str, requested: str | None) -> str | None:
        """The site to ask for one link. Raises InvalidRequest if there is no secret to ask with."""
        usual = await self.url(account_id)
        if requested is None:
            return usual
        if usual is None:
            raise InvalidRequest(
                "verify_url: there is no secret yet: PUT /v1/connect-verification first", param="verify_url"
            )
        return check_verify_url(requested)

    async def challenge(self, row: ConnectSession, browser_sha256: str) -> str:
        """Where to send the browser: the site, with a challenge for this session and this browser."""
        assert row.verify_url is not None
        claims = {
            "iss": self._public_url,
            "aud": row.verify_url,
            "session": row.id,
            "connector": row.connector,
            "browser": browser_sha256,
            "exp": (self._clock.now_ms() + CHALLENGE_LIFETIME_MS) // 1000,
            "jti": new_id("chal"),
        }
        key = OctKey.import_key(await self._secret(row.account_id))
        challenge = jwt.encode({"alg": ALG}, claims, key, algorithms=[ALG])
        query = urlencode({"challenge": challenge, "return_to": f"{self._public_url}{RETURN_PATH}/{row.id}"})
        return f"{row.verify_url}{'&' if '?' in row.verify_url else '?'}{query}"

    async def signed_by_site(
        self, row: ConnectSession, browser_sha256: str, *, challenge: str, end_user_id: str, signature: str
    ) -> bool:
        """Whether the site signed this end user for our challenge to this session and browser, in time."""
        secret = await self._secret(row.account_id)
        expected = site_signature(secret, challenge, end_user_id)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            return False
        try:
            claims = jwt.decode(challenge, OctKey.import_key(secret), algorithms=[ALG]).claims
        except (JoseError, ValueError):
            return False
        in_time = claims.get("exp", 0) * 1000 > self._clock.now_ms()
        return in_time and (claims.get("session"), claims.get("browser")) == (row.id, browser_sha256)

    async def _secret(self, account_id: str) -> str:
        row = await self._row(account_id)
        if row is None:
            raise LinkUnusable("not_verified")
        try:
            opened = await self._vault.open(
                row.secret_id, account_id=account_id, owner=account_id, purpose=PURPOSE
            )
        except SecretNotFound:  # replaced a moment ago
            raise LinkUnusable("not_verified") from None
        return opened.decode()

    async def _row(self, account_id: str) -> ConnectVerification | None:
        async with self._db.session() as session:
            return await session.get(ConnectVerification, account_id)


def site_signature(secret: str, challenge: str, end_user_id: str) -> str:
    """What the site answers with."""
    return hmac.new(secret.encode(), f"{challenge}.{end_user_id}".encode(), hashlib.sha256).hexdigest()


def check_verify_url(url: str) -> str:
    """Raises InvalidRequest."""
    parts = urlsplit(url)
    loopback = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if not parts.hostname or parts.fragment or not (parts.scheme == "https" or loopback):
        raise InvalidRequest("verify_url: expected an https URL without a fragment", param="verify_url")
    return url
