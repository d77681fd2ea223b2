"""What a call costs: units counted by the provider times exact prices, rounded once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any

from kit.money import NANOS_PER_USD, Nanos, ceil_nanos

MILLION = Decimal(1_000_000)


PART_OF = {
    "input_audio": "input",
    "input_image": "input",
    "input_video": "input",
    "cache_audio_read": "cache_read",
    "cache_image_read": "cache_read",
    "output_audio": "output",
    "output_image": "output",
    "output_video": "output",
    "output_reasoning": "output",
}
"""Tokens that are among those of another unit, and have a price of their own with some models."""
TOKEN_UNITS = frozenset({*PART_OF, *PART_OF.values(), "cache_write", "cache_write_1h"})
"""Units that are tokens; all others are counted by the piece."""
_OUTPUT_PARTS = tuple(name for name, whole in PART_OF.items() if whole == "output")

Counts = tuple[tuple[str, int], ...]
"""Unit names with their counts, each name once."""
Quantities = tuple[tuple[str, int | Decimal], ...]
"""The same where parts of a unit are billed too (seconds)."""


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
    """Those of the ``output_tokens`` that were thoughts."""
    parts: Counts = ()
    """Tokens among those above (``PART_OF``) that are not text."""
    extras: Quantities = ()
    """What was used beside tokens: tools that ran at the provider (``code_execution``, …), ``image``s,
    ``input_character``s, ``audio_second``s."""
    tier: str | None = None
    """How the provider says that it processed the call, where that changes prices (``priority``, say)."""
    reported_usd: Decimal | None = None
    """What the provider says that it charged for the call, where it does."""
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
    """The prices of a model per unit name, before markup; ``tiers`` holds those of other processing tiers.

    A call that can use a unit without a price is refused (``lacks``), not free.
    """

    units: Mapping[str, UnitPrice] = field(default_factory=dict)
    tiers: Mapping[str, "ModelPrice"] = field(default_factory=dict)

    def unit(self, name: str) -> UnitPrice:
        """The price of a unit; caches fall back to the input price, parts to what they are part of."""
        found = self.units.get(name)
        if found is not None:
            return found
        if name == "cache_write_1h":
            return self.unit("cache_write")
        if name in {"cache_read", "cache_write"}:
            return self.unit("input")
        if name in PART_OF:
            return self.unit(PART_OF[name])
        return _FREE

    def lacks(self, names: Iterable[str]) -> str | None:
        """The first of the units that has no price."""
        return next((name for name in names if name not in self.units), None)

    def at_tier(self, tier: str | None) -> "ModelPrice":
        """The prices of a processing tier; one that is not listed has these."""
        return self.tiers.get(tier, self) if tier is not None and self.tiers else self

    @cached_property
    def dearest_input(self) -> Decimal:
        """USD per input token in the worst case (all of it text that is written to the dearest cache, in the
        longest context)."""
        return self._highest("input", "cache_read", "cache_write", "cache_write_1h")

    @cached_property
    def dearest_output(self) -> Decimal:
        """USD per output token in the worst case, of whatever medium."""
        return self._highest("output", *_OUTPUT_PARTS)

    def _highest(self, *names: str) -> Decimal:
        return max(self.unit(name).highest for name in names)


_FREE = UnitPrice(((0, Decimal(0)),))


@dataclass(frozen=True, slots=True)
class Cost:
    """A call's cost in nano-USD and the lines that explain it."""

    nanos: Nanos
    breakdown: list[dict[str, Any]]


