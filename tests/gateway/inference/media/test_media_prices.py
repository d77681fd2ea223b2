"""Models of the known providers have the prices that the routes for media need."""

from decimal import Decimal

import pytest

from gateway.inference.media.kinds import IMAGES, SPEECH, TRANSCRIPTION, Kind
from gateway.inference.models import ModelCatalog
from gateway.inference.providers import configured_providers
from gateway.settings import Settings
from kit.clock import SystemClock
from tests.gateway.serving import serving

KEYS = ("OPENAI", "XAI", "GROQ", "MISTRAL", "ELEVENLABS", "DEEPGRAM")


@pytest.fixture(scope="module")
def catalog() -> ModelCatalog:
    settings = Settings()
    environ = {f"{name}_API_KEY": "k" for name in KEYS}
    return ModelCatalog(settings, configured_providers(settings, environ), SystemClock())


@pytest.mark.parametrize(
    ("name", "kind", "provider", "by_unit"),
    [
        ("gpt-image-1.5", IMAGES, "openai", False),
        ("gpt-image-2.6-sunburst", IMAGES, "openai", False),
        ("chatgpt-image-latest", IMAGES, "openai", False),
        ("grok-imagine-image", IMAGES, "xai", True),
        ("grok-imagine-image-2.0", IMAGES, "xai", True),
        ("tts-1-hd", SPEECH, "openai", True),
        ("gpt-4o-mini-tts", SPEECH, "openai", False),
        ("canopylabs/orpheus-v1-english", SPEECH, "groq", True),
        ("eleven_flash_v2_5", SPEECH, "elevenlabs", True),
        ("eleven_v4_turbo", SPEECH, "elevenlabs", True),
        ("whisper-1", TRANSCRIPTION, "openai", True),
        ("gpt-transcribe", TRANSCRIPTION, "openai", True),
        ("gpt-4o-transcribe", TRANSCRIPTION, "openai", False),
        ("whisper-large-v3-turbo", TRANSCRIPTION, "groq", True),
        ("voxtral-mini-latest", TRANSCRIPTION, "mistral", True),
        ("nova-3", TRANSCRIPTION, "deepgram", True),
        ("nova-3-medical", TRANSCRIPTION, "deepgram", True),
    ],
)
def test_a_model_is_sold_as_its_provider_sells_it(
    catalog: ModelCatalog, name: str, kind: Kind, provider: str, by_unit: bool
) -> None:
    model = catalog.resolve(name)
    assert (model.provider.name, kind.sold_by_unit(model)) == (provider, by_unit)


def test_only_groq_bills_ten_seconds_at_least(catalog: ModelCatalog) -> None:
    assert catalog.resolve("whisper-large-v3").provider.quirks.least_audio_seconds == 10
    assert catalog.resolve("whisper-1").provider.quirks.least_audio_seconds == 0


def test_a_minute_at_deepgram_costs_what_its_list_says(catalog: ModelCatalog) -> None:
    price = catalog.resolve("nova-3").price
    assert round(price.unit("audio_second").at(0) * 60, 9) == Decimal("0.0043")
    assert round(price.unit("multilingual_audio_second").at(0) * 60, 9) == Decimal("0.0052")


def test_models_that_only_our_own_table_prices_are_listed(catalog: ModelCatalog) -> None:
    listed = {model.slug: model for model in catalog.all()}
    assert {"eleven_v3", "nova-3", "grok-imagine-image", "tts-1", "whisper-1"} <= listed.keys()
    assert "gpt-6" not in listed  # the table has only the price of a tool for it


async def test_v1_models_tells_each_price_in_its_unit(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings()
    providers = configured_providers(settings, {"ELEVENLABS_API_KEY": "k", "OPENAI_API_KEY": "k"})
    async with serving(tmp_path_factory.mktemp("data"), providers, markup=0) as heddle:
        answer = await heddle.http.get("/v1/models/eleven_flash_v2_5")
        assert answer.json()["pricing"] == {"input_character_usd": "0.00005", "credit_usd": "0.0001"}
        assert answer.json()["dialects"] == ["elevenlabs"]
        image = (await heddle.http.get("/v1/models/gpt-image-1.5")).json()["pricing"]
        assert Decimal(image["output_image_per_mtok_usd"]) == 32
        assert Decimal(image["web_search_usd"]) == Decimal("0.01")
