"""Heddle before one hand-written provider that makes images, speech and transcriptions."""

import base64
import io
import json
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from gateway.inference.dialects.codec import Quirks
from gateway.inference.providers import Limits, Provider
from gateway.loopback import served
from gateway.settings import ModelSettings
from tests.gateway.inference.upstream import PROVIDER_KEY, Answer, Upstream, stream, whole
from tests.gateway.serving import Serving, serving

IMAGES, SPEECH, TRANSCRIPTIONS = "/v1/images/generations", "/v1/audio/speech", "/v1/audio/transcriptions"
PATHS = (IMAGES, SPEECH, TRANSCRIPTIONS)


def _model(upstream_model: str, provider: str = "fake", **prices: Any) -> ModelSettings:
    return ModelSettings(provider=provider, upstream_model=upstream_model, **prices)


def _units(**usd: str) -> dict[str, Decimal]:
    return {name: Decimal(price) for name, price in usd.items()}


def _tokens(heard: str, made: str) -> dict[str, Any]:
    return {"input_usd_per_mtok": Decimal(heard), "output_usd_per_mtok": Decimal(made)}


MODELS = {
    "draw-each": _model("flux", unit_usd=_units(image="0.04")),
    "draw-tokens": _model(
        "gpt-image-1.5",
        **_tokens("5", "10"),
        unit_usd=_units(input_image="0.000008", output_image="0.000032"),
    ),
    "say-each": _model("tts-1", unit_usd=_units(input_character="0.000015")),
    "say-tokens": _model("gpt-4o-mini-tts", **_tokens("0.6", "12")),
    "hear-seconds": _model("whisper-1", unit_usd=_units(audio_second="0.0001")),
    "hear-tokens": _model(
        "gpt-4o-transcribe", **_tokens("2.5", "10"), unit_usd=_units(input_audio="0.000006")
    ),
    "hear-short": _model("whisper-large-v3", "quick", unit_usd=_units(audio_second="0.0001")),
    "chat": _model("gpt-4o", **_tokens("2.5", "10")),
    "eleven": _model(
        "eleven_flash_v2_5", "eleven", unit_usd=_units(input_character="0.00005", credit="0.0001")
    ),
    "eleven-plain": _model("eleven_v3", "eleven", unit_usd=_units(input_character="0.0001")),
    "deep": _model(
        "nova-3", "deep", unit_usd=_units(audio_second="0.00007", multilingual_audio_second="0.00009")
    ),
}


@asynccontextmanager
async def media_heddle(
    upstream: Upstream, data_dir: Path, *, limits: Limits | None = None, **settings: Any
) -> AsyncIterator[Serving]:
    async with served(lambda _url: upstream) as url:
        limits = limits or Limits()
        openai, key = {"openai-chat": f"{url}/v1"}, (PROVIDER_KEY,)
        providers = {
            "fake": Provider("fake", openai, key, limits=limits),
            "quick": Provider("quick", openai, key, quirks=Quirks(least_audio_seconds=10), limits=limits),
            "eleven": Provider("eleven", {"elevenlabs": url}, key, limits=limits),
            "deep": Provider("deep", {"deepgram": url}, key, limits=limits),
        }
        async with serving(data_dir, providers, models=MODELS, **{"max_tries": 1, **settings}) as running:
            yield running


# --- what is asked --------------------------------------------------------------------------------


def sound(seconds: float = 3.0, rate: int = 16_000) -> bytes:
    """Silence as WAV: one channel, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(rate)
        made.writeframes(b"\0\0" * int(seconds * rate))
    return file.getvalue()


async def ask(heddle: Serving, path: str, *, key: str | None = None, **fields: Any) -> httpx.Response:
    """A plain request of the path's kind, with ``fields`` added; None takes one out."""
    headers = {"x-api-key": key} if key is not None else {}
    if path == TRANSCRIPTIONS:
        file = fields.pop("file", ("said.wav", sound(), "audio/wav"))
        form = {"model": "hear-seconds", **fields}
        data = {name: value for name, value in form.items() if value is not None}
        files = {"file": file} if file is not None else None
        return await heddle.http.post(path, data=data, files=files, headers=headers)
    usual: Mapping[str, Any] = (
        {"model": "draw-each", "prompt": "a loom"}
        if path == IMAGES
        else {"model": "say-each", "input": "Hello there", "voice": "alloy"}
    )
    body = {name: value for name, value in {**usual, **fields}.items() if value is not None}
    return await heddle.http.post(path, json=body, headers=headers)


# --- what is answered -----------------------------------------------------------------------------


def events(*payloads: dict[str, Any]) -> list[bytes]:
    return [f"data: {json.dumps(payload)}\n\n".encode() for payload in payloads]


def spoken(*pieces: bytes, usage: dict[str, int] | None = None) -> list[bytes]:
    """Speech within events, as OpenAI streams it."""
    deltas = [{"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()} for piece in pieces]
    return events(*deltas, {"type": "speech.audio.done", "usage": usage})


def good(path: str) -> Answer:
    if path == IMAGES:
        return whole(json.dumps({"created": 1, "data": [{"url": "https://images/1"}]}).encode())
    if path == SPEECH:
        return stream(b"ID3-one", b"-two", content_type="audio/mpeg")
    return whole(json.dumps({"text": "warp", "usage": {"type": "duration", "seconds": 3}}).encode())


COST_NANOS = {IMAGES: 42_800_000, SPEECH: 176_550, TRANSCRIPTIONS: 321_000}
"""Of ``good`` for what ``ask`` asks, with the usual markup of 7 %."""
