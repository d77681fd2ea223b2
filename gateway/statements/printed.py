"""A statement as it is printed for the end user: texts only, and only what the end user pays.

Pages and PDF show the same; neither shows what the account itself was charged, or its markup.
"""

import calendar
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from gateway.statements.schemas import plain
from gateway.statements.statement import Line, Statement, Unit
from kit.money import NANOS_PER_USD, usd_text

_TOKENS = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
TEST_NOTE = "TEST: simulated calls paid with play money. Nothing is owed; this is not an invoice."
_NAMES = {
    "input": "Input tokens",
    "output": "Output tokens",
    "cache_read": "Input tokens read from cache",
    "cache_write": "Input tokens written to cache",
    "cache_write_1h": "Input tokens written to cache for an hour",
    "output_reasoning": "Reasoning tokens",
    "web_search": "Web searches",
    "request": "Requests",
    "call": "Calls",
    "reported_by_provider": "Other charges of the provider",
}


@dataclass(frozen=True)
class PrintedUnit:
    name: str
    count: str
    price: str


@dataclass(frozen=True)
class PrintedLine:
    name: str
    calls: str
    units: tuple[PrintedUnit, ...]
    amount: str


@dataclass(frozen=True)
class Printed:
    title: str
    is_test: bool
    """It must not pass for a real one, not even as a single page of it."""
    seller: str
    customer: str
    period: str
    is_preliminary: bool
    lines: tuple[PrintedLine, ...]
    total: str
    due: str
    """The total rounded half up to cents."""


def printed(statement: Statement, seller: str) -> Printed:
    year, month = (int(part) for part in statement.month.name.split("-"))
    name = f"{calendar.month_name[month]} {year}"
    last = calendar.monthrange(year, month)[1]
    cents = (Decimal(statement.total_nanos) / NANOS_PER_USD).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return Printed(
        title=f"TEST – Statement {name}" if statement.mode == "test" else f"Statement {name}",
        is_test=statement.mode == "test",
        seller=seller,
        customer=statement.end_user_id,
        period=f"1 to {last} {name} (UTC)",
        is_preliminary=not statement.is_complete,
        lines=tuple(_line(statement, line) for line in statement.lines),
        total=_usd(statement.total_nanos),
        due=f"${cents:,.2f}",
    )


def _line(statement: Statement, line: Line) -> PrintedLine:
    return PrintedLine(
        name=f"Tool {line.tool}" if line.tool else line.model,
        calls=f"{line.calls:,} call" + ("" if line.calls == 1 else "s"),
        units=tuple(_unit(statement, unit) for unit in line.units.values()),
        amount=_usd(statement.price_nanos(line)),
    )


def _unit(statement: Statement, unit: Unit) -> PrintedUnit:
    name = _NAMES.get(unit.name) or unit.name.replace("_", " ").capitalize()
    if unit.cost_usd is None:
        return PrintedUnit(name, f"{unit.count:,}", "")
    each = unit.cost_usd * (1 + statement.markup)
    if unit.name in _TOKENS or unit.name.startswith(("input_", "output_", "cache_")):
        return PrintedUnit(name, f"{unit.count:,}", f"${plain(each * 1_000_000)} per million")
    return PrintedUnit(name, f"{unit.count:,}", f"${plain(each)} each")


def _usd(nanos: int) -> str:
    """Exact, with at least two decimals."""
    whole, _, fraction = usd_text(nanos).partition(".")
    return f"${int(whole):,}.{fraction:0<2}"
