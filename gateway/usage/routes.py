"""Usage over HTTP (admin): reports, events, the CSV export."""

from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any, get_args

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response, StreamingResponse

from gateway.accounts.keys import ApiKeys
from gateway.billing.models import UsageEvent
from gateway.usage.dimensions import GROUPS, GroupBy
from gateway.usage.events import UsageEvents
from gateway.usage.filter import UsageFilter
from gateway.usage.reports import DEFAULT_TOP, Report, UsageReports
from gateway.usage.schemas import EVENT_COLUMNS, event_cells, render_report, render_usage_event
from kit.caller import Admin
from kit.clock import Clock
from kit.csv_text import Cell, csv_response, csv_stream
from kit.errors import InvalidRequest
from kit.money import micros
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Top = Annotated[int, Query(ge=1, le=10_000)]
Millis = Annotated[int | None, Query(ge=0, le=253_402_300_799_999)]
Name = Annotated[str | None, Query(min_length=1, max_length=200)]

THIRTY_DAYS_MS = 30 * 24 * 3600 * 1000
DEFAULT_GROUPS: tuple[GroupBy, ...] = ("key", "model", "end_user", "tool")


def groups_wanted(group_by: Annotated[list[str] | None, Query()] = None) -> list[GroupBy]:
    """``group_by=key,model`` or ``group_by=key&group_by=model``. Raises InvalidRequest."""
    if group_by is None:
        return list(DEFAULT_GROUPS)
    wanted: list[GroupBy] = []
    for name in (part.strip() for value in group_by for part in value.split(",")):
        known: GroupBy | None = next((group for group in get_args(GroupBy) if group == name), None)
        if known is None:
            expected = ", ".join(GROUPS)
            raise InvalidRequest(f"group_by: {name!r} is none of {expected}", param="group_by")
        if known not in wanted:
            wanted.append(known)
    return wanted


def usage_routes(reports: UsageReports, events: UsageEvents, keys: ApiKeys, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["usage"])

    def usage_filter(
        caller: Admin,
        from_ms: Millis = None,
        to_ms: Millis = None,
        key_id: Name = None,
        end_user_id: Name = None,
        model: Name = None,
        provider: Name = None,
    ) -> UsageFilter:
        start, end = period(clock, from_ms, to_ms)
        return UsageFilter(caller.account_id, start, end, key_id, end_user_id, model, provider)

    Wanted = Annotated[UsageFilter, Depends(usage_filter)]  # noqa: N806 - a type

    @router.get("/usage")
    async def usage(
        wanted: Wanted,
        caller: Admin,
        group_by: Annotated[list[GroupBy], Depends(groups_wanted)],
        top: Top = DEFAULT_TOP,
    ) -> Response:
        report = await reports.report(wanted, group_by, top=top)
        answer = render_report(wanted, report, await _keys_of(wanted, report), caller.mode)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def _keys_of(wanted: UsageFilter, report: Report) -> dict[str, tuple[str, str]]:
        groups = report.by.get("key")
        if groups is None:
            return {}
        return await keys.labels(wanted.account_id, [row.value for row in groups.rows])

    @router.get("/usage/events")
    async def usage_events(
        wanted: Wanted, limit: Limit = DEFAULT_LIMIT, cursor: str | None = None
    ) -> dict[str, Any]:
        return await _events_page(wanted, limit, cursor)

    async def _events_page(wanted: UsageFilter, limit: int, cursor: str | None) -> dict[str, Any]:
        before = decode_cursor(cursor, int, str) if cursor else None
        rows = await events.page(wanted, limit=limit, before=before)
        return page(rows, limit, render_usage_event, _place)

    @router.get("/usage.csv")
    async def usage_csv(wanted: Wanted, caller: Admin) -> StreamingResponse:
        rows = csv_stream(EVENT_COLUMNS, _event_rows(events, wanted))
        return csv_response(rows, caller.file_name("usage.csv"))

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
        wanted = UsageFilter(caller.account_id, *period(clock, from_ms, to_ms), key_id=key_id)
        report = await reports.report(wanted, ["model"])
        shown = render_report(wanted, report, {}, caller.mode)
        found = await _events_page(wanted, limit, cursor)
        return {
            "key_id": key_id,
            "mode": caller.mode,
            "cost_micros": shown["total_cost_micros"],
            "cap_micros": None if key.cap_nanos is None else micros(key.cap_nanos),
            "request_count": shown["request_count"],
            "by_model": shown["by_model"],
            "events": found["data"],
            "has_more": found["has_more"],
            "next_cursor": found["next_cursor"],
        }

    return router


def period(clock: Clock, from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
    """``[from_ms, to_ms)``; until now and for thirty days unless said. Raises InvalidRequest."""
    end = to_ms if to_ms is not None else clock.now_ms() + 1
    start = from_ms if from_ms is not None else max(0, end - THIRTY_DAYS_MS)
    if start > end:
        raise InvalidRequest("from_ms must not be after to_ms", param="from_ms")
    return start, end


async def _event_rows(events: UsageEvents, wanted: UsageFilter) -> AsyncIterator[Iterable[list[Cell]]]:
    async for rows in events.all(wanted):
        yield [event_cells(row) for row in rows]


def _place(event: UsageEvent) -> tuple[int, str]:
    return event.created_at, event.id
