"""Prices in our units: of the ``genai-prices`` package's list, and of the settings."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from genai_prices import types as genai

from gateway.billing.prices import MILLION, ModelPrice, UnitPrice
from gateway.inference.providers import Provider
from gateway.settings import ModelSettings, PriceSettings

_THOUSAND = Decimal(1_000)
_HOUR_S = Decimal(3_600)

_LISTED_UNITS = {
    "input_mtok": ("input", MILLION),
    "output_mtok": ("output", MILLION),
    "cache_read_mtok": ("cache_read", MILLION),
    "cache_write_mtok": ("cache_write", MILLION),
    "cache_write_1h_mtok": ("cache_write_1h", MILLION),
    "input_audio_mtok": ("input_audio", MILLION),
    "input_image_mtok": ("input_image", MILLION),
    "input_video_mtok": ("input_video", MILLION),
    "cache_audio_read_mtok": ("cache_audio_read", MILLION),
    "cache_image_read_mtok": ("cache_image_read", MILLION),
    "output_audio_mtok": ("output_audio", MILLION),
    "output_image_mtok": ("output_image", MILLION),
    "output_video_mtok": ("output_video", MILLION),
    "output_reasoning_mtok": ("output_reasoning", MILLION),
    "input_mchars": ("input_character", MILLION),
    "audio_hours": ("audio_second", _HOUR_S),
    "input_audio_hours": ("audio_second", _HOUR_S),
    "requests_kcount": ("request", _THOUSAND),
    "web_searches_kcount": ("web_search", _THOUSAND),
    "social_searches_kcount": ("x_search", _THOUSAND),
    "storage_searches_kcount": ("file_search", _THOUSAND),
    "code_executions_kcount": ("code_execution", _THOUSAND),
}
"""genai-prices' price keys, our names, and how many units a listed price is for."""
_SELLS_BY = ("input", "input_character", "audio_second", "image")
"""A model that is priced by none of these has no price that we can use."""


def listed_price(
    info: genai.ModelInfo | None, moment: datetime, upstream_name: str, provider: Provider
) -> ModelPrice | None:
    """The listed prices at ``moment``, and what is known of the provider beside them (``providers.toml``);
    None if the model is not sold by tokens, characters, time or image. (Models that only read, such as those
    for embeddings, have no price for output.)"""
    units = _per_use(provider.tool_usd)
    if info is not None:
        units |= _listed_units(info.get_prices(moment))
    units |= _per_use(provider.own_prices(upstream_name))
    if not sells(units):
        return None
    return ModelPrice(units, _listed_tiers(info, moment, units) if info is not None else {})


def sells(units: Iterable[str]) -> bool:
    """Whether a model can be sold that has prices for these units, and not only for tools beside it."""
    return not set(_SELLS_BY).isdisjoint(units)


def _listed_tiers(
    info: genai.ModelInfo, moment: datetime, units: Mapping[str, UnitPrice]
) -> dict[str, ModelPrice]:
    """The prices at processing tiers that differ from ``units``, the usual ones."""
    tiers: dict[str, ModelPrice] = {}
    for variant in info.price_variants or ():
        name = variant.when.get("service_tier") or variant.when.get("speed")
        if name is not None and len(variant.when) == 1 and name not in tiers:
            varied = {**units, **_listed_units(info.get_prices(moment, variant.when))}
            if varied != units:
                tiers[name] = ModelPrice(varied)
    return tiers


def configured_price(own: ModelSettings, provider: Provider) -> ModelPrice:
    """The prices that the settings state for a model, with those of its provider's tools under them."""
    units = {**_per_use(provider.tool_usd), **_configured_units(own)}
    tiers = {name: ModelPrice({**units, **_configured_units(tier)}) for name, tier in own.tiers.items()}
    return ModelPrice(units, tiers)


def _listed_units(listed: genai.ModelPrice) -> dict[str, UnitPrice]:
    units: dict[str, UnitPrice] = {}
    for key, (unit, per) in _LISTED_UNITS.items():
        price = getattr(listed, key, None)
        if price is not None:
            units[unit] = _unit_price(price, per)
    return units


def _unit_price(price: Any, per: Decimal) -> UnitPrice:
    if isinstance(price, genai.TieredPrices):
        steps = [(0, price.base / per), *((tier.start, tier.price / per) for tier in price.tiers)]
        return UnitPrice(tuple(sorted(steps)))
    return UnitPrice(((0, Decimal(price) / per),))


def _configured_units(own: PriceSettings) -> dict[str, UnitPrice]:
    per_million = {
        "input": own.input_usd_per_mtok,
        "output": own.output_usd_per_mtok,
        "cache_read": own.cache_read_usd_per_mtok,
        "cache_write": own.cache_write_usd_per_mtok,
        "cache_write_1h": own.cache_write_1h_usd_per_mtok,
    }
    tokens = {name: UnitPrice.per_million(usd) for name, usd in per_million.items() if usd is not None}
    return tokens | _per_use(own.unit_usd)


def _per_use(usd: Mapping[str, Decimal]) -> dict[str, UnitPrice]:
    return {name: UnitPrice(((0, price),)) for name, price in usd.items()}
