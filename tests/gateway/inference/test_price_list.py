"""Listed prices in our units, with what the provider table and the settings add."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import types as genai

from gateway.billing.prices import ModelPrice
from gateway.inference.models import ModelCatalog
from gateway.inference.price_list import configured_price, listed_price
from gateway.inference.providers import Provider, configured_providers
from gateway.settings import ModelSettings, PriceSettings, Settings
from kit.clock import ManualClock

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MILLION = Decimal(1_000_000)


def listing(*variants: genai.PriceVariant, **prices: Any) -> genai.ModelInfo:
    return genai.ModelInfo(
        id="m",
        match=genai.ClauseEquals(equals="m"),
        prices=genai.ModelPrice(**prices),
        price_variants=list(variants),
    )


def variant(when: dict[str, str], since: date | None = None, **prices: Any) -> genai.PriceVariant:
    constraint = genai.StartDateConstraint(start_date=since) if since else None
    return genai.PriceVariant(when=when, prices=genai.ModelPrice(**prices), constraint=constraint)


def price_of(info: genai.ModelInfo | None, **provider: Any) -> ModelPrice | None:
    return listed_price(info, NOW, "m-large-1", Provider("p", {}, **provider))


@pytest.mark.parametrize(
    ("key", "usd", "unit", "per_unit"),
    [
        ("input_audio_mtok", "1", "input_audio", Decimal(1) / MILLION),
        ("output_image_mtok", "30", "output_image", Decimal(30) / MILLION),
        ("input_mchars", "15", "input_character", Decimal(15) / MILLION),
        ("audio_hours", "0.36", "audio_second", Decimal("0.0001")),
        ("web_searches_kcount", "10", "web_search", Decimal("0.01")),
        ("storage_searches_kcount", "2.5", "file_search", Decimal("0.0025")),
        ("requests_kcount", "12", "request", Decimal("0.012")),
    ],
)
def test_a_listed_unit_becomes_ours(key: str, usd: str, unit: str, per_unit: Decimal) -> None:
    price = price_of(listing(input_mtok=Decimal(1), **{key: Decimal(usd)}))
    assert price is not None
    assert price.units[unit].at(0) == per_unit


def test_a_tier_has_its_prices_from_its_day_on() -> None:
    info = listing(
        variant({"service_tier": "priority"}, input_mtok=Decimal(4)),
        variant({"service_tier": "flex"}, date(2027, 1, 1), input_mtok=Decimal(1)),
        variant({"service_tier": "default"}),
        variant({"processing": "batch"}, input_mtok=Decimal(1)),
        variant({"speed": "fast"}, input_mtok=Decimal(12), output_mtok=Decimal(60)),
        input_mtok=Decimal(2),
        output_mtok=Decimal(8),
    )
    price = price_of(info)
    assert price is not None
    assert price.tiers.keys() == {"priority", "fast"}
    priority = price.at_tier("priority")
    assert [priority.unit(name).at(0) * MILLION for name in ("input", "output")] == [4, 8]


def test_tools_of_the_provider_are_under_the_list_and_its_models_own_prices_above() -> None:
    info = listing(input_mtok=Decimal(1), web_searches_kcount=Decimal(10))
    price = price_of(
        info,
        tool_usd={"web_search": Decimal(9), "code_execution": Decimal("0.03")},
        unit_usd={
            "m-large": {"request": Decimal("0.5"), "web_search": Decimal("0.5")},
            "m": {"request": Decimal("0.1")},
            "n": {"request": Decimal(7)},
        },
    )
    assert price is not None
    found = {unit: price.units[unit].at(0) for unit in ("web_search", "code_execution", "request")}
    assert found == {
        "web_search": Decimal("0.5"),
        "code_execution": Decimal("0.03"),
        "request": Decimal("0.5"),
    }


def test_a_model_that_is_in_no_list_is_sold_at_the_tables_prices_or_not_at_all() -> None:
    spoken = price_of(None, unit_usd={"m-": {"input_character": Decimal("0.0001")}})
    assert spoken is not None
    assert spoken.units.keys() == {"input_character"}
    assert price_of(None) is None
    assert price_of(None, tool_usd={"web_search": Decimal(1)}) is None


def test_settings_price_a_model_its_tools_and_its_tiers() -> None:
    own = ModelSettings(
        provider="p",
        input_usd_per_mtok=Decimal(1),
        output_usd_per_mtok=Decimal(2),
        unit_usd={"web_search": Decimal("0.008")},
        tiers={"priority": PriceSettings(input_usd_per_mtok=Decimal(3))},
    )
    provider = Provider("p", {}, tool_usd={"web_search": Decimal(1), "x_search": Decimal("0.005")})
    price = configured_price(own, provider)
    assert price.units["web_search"].at(0) == Decimal("0.008")
    assert price.units["x_search"].at(0) == Decimal("0.005")
    assert price.at_tier("priority").unit("input").at(0) * MILLION == 3
    assert price.at_tier("priority").unit("output").at(0) * MILLION == 2


@pytest.mark.parametrize(
    ("model", "units"),
    [
        ("gpt-4o-mini-search-preview", {"request": "0.025", "web_search": "0"}),
        ("gpt-5", {"web_search": "0.01", "file_search": "0.0025", "code_execution": "0.03"}),
        ("gemini-2.5-flash", {"input_audio": "0.000001", "web_search": "0.035"}),
        ("claude-sonnet-4-5", {"web_search": "0.01", "web_fetch": "0", "code_execution": "0.004167"}),
        ("whisper-1", {"audio_second": "0.0001"}),
    ],
)
def test_well_known_models_have_prices_beside_tokens(model: str, units: dict[str, str]) -> None:
    keys = {"OPENAI_API_KEY": "k", "GEMINI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    settings = Settings()
    catalog = ModelCatalog(settings, configured_providers(settings, keys), ManualClock())
    price = catalog.resolve(model).price
    assert {unit: price.units[unit].at(0) for unit in units} == {
        unit: Decimal(usd) for unit, usd in units.items()
    }
