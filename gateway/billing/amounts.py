"""Amounts of money in requests: exact decimals, as JSON strings or numbers."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

MAX_AMOUNT_USD = Decimal(1_000_000)
_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def _plain(value: Any) -> Decimal:
    """Raises ValueError for anything but a plain amount that a wallet can hold exactly."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("expected an amount in USD such as 25 or 2.50")
    text = value.strip() if isinstance(value, str) else format(Decimal(str(value)), "f")
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"expected an amount in USD such as 25 or 2.50, got {text[:40]!r}")
    amount = Decimal(text)
    if amount > MAX_AMOUNT_USD:
        raise ValueError(f"expected an amount up to {MAX_AMOUNT_USD:,} USD, got {text}")
    return amount


def _above_zero(amount: Decimal) -> Decimal:
    if not amount:
        raise ValueError(f"expected an amount above 0 and up to {MAX_AMOUNT_USD:,} USD, got {amount}")
    return amount


AmountUsd = Annotated[Decimal, BeforeValidator(_plain), AfterValidator(_above_zero)]
"""More than zero, at most a million, at most nine decimals."""
BalanceUsd = Annotated[Decimal, BeforeValidator(_plain)]
"""The same, or zero."""
