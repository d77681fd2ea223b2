"""``POST /v1/billing/credits``: the operator gives an account money, for installations without Stripe."""

import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import Field
from sqlmodel import select

from gateway.accounts.models import Account
from gateway.billing.amounts import AmountUsd
from gateway.billing.billing import Billing
from gateway.billing.models import LedgerEntry
from gateway.idempotency.refusals import MAX_KEY_CHARS
from kit.db import Database
from kit.errors import AuthenticationFailed, Conflict, InvalidRequest, NotFound, Unsupported
from kit.money import nanos_from_usd, usd_text
from kit.request_body import RequestBody, read_model

PATH = "/v1/billing/credits"
MAX_BODY = 16 * 1024


class GrantCredit(RequestBody):
    account_id: str = Field(min_length=1, max_length=200)
    amount_usd: AmountUsd
    reference: str = Field(default="operator credit", min_length=1, max_length=500)


def credit_routes(db: Database, billing: Billing, *, operator_token: str | None) -> APIRouter:
    """``operator_token`` is the bearer token that the route asks for; without one there is no such route.

    An API key does not do: even one with scope admin belongs to the account that would be given the money.
    """
    router = APIRouter(tags=["billing"])

    def must_be_operator(request: Request) -> None:
        if operator_token is None:
            raise NotFound(f"there is no route {PATH}: set HEDDLE_OPERATOR_TOKEN", code="no_such_route")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), operator_token.encode()):
            raise AuthenticationFailed(f"{PATH} needs the token of HEDDLE_OPERATOR_TOKEN as bearer token")

    @router.post(PATH, status_code=201)
    async def grant(
        request: Request, idempotency_key: Annotated[str | None, Header()] = None
    ) -> dict[str, Any]:
        """Once per account and ``idempotency-key``. Raises Conflict if it was used for another amount."""
        must_be_operator(request)
        body = await read_model(request, GrantCredit, limit=MAX_BODY)
        if not idempotency_key or len(idempotency_key) > MAX_KEY_CHARS or not idempotency_key.isprintable():
            raise InvalidRequest(
                f"send an idempotency-key header (1 to {MAX_KEY_CHARS} printable characters): the same key "
                "again changes nothing",
                param="idempotency-key",
            )
        entry_id, amount = f"credit:{idempotency_key}", nanos_from_usd(body.amount_usd)
        async with db.session() as session:
            account = await session.get(Account, body.account_id)
        if account is None:
            raise NotFound(f"account {body.account_id} not found", param="account_id")
        if account.test_of is not None:
            raise Unsupported(
                f"account {body.account_id} is the test account of {account.test_of}: it has play money "
                "(PUT /v1/billing/test-balance)",
                code="test_account",
                param="account_id",
            )
        fresh = await billing.credit(
            body.account_id, amount, kind="credit", entry_id=entry_id, reference=body.reference
        )
        query = select(LedgerEntry).where(
            LedgerEntry.account_id == body.account_id, LedgerEntry.entry_id == entry_id
        )
        async with db.session() as session:
            entry = (await session.exec(query)).one()
        if entry.amount_nanos != amount:
            raise Conflict(
                f"idempotency-key {idempotency_key!r} was used for {usd_text(entry.amount_nanos)} USD",
                code="idempotency_mismatch",
            )
        wallet = await billing.wallet(body.account_id)
        return {
            "id": entry.id,
            "object": "credit",
            "account_id": body.account_id,
            "amount_usd": usd_text(amount),
            "balance_usd": usd_text(wallet.balance_nanos),
            "reference": entry.reference,
            "replayed": not fresh,
            "created_at": entry.created_at,
        }

    return router
