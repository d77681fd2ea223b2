"""Priced units as several dialects report them."""

from decimal import Decimal
from typing import Any

from gateway.billing.prices import PART_OF, Counts

_TICKS_PER_USD = Decimal(10**10)
_USUAL_TIERS = frozenset({"auto", "default", "standard", "on_demand"})


def parts_of(**tokens: int | None) -> Counts:
    """The counts that are there, for ``TokenUsage.parts``; names are those of ``PART_OF``."""
    assert tokens.keys() <= PART_OF.keys()
    return tuple((name, count) for name, count in tokens.items() if count)


def tier_of(name: Any) -> str | None:
    """The processing tier that an answer names, unless it is the usual one."""
    return name if isinstance(name, str) and name and name not in _USUAL_TIERS else None


def usd_of_ticks(ticks: int | None) -> Decimal | None:
    """xAI's exact charge, in ticks of 10⁻¹⁰ USD (docs.x.ai, Cost tracking)."""
    return None if ticks is None else Decimal(ticks) / _TICKS_PER_USD


def usd_of(amount: float | None) -> Decimal | None:
    """A charge that was reported as a JSON number of USD."""
    return None if amount is None else Decimal(repr(amount))
