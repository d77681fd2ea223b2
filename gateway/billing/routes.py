"""Usage, balance and ledger over HTTP (admin)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from gateway.accounts.keys import ApiKeys
from gateway.billing.billing import Billing
from gateway.billing.models import LedgerEntry, UsageEvent
from gateway.billing.usage import UsageFilter, UsageReports
from kit.caller import Admin
from kit.clock import Clock
from kit.errors import InvalidRequest
from kit.money import micros, usd_text
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Millis = Annotated[int | None, Query(ge=0, le=2**53)]

THIRTY_DAYS_MS = 30 * 24 * 3600 * 1000


def render_usage_event(event: UsageEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "object": "usage_event",
        "key_id": event.key_id,
        "end_user_id": event.end_user_id,
        "thread_id": event.thread_id,
        "turn_id": event.turn_id,
        "provider": event.provider,
        "model": event.model,
        "status": event.status,
        "http_status": event.http_status,
        "error_code": event.error_code,
        "estimated": event.estimated,
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "cache_read_tokens": event.cache_read_tokens,
        "cache_write_tokens": event.cache_write_tokens,
        "cost_micros": micros(event.cost_nanos),
        "cost_usd": usd_text(event.cost_nanos),
        "shortfall_usd": usd_text(event.shortfall_nanos),
        "breakdown": event.breakdown,
        "latency_ms": event.latency_ms,
        "created_at": event.created_at,
    }


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


def billing_routes(billing: Billing, reports: UsageReports, keys: ApiKeys, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["billing"])

    def period(from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
        end = to_ms if to_ms is not None else clock.now_ms() + 1
        start = from_ms if from_ms is not None else max(0, end - THIRTY_DAYS_MS)
        if start > end:
            raise InvalidRequest("from_ms must not be after to_ms", param="from_ms")
        return start, end

    @router.get("/usage")
    async def usage(caller: Admin, from_ms: Millis = None, to_ms: Millis = None) -> dict[str, Any]:
        start, end = period(from_ms, to_ms)
        return await reports.report(UsageFilter(caller.account_id, start, end))

    @router.get("/usage/events")
    async def usage_events(
        caller: Admin,
        from_ms: Millis = None,
        to_ms: Millis = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        start, end = period(from_ms, to_ms)
        before = decode_cursor(cursor, int, str) if cursor else None
        wanted = UsageFilter(caller.account_id, start, end)
        rows = await reports.events(wanted, limit=limit, before=before)
        return page(rows, limit, render_usage_event, lambda row: (row.created_at, row.id))

    @router.get("/keys/{key_id}/usage")
    async def key_usage(
        key_id: str,
        caller: Admin,
        from_ms: Millis = 0,
        to_ms: Millis = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        key = await keys.get(caller.account_id, key_id)
        start, end = period(from_ms, to_ms)
        wanted = UsageFilter(caller.account_id, start, end, key_id=key_id)
        report = await reports.report(wanted)
        before = decode_cursor(cursor, int, str) if cursor else None
        rows = await reports.events(wanted, limit=limit, before=before)
        events = page(rows, limit, render_usage_event, lambda row: (row.created_at, row.id))
        return {
            "key_id": key_id,
            "cost_micros": report["total_cost_micros"],
            "cap_micros": None if key.cap_nanos is None else micros(key.cap_nanos),
            "request_count": report["request_count"],
            "by_model": report["by_model"],
            "events": events["data"],
            "has_more": events["has_more"],
            "next_cursor": events["next_cursor"],
        }

    @router.get("/billing/balance")
    async def balance(caller: Admin) -> dict[str, Any]:
        wallet = await billing.wallet(caller.account_id)
        return {
            "balance_usd": usd_text(wallet.balance_nanos),
            "balance_micros": micros(wallet.balance_nanos),
            "held_micros": micros(wallet.held_nanos),
            "held_usd": usd_text(wallet.held_nanos),
            "owed_micros": micros(wallet.debt_nanos),
            "owed_usd": usd_text(wallet.debt_nanos),
        }

    @router.get("/billing/ledger")
    async def ledger(
        caller: Admin, limit: Limit = DEFAULT_LIMIT, cursor: str | None = None
    ) -> dict[str, Any]:
        before = int(decode_cursor(cursor, int)[0]) if cursor else None
        rows = await billing.ledger_page(caller.account_id, limit=limit, before_seq=before)
        return page(rows, limit, render_ledger_entry, lambda row: (row.seq,))

    return router
