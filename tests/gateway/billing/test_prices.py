"""Exact prices, one rounding, bounds that bound."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.billing.prices import ModelPrice, TokenUsage, UnitPrice, bound_of, cost_of
from kit.money import micros, nanos_from_usd, parse_usd, usd_text

PRICE = ModelPrice(
    {
        "input": UnitPrice(((0, Decimal("0.000003")), (200_000, Decimal("0.000006")))),
        "output": UnitPrice(((0, Decimal("0.000015")), (200_000, Decimal("0.0000225")))),
        "cache_read": UnitPrice.per_million(Decimal("0.3")),
        "cache_write": UnitPrice.per_million(Decimal("3.75")),
        "cache_write_1h": UnitPrice.per_million(Decimal("6")),
    }
)
tokens = st.integers(min_value=0, max_value=400_000)
markups = st.decimals(min_value=0, max_value=2, places=4)


def test_a_cost_is_exact_and_rounded_once() -> None:
    usage = TokenUsage(input_tokens=1, output_tokens=1)
    cost = cost_of(usage, PRICE, Decimal("0.07"))
    assert cost.nanos == 19_260
    assert cost.breakdown[0] == {"unit": "input", "count": 1, "unit_price_usd": "0.000003"}


def test_long_contexts_are_priced_at_their_step() -> None:
    short = cost_of(TokenUsage(input_tokens=200_000), PRICE, Decimal(0))
    long = cost_of(TokenUsage(input_tokens=200_001), PRICE, Decimal(0))
    assert (short.nanos, long.nanos) == (600_000_000, 1_200_006_000)


@given(tokens, tokens, tokens, tokens, tokens, markups)
def test_a_bound_is_never_below_the_cost(
    fresh: int, read: int, written: int, written_1h: int, output: int, markup: Decimal
) -> None:
    usage = TokenUsage(fresh, output, read, written, written_1h)
    bound = bound_of(
        PRICE, markup, input_tokens=usage.total_input_tokens, max_output_tokens=output, min_output_tokens=0
    )
    assert bound.input_nanos + bound.for_output(output) >= cost_of(usage, PRICE, markup).nanos


@given(st.integers(min_value=0, max_value=10**12), tokens)
def test_what_is_called_affordable_is_afforded(available: int, maximum: int) -> None:
    bound = bound_of(PRICE, Decimal("0.07"), input_tokens=1_000, max_output_tokens=maximum)
    affordable = bound.affordable_output(available)
    assert 0 <= affordable <= maximum
    if affordable:
        assert bound.input_nanos + bound.for_output(affordable) <= available


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_amounts_survive_their_text(nanos: int) -> None:
    assert nanos_from_usd(parse_usd(usd_text(nanos))) == nanos


@pytest.mark.parametrize(("nanos", "expected"), [(0, 0), (499, 0), (500, 1), (1_500, 2), (-500, -1)])
def test_micros_round_half_up(nanos: int, expected: int) -> None:
    assert micros(nanos) == expected


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "1e", "twelve", "1,5"])
def test_bad_amounts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_usd(text)