def cost_of(usage: TokenUsage, price: ModelPrice, markup: Decimal) -> Cost:
    """Units × unit price × (1 + markup), rounded half up once to a whole nano (see DESIGN: money)."""
    total_input = usage.total_input_tokens
    listed, price = price, price.at_tier(usage.tier)
    lines: list[dict[str, Any]] = []
    usd = Decimal(0)
    for name, count in _priced_counts(usage, price):
        if count:
            unit_price = price.unit(name).at(total_input)
            usd += unit_price * count
            shown = float(count) if isinstance(count, Decimal) else count
            lines.append({"unit": name, "count": shown, "unit_price_usd": f"{unit_price:f}"})
    if usage.reported_usd is not None and usage.reported_usd > usd:
        beside = usage.reported_usd - usd  # plug-ins, say, that no list has
        usd = usage.reported_usd
        lines.append({"unit": "reported_by_provider", "count": 1, "unit_price_usd": f"{beside:f}"})
    if lines:
        if price is not listed:
            lines.append({"unit": "tier", "name": usage.tier})
        lines.append({"unit": "markup", "rate": f"{markup:f}"})
    marked_up = usd * (1 + markup) * NANOS_PER_USD
    return Cost(Nanos(int(marked_up.to_integral_value(rounding=ROUND_HALF_UP))), lines)


def _priced_counts(usage: TokenUsage, price: ModelPrice) -> Iterable[tuple[str, int | Decimal]]:
    """The units that are billed. Parts with a price of their own are taken out of what they are part of."""
    counts: dict[str, int | Decimal] = {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cache_read": usage.cache_read_tokens,
        "cache_write": usage.cache_write_tokens,
        "cache_write_1h": usage.cache_write_1h_tokens,
        "web_search": usage.web_searches,
    }
    parts = usage.parts
    if usage.reasoning_tokens and "output_reasoning" in price.units:
        parts = (*parts, ("output_reasoning", usage.reasoning_tokens))
    for name, count in parts:
        if name in price.units:
            taken = min(count, counts[PART_OF[name]])
            counts[PART_OF[name]] -= taken
            counts[name] = counts.get(name, 0) + taken
    for name, quantity in usage.extras:
        counts[name] = counts.get(name, 0) + quantity
    if "request" in price.units:
        counts["request"] = 1
    return counts.items()


@dataclass(frozen=True, slots=True)
class CostBound:
    """The most a call can cost: a fixed part for its input and a price for each output token."""

    input_nanos: Nanos
    output_token_usd: Decimal
    max_output_tokens: int
    min_output_tokens: int = 1
    """Fewer would make no answer (one token for each choice)."""
    least: Nanos = field(init=False)
    """What must be affordable for the call to make sense."""
    _output_nanos: tuple[int, int] = field(init=False, repr=False)
    """The exact price of an output token in nano-USD, as a fraction: integers are faster to count with."""

    def __post_init__(self) -> None:
        numerator, denominator = self.output_token_usd.as_integer_ratio()
        object.__setattr__(self, "_output_nanos", (numerator * NANOS_PER_USD, denominator))
        fewest = min(self.min_output_tokens, self.max_output_tokens)
        object.__setattr__(self, "least", Nanos(self.input_nanos + self.for_output(fewest)))

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
        """Rounded up: a hold must not be short."""
        numerator, denominator = self._output_nanos
        return Nanos(-(-tokens * numerator // denominator))

    def affordable_output(self, available: int) -> int:
        """How many output tokens ``available`` nanos pay for, after the input; never above the maximum."""
        rest = available - self.input_nanos
        if rest <= 0:
            return 0
        numerator, denominator = self._output_nanos
        if numerator == 0:
            return self.max_output_tokens
        return min(self.max_output_tokens, rest * denominator // numerator)


def bound_of(
    price: ModelPrice,
    markup: Decimal,
    *,
    input_tokens: int,
    max_output_tokens: int,
    min_output_tokens: int = 1,
    extras: Quantities = (),
    media: Iterable[str] = (),
    tier: str | None = None,
) -> CostBound:
    """An upper bound of a call's cost from upper bounds of its units. ``media``: what its input holds beside
    text (``audio``, ``image``, ``video``)."""
    price = price.at_tier(tier)
    dearest = max((price.dearest_input, *(price.unit(f"input_{medium}").highest for medium in media)))
    input_usd = dearest * input_tokens
    if "request" in price.units:
        extras = (*extras, ("request", 1))
    for name, count in extras:
        input_usd += price.unit(name).highest * count
    return CostBound(
        input_nanos=ceil_nanos(input_usd * (1 + markup)),
        output_token_usd=price.dearest_output * (1 + markup),
        max_output_tokens=max_output_tokens,
        min_output_tokens=min_output_tokens,
    )
