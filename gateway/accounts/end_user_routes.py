"""``/v1/end-users``: budgets and resale markups of an account's end users (admin)."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from gateway.accounts.end_users import EndUsers, EndUserSettings
from gateway.accounts.schemas import PutEndUser, render_end_user
from kit.caller import Admin
from kit.money import nanos_from_usd
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page
from kit.request_body import check_storable

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
EndUserId = Annotated[str, Path(min_length=1, max_length=200)]


def end_user_routes(end_users: EndUsers) -> APIRouter:
    router = APIRouter(prefix="/v1/end-users", tags=["end users"])

    @router.get("")
    async def list_end_users(
        caller: Admin, limit: Limit = DEFAULT_LIMIT, cursor: str | None = None
    ) -> dict[str, Any]:
        after = str(decode_cursor(cursor, str)[0]) if cursor else None
        rows = await end_users.page(caller.account_id, limit=limit, after=after)
        return page(rows, limit, render_end_user, lambda row: (row.end_user_id,))

    @router.put("/{end_user_id}")
    async def put_end_user(end_user_id: EndUserId, body: PutEndUser, caller: Admin) -> dict[str, Any]:
        check_storable({"end_user_id": end_user_id})
        settings = EndUserSettings(
            budget_nanos=None if body.budget_usd is None else nanos_from_usd(body.budget_usd),
            budget_period=body.budget_period,
            markup=None if body.markup is None else str(body.markup),
            metadata=body.metadata,
        )
        return render_end_user(await end_users.put(caller.account_id, end_user_id, settings))

    @router.get("/{end_user_id}")
    async def get_end_user(end_user_id: EndUserId, caller: Admin) -> dict[str, Any]:
        return render_end_user(await end_users.get(caller.account_id, end_user_id))

    return router
