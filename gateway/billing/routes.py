"""Balance and ledger over HTTP (admin)."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from gateway.billing.amounts import BalanceUsd
from gateway.billing.billing import Billing
from gateway.billing.models import LedgerEntry
from kit.caller import Admin, Caller, TestAdmin
from kit.clock import iso_time
from kit.csv_text import Cell, csv_response, csv_stream
from kit.money import micros, nanos_from_usd, usd_text
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page
from kit.request_body import RequestBody

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]

LEDGER_COLUMNS = (
    "seq",
    "created_at",
    "id",
    "entry_id",
    "kind",
    "amount_usd",
    "balance_after_usd",
    "reference",
    "previous_hash",
    "hash",
)


class SetTestBalance(RequestBody):
    balance_usd: BalanceUsd


def render_ledger_entry(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "object": "ledger_entry",
        "seq": entry.seq,
        "entry_id": entry.entry_id,
        "kind": entry.kind,
        "amount_micros": micros(entry.amount_nanos),
        "amount_usd": usd_text(entry.amount_nanos),
        "balance_after_usd": usd_text(entry.balance_after_nanos),
        "reference": entry.reference,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
        "created_at": entry.created_at,
    }


def _ledger_cells(entry: LedgerEntry) -> list[Cell]:
    return [
        entry.seq,
        iso_time(entry.created_at),
        entry.id,
        entry.entry_id,
        entry.kind,
        Decimal(usd_text(entry.amount_nanos)),
        Decimal(usd_text(entry.balance_after_nanos)),
        entry.reference,
        entry.previous_hash,
        entry.hash,
    ]


def billing_routes(billing: Billing) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["billing"])

    async def render_balance(caller: Caller) -> dict[str, Any]:
        wallet = await billing.wallet(caller.account_id)
        return {
            "mode": caller.mode,
            "balance_usd": usd_text(wallet.balance_nanos),
            "balance_micros": micros(wallet.balance_nanos),
            "held_micros": micros(wallet.held_nanos),
            "held_usd": usd_text(wallet.held_nanos),
            "owed_micros": micros(wallet.debt_nanos),
            "owed_usd": usd_text(wallet.debt_nanos),
        }

    @router.get("/billing/balance")
    async def balance(caller: Admin) -> dict[str, Any]:
        return await render_balance(caller)

    @router.put("/billing/test-balance")
    async def set_test_balance(body: SetTestBalance, caller: TestAdmin) -> dict[str, Any]:
        await billing.set_play_balance(caller.account_id, nanos_from_usd(body.balance_usd))
        return await render_balance(caller)

    @router.get("/billing/ledger")
    async def ledger(
        caller: Admin, limit: Limit = DEFAULT_LIMIT, cursor: str | None = None
    ) -> dict[str, Any]:
        before = int(decode_cursor(cursor, int)[0]) if cursor else None
        rows = await billing.ledger_page(caller.account_id, limit=limit, before_seq=before)
        return page(rows, limit, render_ledger_entry, lambda row: (row.seq,))

    @router.get("/billing/ledger.csv")
    async def ledger_csv(caller: Admin) -> StreamingResponse:
        async def rows() -> AsyncIterator[list[list[Cell]]]:
            async for entries in billing.ledger_entries(caller.account_id):
                yield [_ledger_cells(entry) for entry in entries]

        return csv_response(csv_stream(LEDGER_COLUMNS, rows()), caller.file_name("ledger.csv"))

    return router
