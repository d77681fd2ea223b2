"""Money: whole nano-USD amounts, exact decimal prices, one rounding per cost."""

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import NewType

Nanos = NewType("Nanos", int)
"""A signed amount in nano-USD (1 USD = 1_000_000_000)."""

NANOS_PER_USD = 1_000_000_000
NANOS_PER_MICRO = 1_000
MAX_NANOS = Nanos(2**63 - 1)
"""The largest amount a BIGINT column holds, about 9.2 billion USD."""

ZERO = Nanos(0)


def nanos_from_usd(usd: Decimal) -> Nanos:
    """The exact USD amount as nanos, rounded half up. Raises ValueError if not finite or too large."""
    if not usd.is_finite():
        raise ValueError(f"an amount must be a finite number, got {usd}")
    nanos = int((usd * NANOS_PER_USD).to_integral_value(rounding=ROUND_HALF_UP))
    if abs(nanos) > MAX_NANOS:
        raise ValueError(f"{usd} USD is more than Heddle can hold")
    return Nanos(nanos)


def parse_usd(text: str) -> Decimal:
    """A decimal USD amount from text. Raises ValueError for anything but a finite number."""
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount in USD, such as 2.50") from None
    if not amount.is_finite():
        raise ValueError(f"{text!r} is not a finite amount in USD")
    return amount


def usd_text(nanos: int) -> str:
    """The amount as a plain decimal string of USD without trailing zeros, e.g. ``0.000123``."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), NANOS_PER_USD)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def micros(nanos: int) -> int:
    """Whole micro-USD for the wire, rounded half up (away from zero for charges)."""
    quotient = (abs(nanos) + NANOS_PER_MICRO // 2) // NANOS_PER_MICRO
    return quotient if nanos >= 0 else -quotient


def ceil_nanos(usd: Decimal) -> Nanos:
    """The smallest whole-nano amount that is not below ``usd`` (for holds, which must not be short)."""
    return Nanos(int((usd * NANOS_PER_USD).to_integral_value(rounding=ROUND_CEILING)))
