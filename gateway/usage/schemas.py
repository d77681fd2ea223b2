"""JSON shapes and CSV columns of usage."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from gateway.billing.models import UsageEvent
from gateway.usage.dimensions import GroupBy
from gateway.usage.filter import UsageFilter
from gateway.usage.reports import Report, Sums
from kit.caller import Mode
from kit.clock import iso_time
from kit.csv_text import Cell
from kit.money import micros, usd_text

EVENT_COLUMNS = (
    "id",
    "created_at",
    "key_id",
    "end_user_id",
    "thread_id",
    "turn_id",
    "purpose",
    "provider",
    "model",
    "tool",
    "status",
    "http_status",
    "error_code",
    "estimated",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "cost_usd",
    "shortfall_usd",
    "latency_ms",
)


def render_report(
    wanted: UsageFilter, report: Report, keys: Mapping[str, tuple[str, str]], mode: Mode
) -> dict[str, Any]:
    """``GET /v1/usage``: totals, then ``by_…`` for each group that was asked for. ``mode``: the account's."""
    total = report.total
    answer: dict[str, Any] = {
        "mode": mode,
        "from_ms": wanted.from_ms,
        "to_ms": wanted.to_ms,
        "total_cost_micros": micros(total.cost_nanos),
        "total_cost_usd": usd_text(total.cost_nanos),
        "total_input_tokens": total.total_input_tokens,
        "total_output_tokens": total.output_tokens,
        "total_cache_read_tokens": total.cache_read_tokens,
        "total_cache_write_tokens": total.cache_write_tokens,
        "request_count": total.request_count,
    }
    for name, groups in report.by.items():
        label = _label_of_key(keys) if name == "key" else _LABELS[name]
        answer[f"by_{name}"] = [_render_group(label(value), sums) for value, sums in groups.rows]
    return {**answer, "truncated": [name for name, groups in report.by.items() if groups.truncated]}


def _render_group(label: dict[str, Any], sums: Sums) -> dict[str, Any]:
    return {
        **label,
        "cost_micros": micros(sums.cost_nanos),
        "request_count": sums.request_count,
        "input_tokens": sums.total_input_tokens,
        "output_tokens": sums.output_tokens,
        "cache_read_tokens": sums.cache_read_tokens,
        "cache_write_tokens": sums.cache_write_tokens,
    }


def _label_of_key(keys: Mapping[str, tuple[str, str]]) -> Callable[[str], dict[str, Any]]:
    def label(value: str) -> dict[str, Any]:
        name, prefix = keys.get(value, (None, None))
        return {"key_id": value, "key_name": name, "key_prefix": prefix}

    return label


def _label_of_day(value: str) -> dict[str, Any]:
    start_ms = int(value)
    return {"day": datetime.fromtimestamp(start_ms / 1000, UTC).date().isoformat(), "start_ms": start_ms}


_LABELS: dict[GroupBy, Callable[[str], dict[str, Any]]] = {
    "end_user": lambda value: {"end_user_id": value or None},
    "model": lambda value: {"model": value, "model_slug": value},
    "provider": lambda value: {"provider": value},
    "tool": lambda value: {"tool": value},
    "day": _label_of_day,
}


def render_usage_event(event: UsageEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "object": "usage_event",
        "key_id": event.key_id,
        "end_user_id": event.end_user_id,
        "thread_id": event.thread_id,
        "turn_id": event.turn_id,
        "purpose": event.purpose,
        "provider": event.provider,
        "model": event.model,
        "tool": event.tool,
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


def event_cells(event: Row[Any]) -> list[Cell]:
    """A row of ``GET /v1/usage.csv``, in the order of ``EVENT_COLUMNS``."""
    made: dict[str, Cell] = {
        "created_at": iso_time(event.created_at),
        "cost_usd": Decimal(usd_text(event.cost_nanos)),
        "shortfall_usd": Decimal(usd_text(event.shortfall_nanos)),
    }
    return [made[name] if name in made else getattr(event, name) for name in EVENT_COLUMNS]
