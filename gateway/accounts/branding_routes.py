"""``/v1/account/branding``: how the hosted pages look to an account's end users (admin)."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field, field_validator

from connectors.brand import theme_of
from gateway.accounts.branding import Branding
from gateway.accounts.models import AccountBranding
from kit.caller import Admin
from kit.errors import PermissionDenied
from kit.request_body import RequestBody


class PutBranding(RequestBody):
    """All of it, as with any PUT: what is left out is the usual again."""

    name: str | None = Field(default=None, min_length=1, max_length=80)
    color: str | None = Field(default=None, pattern=r"^#[0-9a-fA-F]{6}$")
    logo_url: str | None = Field(default=None, min_length=1, max_length=2000)

    @field_validator("name")
    @classmethod
    def _is_one_line(cls, name: str | None) -> str | None:
        if name is not None and (not name.strip() or not name.isprintable()):
            raise ValueError("expected a name in one line")
        return name.strip() if name is not None else None


def branding_routes(branding: Branding) -> APIRouter:
    router = APIRouter(prefix="/v1/account/branding", tags=["account"])

    @router.get("")
    async def get_branding(caller: Admin) -> dict[str, Any]:
        return _render(await branding.get(caller.account_id))

    @router.put("")
    async def put_branding(body: PutBranding, caller: Admin) -> dict[str, Any]:
        if caller.is_test:
            raise PermissionDenied("a test account looks like its live account", code="live_key_required")
        row = await branding.put(
            caller.account_id,
            name=body.name,
            color=body.color.lower() if body.color is not None else None,
            logo_url=body.logo_url,
        )
        return _render(row)

    return router


def _render(row: AccountBranding) -> dict[str, Any]:
    theme = theme_of(row.color)
    return {
        "object": "account.branding",
        "name": row.name,
        "color": row.color,
        "text_color": theme.on_accent,
        "logo_url": row.logo_url,
        "logo_path": f"/connect/logo/{row.logo_sha256}.png" if row.logo_sha256 is not None else None,
        "updated_at": row.updated_at or None,
    }
