"""Who is calling: the authenticated identity that the front door puts on every request."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

from kit.errors import AuthenticationFailed, NotFound, PermissionDenied

Mode = Literal["live", "test"]
"""Whether an account's calls reach real providers for money, or the simulated one for play money."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated API key. A key bound to an end user acts only for that end user.

    ``mode`` is its account's: what the secret looks like decides nothing.
    """

    account_id: str
    key_id: str
    scope: str
    end_user_id: str | None = None
    models: tuple[str, ...] | None = None
    drains: bool = False
    """Whether a call goes on to its end when its client has gone."""
    mode: Mode = "live"

    @property
    def is_admin(self) -> bool:
        return self.scope == "admin"

    @property
    def is_test(self) -> bool:
        return self.mode == "test"

    def file_name(self, name: str) -> str:
        """The name of a file with the account's figures: of a test account it says so."""
        return f"TEST-{name}" if self.is_test else name

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


def live_admin_caller(request: Request) -> Caller:
    caller = admin_caller(request)
    if caller.is_test:
        raise PermissionDenied(
            "this route is about real money: it needs a live key, and this one is a test key",
            code="live_key_required",
        )
    return caller


def test_admin_caller(request: Request) -> Caller:
    caller = admin_caller(request)
    if not caller.is_test:
        raise PermissionDenied(
            "this route is about play money: it needs a test key (POST /v1/keys with mode: test)",
            code="test_key_required",
        )
    return caller


Standard = Annotated[Caller, Depends(standard_caller)]
"""Route parameter: any valid key."""
Admin = Annotated[Caller, Depends(admin_caller)]
"""Route parameter: a valid key with scope ``admin``."""
LiveAdmin = Annotated[Caller, Depends(live_admin_caller)]
"""Route parameter: one of a live account."""
TestAdmin = Annotated[Caller, Depends(test_admin_caller)]
"""Route parameter: one of a test account."""
