"""Amounts in requests are exact and plain."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.billing.amounts import AmountUsd

AMOUNT: TypeAdapter[Decimal] = TypeAdapter(AmountUsd)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("25", "25"),
        (25, "25"),
        (2.5, "2.5"),
        (" 0.000000001 ", "0.000000001"),
        (0.1, "0.1"),
        (10**6, "1000000"),
    ],
)
def test_an_amount_is_taken_as_it_is_written(given: Any, meant: str) -> None:
    assert AMOUNT.validate_python(given) == Decimal(meant)


@pytest.mark.parametrize(
    "given",
    [
        *(-1, 0, 0.0, 1_000_000.01, 1e300, float("nan"), float("inf"), True, None, [], {}),
        *("", "-1", "+1", "1e3", "1_0", "1,5", "NaN", "٢", "0.0000000001", "1.", ".5", "9" * 5000),
    ],
)
def test_all_else_is_refused_and_said_what_was_expected(given: Any) -> None:
    with pytest.raises(ValidationError, match="expected an amount"):
        AMOUNT.validate_python(given)
