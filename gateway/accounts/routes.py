"""``/v1/keys``: mint, list, edit and revoke API keys (admin).

A live key manages its account's keys and those of its test account; a test key manages test keys.
"""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlmodel import Session

from gateway.accounts.keys import ApiKeys, NewKey
from gateway.accounts.models import ApiKey
from gateway.accounts.schemas import EditKey, MintKey, render_key
from gateway.accounts.twins import Twins
from gateway.billing.caps import refuse_cap_below_spent
from kit.caller import Admin, Mode
from kit.clock import Clock
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


def key_routes(keys: ApiKeys, twins: Twins, clock: Clock) -> APIRouter:
    def check_cap(session: Session, row: ApiKey) -> None:
        if row.cap_nanos is not None:
            refuse_cap_below_spent(session, row.id, row.cap_nanos, row.cap_period, clock.now_ms())

    router = APIRouter(prefix="/v1/keys", tags=["keys"])

    @router.post("", status_code=201)
    async def mint_key(body: MintKey, caller: Admin) -> dict[str, Any]:
        spec = NewKey(
            name=body.name,
            scope=body.scope,
            end_user_id=body.end_user_id,
            cap_nanos=body.cap_nanos,
            cap_period=body.cap_period,
            models=tuple(body.models) if body.models is not None else None,
            expires_at=body.expires_at,
            rpm=body.rpm,
            tpm=body.tpm,
            max_concurrent=body.max_concurrent,
            on_disconnect=body.on_disconnect,
        )
        account_id = await twins.account_for(caller, body.mode, minting=True)
        assert account_id is not None, "minting makes the account"
        mode = body.mode or caller.mode
        row, secret = await keys.mint(account_id, spec, mode=mode)
        return {**render_key(row, mode), "secret": secret}

    @router.get("")
    async def list_keys(
        caller: Admin,
        limit: Limit = DEFAULT_LIMIT,
        cursor: str | None = None,
        include_revoked: bool = False,
        mode: Mode | None = None,
    ) -> dict[str, Any]:
        before = decode_cursor(cursor, int, str) if cursor else None
        account_id = await twins.account_for(caller, mode)
        rows = (
            await keys.page(account_id, limit=limit, before=before, include_revoked=include_revoked)
            if account_id is not None
            else []
        )
        shown = partial(render_key, mode=mode or caller.mode)
        answer = page(rows, limit, shown, lambda row: (row.created_at, row.id))
        return {**answer, "keys": answer["data"]}

    @router.get("/{key_id}")
    async def get_key(key_id: str, caller: Admin) -> dict[str, Any]:
        account_id, mode = await twins.owner(caller, key_id)
        return render_key(await keys.get(account_id, key_id), mode)

    @router.patch("/{key_id}")
    async def edit_key(key_id: str, body: EditKey, caller: Admin) -> dict[str, Any]:
        account_id, mode = await twins.owner(caller, key_id)
        return render_key(await keys.edit(account_id, key_id, body.changes(), check=check_cap), mode)

    @router.delete("/{key_id}")
    async def revoke_key(key_id: str, caller: Admin) -> dict[str, Any]:
        account_id, _ = await twins.owner(caller, key_id)
        await keys.revoke(account_id, key_id)
        return {"ok": True, "id": key_id, "object": "api_key.deleted", "deleted": True}

    return router
