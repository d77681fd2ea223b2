"""A month's statement for one end user, added up from its usage events.

``cost`` is what the account was charged; ``price`` is what the end user owes: cost × (1 + markup), rounded
half up to a whole nano-USD once per line. The lines' costs add up exactly to those of the month's events, and
the lines' prices exactly to the total. A line's units explain it, with the prices that held at the time; they
can differ from its cost by rounded nanos, and where a call was charged less because the wallet was empty.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Protocol

from kit.caller import Mode
from kit.errors import InvalidRequest
from kit.money import Nanos

REPORTED = "reported_by_provider"
"""The unit for what a provider charged beside its list: each event's amount is its own."""
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Month:
    """A calendar month in UTC."""

    name: str
    """``2026-11``."""
    from_ms: int
    to_ms: int

    @classmethod
    def of(cls, at_ms: int) -> "Month":
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        return cls.named(f"{at.year:04}-{at.month:02}")

    @classmethod
    def named(cls, name: str) -> "Month":
        """``2026-11``. Raises InvalidRequest."""
        if not _MONTH.fullmatch(name) or not 1970 <= int(name[:4]) < 9999:
            raise InvalidRequest(f"month: {name!r} is not a month such as 2026-11", param="month")
        year, month = int(name[:4]), int(name[5:])
        following = (year + 1, 1) if month == 12 else (year, month + 1)
        start, end = (datetime(*first, 1, tzinfo=UTC) for first in ((year, month), following))
        return cls(name, int(start.timestamp()) * 1000, int(end.timestamp()) * 1000)


class BilledEvent(Protocol):
    """What a statement reads of a usage event."""

    @property
    def model(self) -> str: ...
    @property
    def tool(self) -> str | None: ...
    @property
    def cost_nanos(self) -> int: ...
    @property
    def breakdown(self) -> list[dict[str, Any]]: ...


@dataclass
class Unit:
    """So many units at one price."""

    name: str
    cost_usd: Decimal | None
    """The account's price of one, its own markup included; None where each had another."""
    count: int = 0


@dataclass
class Line:
    """A model's calls, or a tool's."""

    model: str
    tool: str | None
    calls: int = 0
    cost_nanos: int = 0
    units: dict[tuple[str, Decimal | None], Unit] = field(default_factory=dict)

    def add(self, event: BilledEvent) -> None:
        self.calls += 1
        self.cost_nanos += event.cost_nanos
        rates = [Decimal(part["rate"]) for part in event.breakdown if part["unit"] == "markup"]
        for part in event.breakdown:
            if "count" not in part:
                continue
            each = Decimal(part["unit_price_usd"]) * (1 + sum(rates))
            price = None if part["unit"] == REPORTED else each
            unit = self.units.setdefault((part["unit"], price), Unit(part["unit"], price))
            unit.count += part["count"]


@dataclass(frozen=True)
class Statement:
    """``markup`` is the developer's own, as a fraction: 0.2 for 20 %."""

    end_user_id: str
    month: Month
    markup: Decimal
    lines: tuple[Line, ...]
    is_complete: bool
    """Whether the month is over: if not, calls may still be added."""
    mode: Mode = "live"
    """Of its account. A test account's is owed by nobody, and says so in every form."""

    def price_nanos(self, line: Line) -> Nanos:
        price = line.cost_nanos * (1 + self.markup)
        return Nanos(int(price.to_integral_value(rounding=ROUND_HALF_UP)))

    @property
    def calls(self) -> int:
        return sum(line.calls for line in self.lines)

    @property
    def cost_nanos(self) -> Nanos:
        return Nanos(sum(line.cost_nanos for line in self.lines))

    @property
    def total_nanos(self) -> Nanos:
        """What the end user owes."""
        return Nanos(sum(self.price_nanos(line) for line in self.lines))


@dataclass
class Lines:
    """Lines that are being added up."""

    _lines: dict[tuple[str, str | None], Line] = field(default_factory=dict)

    def add(self, events: Iterable[BilledEvent]) -> None:
        """Calls that cost nothing and used nothing (failed ones, say) are left out."""
        for event in events:
            if event.cost_nanos or event.breakdown:
                line = self._lines.setdefault((event.model, event.tool), Line(event.model, event.tool))
                line.add(event)

    def dearest_first(self) -> Iterator[Line]:
        lines = self._lines.values()
        yield from sorted(lines, key=lambda line: (-line.cost_nanos, line.model, line.tool or ""))
