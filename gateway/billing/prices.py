"""What a call costs: units counted by the provider times exact prices, rounded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from kit.money import NANOS_PER_USD, Nanos, ceil_nanos

MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Units of one call. ``input_tokens`` counts only what was neither read from nor written to a cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    reasoning_tokens: int = 0
    """Those of the ``output_tokens`` that were thoughts; they are not priced apart."""
    estimated: bool = False

    @property
    def total_input_tokens(self) -> int:
        return (
            self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens
        )


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """USD per unit, in steps of the call's total input tokens: ``((0, base), (200_000, higher), …)``.

    A step's price holds for the whole call once its start is passed, as providers bill long contexts.
    """

    steps: tuple[tuple[int, Decimal], ...]

    @classmethod
    def per_million(cls, usd: Decimal) -> "UnitPrice":
        return cls(((0, usd / MILLION),))

    def at(self, total_input_tokens: int) -> Decimal:
        price = self.steps[0][1]
        for start, step_price in self.steps[1:]:
            if total_input_tokens > start:
                price = step_price
        return price

    @property
    def highest(self) -> Decimal:
        return max(price for _, price in self.steps)


@dataclass(frozen=True)
class ModelPrice:
    """The prices of a model per unit name, before markup. A unit that is not listed is refused, not free."""

    units: Mapping[str, UnitPrice] = field(default_factory=dict)

    def unit(self, name: str) -> UnitPrice:
        """The price of a unit; caches fall back to the input price, which is never below them."""
        found = self.units.get(name)
        if found is not None:
            return found
        if name == "cache_write_1h":
            return self.unit("cache_write")
        if name in {"cache_read", "cache_write"}:
            return self.units["input"]
        return UnitPrice(((0, Decimal(0)),))

    @property
    def dearest_input(self) -> Decimal:
        """USD per input token in the worst case (all of it written to the dearest cache, longest context)."""
        names = ("input", "cache_read", "cache_write", "cache_write_1h")
        return max(self.unit(name).highest for name in names)


@dataclass(frozen=True, slots=True)
class Cost:
    """A call's cost in nano-USD and the lines that explain it."""

    nanos: Nanos
    breakdown: list[dict[str, Any]]


def cost_of(usage: TokenUsage, price: ModelPrice, markup: Decimal) -> Cost:
    """Units × unit price × (1 + markup), rounded half up once to a whole nano (see DESIGN: money)."""
    total_input = usage.total_input_tokens
    lines: list[dict[str, Any]] = []
    usd = Decimal(0)
    for name, count in (
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache_read", usage.cache_read_tokens),
        ("cache_write", usage.cache_write_tokens),
        ("cache_write_1h", usage.cache_write_1h_tokens),
        ("web_search", usage.web_searches),
    ):
        if count:
            unit_price = price.unit(name).at(total_input)
            usd += unit_price * count
            lines.append({"unit": name, "count": count, "unit_price_usd": f"{unit_price:f}"})
    if lines:
        lines.append({"unit": "markup", "rate": f"{markup:f}"})
    marked_up = usd * (1 + markup) * NANOS_PER_USD
    return Cost(Nanos(int(marked_up.to_integral_value(rounding=ROUND_HALF_UP))), lines)


@dataclass(frozen=True, slots=True)
class CostBound:
    """The most a call can cost: a fixed part for its input and a price for each output token."""

    input_nanos: Nanos
    output_token_usd: Decimal
    max_output_tokens: int
    min_output_tokens: int = 1
    """Fewer would make no answer (one token for each choice)."""

    @classmethod
    def covering(cls, bounds: Sequence["CostBound"]) -> "CostBound":
        """A bound that holds whichever of several calls is made."""
        return cls(
            input_nanos=max(bound.input_nanos for bound in bounds),
            output_token_usd=max(bound.output_token_usd for bound in bounds),
            max_output_tokens=max(bound.max_output_tokens for bound in bounds),
            min_output_tokens=max(bound.min_output_tokens for bound in bounds),
        )

    def for_output(self, tokens: int) -> Nanos:
        return ceil_nanos(self.output_token_usd * tokens)

    @property
    def least(self) -> Nanos:
        """What must be affordable for the call to make sense."""
        return Nanos(self.input_nanos + self.for_output(min(self.min_output_tokens, self.max_output_tokens)))

    def affordable_output(self, available: int) -> int:
        """How many output tokens ``available`` nanos pay for, after the input; never above the maximum."""
        rest = available - self.input_nanos
        if rest <= 0:
            return 0
        if self.output_token_usd == 0:
            return self.max_output_tokens
        return min(self.max_output_tokens, int(Decimal(rest) / NANOS_PER_USD / self.output_token_usd))


def bound_of(
    price: ModelPrice,
    markup: Decimal,
    *,
    input_tokens: int,
    max_output_tokens: int,
    min_output_tokens: int = 1,
    web_searches: int = 0,
) -> CostBound:
    """An upper bound of a call's cost from upper bounds of its units."""
    input_usd = price.dearest_input * input_tokens + price.unit("web_search").highest * web_searches
    return CostBound(
        input_nanos=ceil_nanos(input_usd * (1 + markup)),
        output_token_usd=price.unit("output").highest * (1 + markup),
        max_output_tokens=max_output_tokens,
        min_output_tokens=min_output_tokens,
    )
