"""Amounts of money in requests: exact decimals, as JSON strings or numbers."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

MAX_AMOUNT_USD = Decimal(1_000_000)
_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def _amount(value: Any) -> Decimal:
    """Raises ValueError for anything but a plain positive amount that a wallet can hold exactly."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("expected an amount in USD such as 25 or 2.50")
    text = value.strip() if isinstance(value, str) else format(Decimal(str(value)), "f")
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"expected an amount in USD such as 25 or 2.50, got {text[:40]!r}")
    amount = Decimal(text)
    if not 0 < amount <= MAX_AMOUNT_USD:
        raise ValueError(f"expected an amount above 0 and up to {MAX_AMOUNT_USD:,} USD, got {text}")
    return amount


AmountUsd = Annotated[Decimal, BeforeValidator(_amount)]
"""More than zero, at most a million, at most nine decimals."""
