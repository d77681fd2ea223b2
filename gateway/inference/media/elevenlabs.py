"""Speech from ElevenLabs (elevenlabs.io/docs, API reference: Create speech), asked for in OpenAI's shape."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from gateway.billing.prices import TokenUsage, bound_of
from gateway.inference.dialects.dialect import StreamTap
from gateway.inference.media.kinds import SPEECH
from gateway.inference.media.passage import ELEVENLABS, MediaPassage
from gateway.inference.media.speech_request import Speech
from gateway.inference.media.speech_usage import SoundTap
from gateway.inference.models import Model
from gateway.inference.plan import Way
from kit.errors import Unsupported

_FORMATS = {"mp3": "mp3_44100_128", "opus": "opus_48000_64", "wav": "wav_24000", "pcm": "pcm_24000"}
_OWN_FIELDS = (
    "apply_text_normalization",
    "language_code",
    "next_text",
    "previous_text",
    "pronunciation_dictionary_locators",
    "seed",
    "voice_settings",
)
"""Fields of ElevenLabs' own that a client may add."""
_MOST_CREDITS = 1_000_000
_VOICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""It is a part of the path: nothing else may be said with it."""


def way(speech: Speech, model: Model, markup: Decimal) -> Way:
    """Raises Unsupported for what ElevenLabs cannot do."""
    if not SPEECH.sold_by_unit(model):
        raise Unsupported(
            f"model {model.slug} has no price for input_character", code="model_not_priced", param="model"
        )
    if not _VOICE_ID.fullmatch(speech.voice):
        raise Unsupported(f"voice: expected the id of a voice at {model.provider.name}", param="voice")
    if speech.format not in _FORMATS:
        raise Unsupported(
            f"response_format: {model.provider.name} makes {', '.join(_FORMATS)}", param="response_format"
        )
    if speech.wants_events:
        raise Unsupported(f"stream_format: {model.provider.name} sends no events", param="stream_format")
    route = f"/v1/text-to-speech/{speech.voice}?output_format={_FORMATS[speech.format]}"
    reading = ElevenLabsReading(speech, in_credits="credit" in model.price.units)
    dropped = ("instructions",) if speech.instructions else ()
    passage = MediaPassage(
        ELEVENLABS, route, msgspec.json.encode(_body(speech, model)), "application/json", reading, dropped
    )
    characters = (("input_character", len(speech.text)),)
    bound = bound_of(model.price, markup, input_tokens=0, max_output_tokens=0, extras=characters)
    return Way(passage, bound)


@dataclass(frozen=True, slots=True)
class ElevenLabsReading:
    """``in_credits``: the model has a price for the credits that answers tell, else for characters only."""

    speech: Speech
    in_credits: bool
    framed = False

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage]:  # noqa: ARG002 - never called
        raise AssertionError("speech is always passed on as it comes")

    def tap(self, headers: Mapping[str, str]) -> StreamTap:
        credits = _credits(headers) if self.in_credits else None
        if credits is not None:
            usage = TokenUsage(extras=(("credit", credits),))
        else:
            characters = (("input_character", len(self.speech.text)),)
            usage = TokenUsage(extras=characters, estimated=self.in_credits)
        return SoundTap(self.speech, headers.get("content-type", ""), usage)

    def content_type(self, upstream: str) -> str:
        return upstream


def _body(speech: Speech, model: Model) -> dict[str, Any]:
    body = {name: speech.body[name] for name in _OWN_FIELDS if name in speech.body}
    if speech.speed is not None:
        settings = body.get("voice_settings")
        body["voice_settings"] = {**(settings if isinstance(settings, dict) else {}), "speed": speech.speed}
    return {**body, "text": speech.text, "model_id": model.upstream_name}


def _credits(headers: Mapping[str, str]) -> Decimal | None:
    """What the answer says that it cost. A character is one credit, or half of one with the cheaper models;
    some voices cost more (help.elevenlabs.io, How do I find the model ID)."""
    try:
        credits = Decimal(headers["character-cost"])
    except (KeyError, InvalidOperation):
        return None
    return credits if credits.is_finite() and 0 < credits <= _MOST_CREDITS else None
