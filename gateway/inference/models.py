"""The model catalogue: which provider serves a model, its limits and its prices.

Prices come from the ``genai-prices`` package for the providers that are on; the settings add models and
override prices. A model without a price is refused: nothing is free by accident.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

from genai_prices import data_snapshot
from genai_prices import types as genai

from gateway.billing.prices import ModelPrice
from gateway.inference.price_list import configured_price, listed_price, sells
from gateway.inference.providers import SIM, Provider, known_provider_names
from gateway.inference.sight import sees
from gateway.settings import AliasSettings, BadSettings, ModelSettings, Settings
from kit.clock import Clock
from kit.errors import NotFound, Unsupported

DEFAULT_MAX_OUTPUT_TOKENS = 128_000
"""Assumed for holds where nobody states a model's output limit."""

PRICE_LIFETIME_MS = 3_600_000
"""Prices may change at a date; a resolved model is looked up anew after this long."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be called: ``slug`` is what callers say, ``upstream_name`` what the provider hears."""

    slug: str
    upstream_name: str
    provider: Provider
    price: ModelPrice
    display_name: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    vision: bool | None = None
    """As the settings say."""

    @property
    def sees(self) -> bool:
        """Whether it takes images."""
        return sees(self.upstream_name) if self.vision is None else self.vision

    @property
    def output_limit(self) -> int:
        return self.max_output_tokens or DEFAULT_MAX_OUTPUT_TOKENS


SIM_MODELS = {
    "sim-small": ModelSettings(
        provider=SIM,
        display_name="Simulated model, small",
        context_window=200_000,
        max_output_tokens=8_192,
        input_usd_per_mtok=Decimal("1"),
        output_usd_per_mtok=Decimal("5"),
        cache_read_usd_per_mtok=Decimal("0.1"),
        cache_write_usd_per_mtok=Decimal("1.25"),
    ),
    "sim-large": ModelSettings(
        provider=SIM,
        display_name="Simulated model, large",
        context_window=1_000_000,
        max_output_tokens=32_000,
        input_usd_per_mtok=Decimal("3"),
        output_usd_per_mtok=Decimal("15"),
        cache_read_usd_per_mtok=Decimal("0.3"),
        cache_write_usd_per_mtok=Decimal("3.75"),
    ),
}


class ModelCatalog:
    """Models by the names callers use: a plain id or ``provider/model``."""

    def __init__(self, settings: Settings, providers: Mapping[str, Provider], clock: Clock) -> None:
        self._providers = dict(providers)
        self._clock = clock
        self._aliases = settings.aliases
        self._random = Random()  # noqa: S311 - it spreads load
        self._resolved: dict[str, tuple[int, Model]] = {}
        self._configured: dict[str, Model] = {}
        configured = {**(SIM_MODELS if SIM in providers else {}), **settings.models}
        for slug, own in configured.items():
            provider = self._providers.get(own.provider)
            if provider is not None:
                self._configured[slug] = _from_settings(slug, own, provider)
            elif own.provider not in {*known_provider_names(), SIM, *settings.providers}:
                raise BadSettings(f'models."{slug}".provider: there is no provider named {own.provider}')

    def resolve(self, name: str) -> Model:
        """The model a caller named. Raises NotFound (``model_not_found``) or Unsupported
        (``model_not_priced``)."""
        now = self._clock.now_ms()
        known = self._resolved.get(name)
        if known is not None and now - known[0] < PRICE_LIFETIME_MS:
            return known[1]
        model = self._configured.get(name) or self._from_price_list(name)
        if len(self._resolved) > 10_000:
            self._resolved.clear()
        self._resolved[name] = (now, model)
        return model

    def candidates(self, name: str) -> list[Model]:
        """The models that may answer for a name: one, or those behind an alias, the first to be asked
        first. Raises as ``resolve`` does, for an alias only if none of its models can be called."""
        alias = self._aliases.get(name)
        if alias is None:
            return [self.resolve(name)]
        found: list[Model] = []
        problem: NotFound | Unsupported | None = None
        for target in _in_turn(alias, self._random):
            try:
                found.append(self.resolve(target))
            except (NotFound, Unsupported) as error:
                problem = problem or error
        if problem is not None and not found:
            raise problem
        return found

    def all(self) -> list[Model]:
        """Every model that is known by name, those of the settings first."""
        listed = dict(self._configured)
        for provider in self._providers.values():
            if provider.prices_id is None:
                continue
            for info in _listing(provider.prices_id).models:
                if info.id not in listed and not info.deprecated:
                    priced = self._priced(info.id, info.id, provider, info)
                    if priced is not None:
                        listed[info.id] = priced
        for provider in self._providers.values():
            for name in provider.unit_usd:  # those that only our own table knows
                if name not in listed and sells(provider.own_prices(name)):
                    priced = self._priced(name, name, provider, None)
                    if priced is not None:
                        listed[name] = priced
        return list(listed.values())

    def _from_price_list(self, name: str) -> Model:
        provider_name, slash, rest = name.partition("/")
        named = self._providers.get(provider_name) if slash else None
        if named is not None:
            configured = self._configured.get(rest)
            if configured is not None and configured.provider is named:
                return configured
        upstream_name = rest if named is not None else name
        for provider in [named] if named is not None else self._providers.values():
            info = (
                _listing(provider.prices_id).find_model(upstream_name.lower()) if provider.prices_id else None
            )
            priced = self._priced(name, upstream_name, provider, info)
            if priced is not None:
                return priced
            if info is not None:
                raise Unsupported(
                    f"model {name} has no price: set one under [models] in the settings",
                    code="model_not_priced",
                    param="model",
                )
        if named is not None:
            raise Unsupported(
                f"model {name} has no price: set one under [models] in the settings",
                code="model_not_priced",
                param="model",
            )
        raise NotFound(
            f"model {name} is not known here; GET /v1/models lists those that are",
            code="model_not_found",
            param="model",
        )

    def _priced(
        self, slug: str, upstream: str, provider: Provider, info: genai.ModelInfo | None
    ) -> Model | None:
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        price = listed_price(info, moment, upstream, provider)
        if price is None:
            return None
        return Model(
            slug=slug,
            upstream_name=upstream,
            provider=provider,
            price=price,
            display_name=(info.name or info.id) if info is not None else upstream,
            context_window=info.context_window if info is not None else None,
        )


def _in_turn(alias: AliasSettings, source: Random) -> list[str]:
    """The alias's models for one request: the first drawn by weight, then the others in their order."""
    weighted = [target for target in alias.targets if target.weight is not None]
    names = [target.model for target in alias.targets]
    if weighted:
        weights = [target.weight or 0.0 for target in weighted]
        (first,) = source.choices(weighted, weights)
        names.remove(first.model)
        names.insert(0, first.model)
    return names


def load_price_list() -> None:
    """Read the package's price list, which takes a moment, before the first request needs it."""
    data_snapshot.get_snapshot()


def _listing(prices_id: str) -> genai.Provider:
    snapshot = data_snapshot.get_snapshot()
    return next(provider for provider in snapshot.providers if provider.id == prices_id)


def _from_settings(slug: str, own: ModelSettings, provider: Provider) -> Model:
    return Model(
        slug=slug,
        upstream_name=own.upstream_model or slug,
        provider=provider,
        price=configured_price(own, provider),
        display_name=own.display_name or slug,
        context_window=own.context_window,
        max_output_tokens=own.max_output_tokens,
        vision=own.vision,
    )
