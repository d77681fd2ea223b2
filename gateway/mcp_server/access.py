"""Who may speak to ``/mcp``: holders of an API key, and of a token of the operator's authorization server."""

from starlette.requests import Request

from gateway.accounts.keys import ApiKeys
from gateway.front_door import credentials
from kit.caller import Caller
from kit.errors import AuthenticationFailed, InvalidRequest

END_USER_HEADER = "x-heddle-end-user-id"
MAX_END_USER_ID_LENGTH = 200


class Access:
    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def admit(self, request: Request) -> tuple[Caller, str | None]:
        """The caller, and the end user it acts for: the key's own, or the one it names.

        Raises AuthenticationFailed; InvalidRequest; PermissionDenied if the key is bound to another one.
        """
        secret, _ = credentials(request.scope)
        if secret is None:
            raise AuthenticationFailed(
                "an API key is needed: send it as x-api-key or as authorization: Bearer", code="missing_key"
            )
        caller = await self._keys.authenticate(secret)
        request.scope["caller"] = caller
        return caller, caller.acting_for(_named(request))


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
