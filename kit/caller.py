"""Who is calling: the authenticated identity that the front door puts on every request."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from kit.errors import AuthenticationFailed, NotFound, PermissionDenied


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated API key. A key bound to an end user acts only for that end user."""

    account_id: str
    key_id: str
    scope: str
    end_user_id: str | None = None
    models: tuple[str, ...] | None = None
    drains: bool = False
    """Whether a call goes on to its end when its client has gone."""

    @property
    def is_admin(self) -> bool:
        return self.scope == "admin"

    def acting_for(self, requested: str | None) -> str | None:
        """The end user a request is for. Raises PermissionDenied if the key is bound to another one."""
        if self.end_user_id is None:
            return requested
        if requested is not None and requested != self.end_user_id:
            raise PermissionDenied(
                "this key is bound to another end user", code="end_user_mismatch", param="end_user_id"
            )
        return self.end_user_id

    def must_see(self, what: str, owner_end_user_id: str | None) -> None:
        """Raises NotFound when the key is bound to an end user that does not own the row."""
        if self.end_user_id is not None and owner_end_user_id != self.end_user_id:
            raise NotFound(f"{what} not found")


def standard_caller(request: Request) -> Caller:
    caller = request.scope.get("caller")
    if not isinstance(caller, Caller):
        raise AuthenticationFailed(
            "an API key is needed: x-api-key or authorization: Bearer", code="missing_key"
        )
    return caller


def admin_caller(request: Request) -> Caller:
    caller = standard_caller(request)
    if not caller.is_admin:
        raise PermissionDenied("this route needs a key with scope admin", code="admin_required")
    return caller


Standard = Annotated[Caller, Depends(standard_caller)]
"""Route parameter: any valid key."""
Admin = Annotated[Caller, Depends(admin_caller)]
"""Route parameter: a valid key with scope ``admin``."""
