"""Speech from ElevenLabs behind OpenAI's route."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.inference.media.rig import SPEECH, ask, media_heddle
from tests.gateway.inference.passing import settled, spent
from tests.gateway.inference.upstream import PROVIDER_KEY, Upstream, whole
from tests.gateway.serving import Serving

SOUND = "audio/mpeg"
CHARACTERS_NANOS = 11 * 50_000 * 107 // 100


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(whole(b"ID3", content_type=SOUND, headers={"character-cost": "6"}))


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with media_heddle(upstream, tmp_path) as running:
        yield running


async def test_a_request_is_said_in_its_words_and_billed_by_its_credits(
    heddle: Serving, upstream: Upstream
) -> None:
    got = await ask(
        heddle,
        SPEECH,
        model="eleven",
        voice="JBF_q-1",
        response_format="opus",
        speed=1.1,
        voice_settings={"stability": 0.4},
        language_code="de",
        instructions="Softly",
    )
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, b"ID3", SOUND)
    assert got.headers["x-heddle-dropped"] == "instructions"
    heard = upstream.only
    assert (heard.path, heard.query) == ("/v1/text-to-speech/JBF_q-1", "output_format=opus_48000_64")
    assert heard.headers["xi-api-key"] == PROVIDER_KEY
    assert "authorization" not in heard.headers
    assert json.loads(heard.body) == {
        "text": "Hello there",
        "model_id": "eleven_flash_v2_5",
        "voice_settings": {"stability": 0.4, "speed": 1.1},
        "language_code": "de",
    }
    await settled(heddle)
    event = await heddle.only_event()
    assert event.cost_nanos == 6 * 100_000 * 107 // 100 == await spent(heddle)
    assert not event.estimated


@pytest.mark.parametrize("cost", [None, "0", "-4", "NaN", "many", "1e300"])
async def test_without_credits_that_can_be_believed_characters_are_billed(
    heddle: Serving, upstream: Upstream, cost: str | None
) -> None:
    headers = {} if cost is None else {"character-cost": cost}
    upstream.answer = whole(b"ID3", content_type=SOUND, headers=headers)
    await ask(heddle, SPEECH, model="eleven")
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.cost_nanos, event.estimated) == (CHARACTERS_NANOS, True)


async def test_a_model_without_a_price_for_credits_is_billed_by_characters(
    heddle: Serving, upstream: Upstream
) -> None:
    await ask(heddle, SPEECH, model="eleven-plain")
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.cost_nanos, event.estimated) == (11 * 100_000 * 107 // 100, False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "aac"}, "response_format"),
        ({"response_format": "flac"}, "response_format"),
        ({"stream_format": "sse"}, "stream_format"),
        ({"voice": ".."}, "voice"),
        ({"voice": "a/../../voices"}, "voice"),
        ({"voice": "a?output_format=mp3_44100_192"}, "voice"),
        ({"voice": "Zoë"}, "voice"),
    ],
)
async def test_what_it_cannot_make_is_a_422(
    heddle: Serving, upstream: Upstream, fields: dict[str, Any], param: str
) -> None:
    got = await ask(heddle, SPEECH, model="eleven", **fields)
    assert (got.status_code, got.json()["error"]["param"]) == (422, param)
    assert upstream.heard == []


async def test_its_refusal_is_told_in_openais_form_without_its_key(
    heddle: Serving, upstream: Upstream
) -> None:
    detail = {"detail": {"status": "voice_not_found", "message": f"No voice for {PROVIDER_KEY}"}}
    upstream.answer = whole(json.dumps(detail).encode(), 404)
    got = await ask(heddle, SPEECH, model="eleven")
    error = got.json()["error"]
    assert (got.status_code, error["code"]) == (404, "provider_refused")
    assert error["message"] == "eleven: No voice for ***"
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos) == ("error", 0)
