"""Tokens of the operator's authorization server, for clients that sign their users in instead of holding a
key.

Heddle is the resource server of the MCP specification's authorization chapter: it says which server issues
its tokens (RFC 9728), and takes those that were issued for it (RFC 8707) as signed JWTs (RFC 9068). A token
acts through an API key, whose limits and caps hold for it, as one end user.

Invariants: a token is taken only if the issuer's own keys signed it, with an asymmetric algorithm, for this
very resource, and it has not expired; it can never act as anybody but the end user in it.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from connectors.discovery import DiscoveryFailed, server_metadata
from connectors.http import OAuthHttp
from gateway.accounts.keys import ApiKeys
from kit.caller import Caller
from kit.errors import AuthenticationFailed, PermissionDenied, UpstreamFailed, UpstreamUnavailable

logger = logging.getLogger("heddle.mcp")

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S = 30
KEYS_GOOD_FOR_S = 3600
LOOK_AGAIN_AFTER_S = 30
"""How often, at most, the issuer is asked for its keys because of a token with an unknown one."""
MAX_END_USER_ID_LENGTH = 200
METADATA_PATH = "/.well-known/oauth-protected-resource"


class BadToken(AuthenticationFailed):
    code = "invalid_token"


@dataclass(frozen=True)
class OAuthSettings:
    """``key_id``: the API key that every token acts through; without it the claim ``key_claim`` names one."""

    issuer: str
    resource: str
    """Our own address: what a token must have been issued for."""
    end_user_claim: str
    key_claim: str
    key_id: str | None
    scopes: tuple[str, ...]
    """What a token must have been granted."""

    @property
    def metadata(self) -> dict[str, Any]:
        """Protected resource metadata (RFC 9728, section 2)."""
        return {
            "resource": self.resource,
            "authorization_servers": [self.issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": "Heddle",
            **({"scopes_supported": list(self.scopes)} if self.scopes else {}),
        }


class OAuthAccess:
    def __init__(self, settings: OAuthSettings, http: OAuthHttp, keys: ApiKeys) -> None:
        self.settings = settings
        self._issuer_keys = _IssuerKeys(http, settings.issuer)
        self._keys = keys

    async def caller(self, token: str) -> tuple[Caller, int]:
        """Whom a token acts as, and until when (Unix seconds).

        Raises BadToken; PermissionDenied without the scopes, or if the key is bound to another end user;
        UpstreamUnavailable while the issuer's keys are not known.
        """
        claims = await self._claims(token)
        granted = set(str(claims.get("scope", "")).split())
        missing = [scope for scope in self.settings.scopes if scope not in granted]
        if missing:
            raise PermissionDenied(
                f"the token was not granted {' '.join(missing)}", code="insufficient_scope", param="scope"
            )
        end_user_id = _text(claims, self.settings.end_user_claim)
        key_id = self.settings.key_id or _text(claims, self.settings.key_claim)
        caller = await self._keys.caller(key_id)
        caller = dataclasses.replace(caller, end_user_id=caller.acting_for(end_user_id))
        return caller, int(claims["exp"])

    async def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._issuer_keys.get(header.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self.settings.resource,
                issuer=self.settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.InvalidAudienceError:
            raise BadToken(f"the token was not issued for {self.settings.resource}") from None
        except jwt.ExpiredSignatureError:
            raise BadToken("the token has expired") from None
        except jwt.PyJWTError as problem:
            raise BadToken(f"the token is not valid: {type(problem).__name__}") from None
        return claims


class _IssuerKeys:
    """The keys that the issuer signs with, read when they are needed, once for all who wait."""

    def __init__(self, http: OAuthHttp, issuer: str) -> None:
        self._http = http
        self._issuer = issuer
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = self._tried_at = -float("inf")
        self._lock = asyncio.Lock()

    async def get(self, kid: str | None) -> jwt.PyJWK:
        """Raises BadToken for a key that the issuer does not have, UpstreamUnavailable."""
        async with self._lock:
            now = time.monotonic()
            stale = now - self._read_at > KEYS_GOOD_FOR_S or kid not in self._keys
            if stale and now - self._tried_at > LOOK_AGAIN_AFTER_S:
                self._tried_at = now
                await self._read(now)
        if not self._keys:
            raise UpstreamUnavailable(
                f"the keys of {self._issuer}, which issues the tokens, cannot be read for now",
                code="issuer_unavailable",
            )
        if kid not in self._keys:
            raise BadToken("the token is signed with a key that its issuer does not publish")
        return self._keys[kid]

    async def _read(self, now: float) -> None:
        """Keeps those known if the issuer cannot be asked."""
        try:
            address = (await server_metadata(self._http, self._issuer)).get("jwks_uri")
            if not isinstance(address, str):
                raise DiscoveryFailed(f"{self._issuer} names no jwks_uri")
            answer = await self._http.get(address)
            keys = jwt.PyJWKSet.from_dict(answer.json or {}).keys
        except (UpstreamFailed, jwt.PyJWTError) as problem:
            logger.warning("the keys of the issuer %s cannot be read: %s", self._issuer, problem)
            return
        signing = [key for key in keys if key.public_key_use in {None, "sig"}]
        self._keys = {key.key_id: key for key in signing}
        if len(signing) == 1:
            self._keys[None] = signing[0]
        self._read_at = now


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_END_USER_ID_LENGTH:
        raise BadToken(
            f"the token's claim {name}: expected a text of 1 to {MAX_END_USER_ID_LENGTH} characters"
        )
    return value
