"""Exact prices, one rounding, bounds that bound."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.billing.prices import PART_OF, ModelPrice, TokenUsage, UnitPrice, bound_of, cost_of
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


def _priced(**usd_per_mtok: int) -> ModelPrice:
    return ModelPrice({name: UnitPrice.per_million(Decimal(usd)) for name, usd in usd_per_mtok.items()})


def test_tokens_of_a_medium_have_their_own_price_where_there_is_one() -> None:
    usage = TokenUsage(100, 50, parts=(("input_audio", 40), ("output_image", 20), ("input_video", 10)))
    priced = _priced(input=1, output=10, input_audio=5, output_image=30)
    counts = {line["unit"]: line["count"] for line in cost_of(usage, priced, Decimal(0)).breakdown[:-1]}
    assert counts == {"input": 60, "output": 30, "input_audio": 40, "output_image": 20}
    assert cost_of(usage, priced, Decimal(0)).nanos == (60 + 300 + 200 + 600) * 1000


def test_a_part_is_never_more_than_what_it_is_part_of() -> None:
    usage = TokenUsage(5, 0, parts=(("input_audio", 40),))
    assert cost_of(usage, _priced(input=1, output=10, input_audio=5), Decimal(0)).nanos == 5 * 5 * 1000


def test_thoughts_are_priced_apart_only_where_the_provider_does() -> None:
    usage = TokenUsage(0, 50, reasoning_tokens=30)
    assert cost_of(usage, _priced(input=1, output=10), Decimal(0)).nanos == 500_000
    assert cost_of(usage, _priced(input=1, output=10, output_reasoning=2), Decimal(0)).nanos == 260_000


def test_a_price_per_request_is_added_to_every_call() -> None:
    price = ModelPrice({**_priced(input=1, output=1).units, "request": UnitPrice(((0, Decimal("0.005")),))})
    assert cost_of(TokenUsage(1), price, Decimal(0)).nanos == 5_001_000
    bound = bound_of(price, Decimal(0), input_tokens=1, max_output_tokens=0)
    assert bound.input_nanos == 5_001_000


def test_another_tier_has_its_own_prices_and_says_so() -> None:
    price = ModelPrice(_priced(input=1, output=2).units, {"priority": _priced(input=3, output=6)})
    usual = cost_of(TokenUsage(100, 10), price, Decimal(0))
    faster = cost_of(TokenUsage(100, 10, tier="priority"), price, Decimal(0))
    unknown = cost_of(TokenUsage(100, 10, tier="scale"), price, Decimal(0))
    assert (usual.nanos, faster.nanos, unknown.nanos) == (120_000, 360_000, 120_000)
    assert {"unit": "tier", "name": "priority"} in faster.breakdown
    held = [
        bound_of(price, Decimal(0), input_tokens=9, max_output_tokens=1, tier=t).input_nanos
        for t in (None, "priority")
    ]
    assert held == [9_000, 27_000]


@given(
    st.lists(st.tuples(st.sampled_from(sorted(PART_OF)), tokens), unique_by=lambda part: part[0]),
    st.lists(st.sampled_from(sorted(PART_OF)), unique=True),
    tokens,
    tokens,
    tokens,
)
def test_whatever_is_priced_apart_every_token_is_billed_once(
    parts: list[tuple[str, int]], priced: list[str], fresh: int, output: int, read: int
) -> None:
    usage = TokenUsage(fresh, output, read, parts=tuple(parts))
    price = _priced(input=1, output=1, cache_read=1, **dict.fromkeys(priced, 1))
    assert cost_of(usage, price, Decimal(0)).nanos == (fresh + output + read) * 1000
    bound = bound_of(
        price,
        Decimal(0),
        input_tokens=fresh + read,
        max_output_tokens=output,
        media=("audio", "image", "video"),
    )
    assert bound.input_nanos + bound.for_output(output) >= cost_of(usage, price, Decimal(0)).nanos


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
