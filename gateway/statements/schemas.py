"""A statement as JSON and as CSV: both sides, what it cost the account and what the end user owes."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from gateway.statements.statement import Line, Statement, Unit
from kit.csv_text import Cell
from kit.money import micros, usd_text

COUNTED = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
COLUMNS = (
    "month",
    "end_user_id",
    "model",
    "tool",
    "calls",
    *COUNTED,
    "other_units",
    "cost_usd",
    "markup",
    "price_usd",
    "mode",
)


def render_statement(statement: Statement) -> dict[str, Any]:
    month = statement.month
    return {
        "object": "statement",
        "mode": statement.mode,
        "end_user_id": statement.end_user_id,
        "month": month.name,
        "from_ms": month.from_ms,
        "to_ms": month.to_ms,
        "complete": statement.is_complete,
        "currency": "usd",
        "markup": f"{statement.markup:f}",
        "calls": statement.calls,
        "cost_micros": micros(statement.cost_nanos),
        "cost_usd": usd_text(statement.cost_nanos),
        "total_micros": micros(statement.total_nanos),
        "total_usd": usd_text(statement.total_nanos),
        "lines": [_render_line(statement, line) for line in statement.lines],
    }


def _render_line(statement: Statement, line: Line) -> dict[str, Any]:
    price = statement.price_nanos(line)
    return {
        "model": line.model or None,
        "tool": line.tool,
        "calls": line.calls,
        "units": [_render_unit(statement, unit) for unit in line.units.values()],
        "cost_micros": micros(line.cost_nanos),
        "cost_usd": usd_text(line.cost_nanos),
        "price_micros": micros(price),
        "price_usd": usd_text(price),
    }


def _render_unit(statement: Statement, unit: Unit) -> dict[str, Any]:
    def text(usd: Decimal | None) -> str | None:
        return None if usd is None else plain(usd)

    each = unit.cost_usd
    return {
        "unit": unit.name,
        "count": unit.count,
        "unit_cost_usd": text(each),
        "unit_price_usd": text(None if each is None else each * (1 + statement.markup)),
    }


def statement_rows(statement: Statement) -> Iterator[list[Cell]]:
    """One row per line, in the order of ``COLUMNS``; ``price_usd`` adds up to what is owed."""
    for line in statement.lines:
        counts: dict[str, int] = {}
        for unit in line.units.values():
            counts[unit.name] = counts.get(unit.name, 0) + unit.count
        others = "; ".join(f"{name} {count}" for name, count in counts.items() if name not in COUNTED)
        yield [
            statement.month.name,
            statement.end_user_id,
            line.model or None,
            line.tool,
            line.calls,
            *(counts.get(name, 0) for name in COUNTED),
            others or None,
            Decimal(usd_text(line.cost_nanos)),
            statement.markup,
            Decimal(usd_text(statement.price_nanos(line))),
            statement.mode,
        ]


def plain(usd: Decimal) -> str:
    """The exact number without exponent and trailing zeros."""
    text = f"{usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
