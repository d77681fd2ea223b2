"""Who may speak to ``/mcp``: holders of an API key, and of a token of the operator's authorization server."""

from dataclasses import dataclass

from starlette.requests import Request

from gateway.accounts.keys import ApiKeys
from gateway.front_door import MAX_SECRET_LENGTH, credentials
from gateway.mcp_server.oauth import METADATA_PATH, BadToken, OAuthAccess
from kit.caller import Caller
from kit.errors import AuthenticationFailed, InvalidRequest, PermissionDenied

END_USER_HEADER = "x-heddle-end-user-id"
MAX_END_USER_ID_LENGTH = 200
MAX_TOKEN_LENGTH = 8192


@dataclass(frozen=True, slots=True)
class Admitted:
    """The end user is the key's own, or the one that it named. ``good_until``: Unix seconds."""

    caller: Caller
    end_user_id: str | None
    good_until: int | None = None


class Access:
    def __init__(self, keys: ApiKeys, oauth: OAuthAccess | None, *, public_url: str, path: str) -> None:
        self._keys = keys
        self._oauth = oauth
        self._metadata_url = f"{public_url}{METADATA_PATH}{path}"

    async def admit(self, request: Request) -> Admitted:
        """Raises AuthenticationFailed; InvalidRequest; PermissionDenied if the key is bound to another one.

        What is refused says where tokens are issued, if they are (RFC 9728, section 5.1).
        """
        try:
            caller, good_until = await self._caller(request)
        except (AuthenticationFailed, PermissionDenied) as refusal:
            challenge = self._challenge(refusal)
            if challenge is not None:
                refusal.headers["www-authenticate"] = challenge
            raise
        request.scope["caller"] = caller
        return Admitted(caller, caller.acting_for(_named(request)), good_until)

    async def _caller(self, request: Request) -> tuple[Caller, int | None]:
        secret, _ = credentials(
            request.scope, max_length=MAX_TOKEN_LENGTH if self._oauth else MAX_SECRET_LENGTH
        )
        if secret is None:
            raise AuthenticationFailed(
                "an API key is needed: send it as x-api-key or as authorization: Bearer", code="missing_key"
            )
        if self._oauth is not None and secret.count(".") == 2:  # a JWT; no key has a dot
            return await self._oauth.caller(secret)
        return await self._keys.authenticate(secret), None

    def _challenge(self, refusal: AuthenticationFailed | PermissionDenied) -> str | None:
        if self._oauth is None:
            return None
        where = f'resource_metadata="{self._metadata_url}"'
        if refusal.code == "insufficient_scope":
            wanted = " ".join(self._oauth.settings.scopes)
            return f'Bearer error="insufficient_scope", scope="{wanted}", {where}'
        if isinstance(refusal, PermissionDenied):
            return None
        return (
            f'Bearer error="invalid_token", {where}' if isinstance(refusal, BadToken) else f"Bearer {where}"
        )


def _named(request: Request) -> str | None:
    """The end user in the header, in UTF-8. Raises InvalidRequest."""
    header = request.headers.get(END_USER_HEADER)
    if header is None:
        return None
    try:
        end_user_id = header.encode("latin-1").decode()
    except UnicodeDecodeError:
        end_user_id = ""
    if not 1 <= len(end_user_id) <= MAX_END_USER_ID_LENGTH:
        raise InvalidRequest(
            f"{END_USER_HEADER}: expected 1 to {MAX_END_USER_ID_LENGTH} characters in UTF-8",
            param=END_USER_HEADER,
        )
    return end_user_id
