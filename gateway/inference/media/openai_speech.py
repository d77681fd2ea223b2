"""Speech from providers of OpenAI's shape: sold by characters (tts-1, Groq's Orpheus) or by tokens
(gpt-4o-mini-tts).

Sound by itself tells no tokens, and no header does. Within events (``stream_format: sse``) they come at the
end, so models that are sold by tokens are always asked for events; a client that wants sound gets what is
in them. Only where a provider answers with sound nevertheless are the tokens estimated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from gateway.billing.prices import TokenUsage, bound_of
from gateway.inference.dialects.dialect import StreamTap
from gateway.inference.media.kinds import SPEECH
from gateway.inference.media.passage import OPENAI, MediaPassage
from gateway.inference.media.speech_request import Speech
from gateway.inference.media.speech_usage import SoundTap, SpeechEventsTap, most_speech_tokens
from gateway.inference.media.streams import is_event_stream
from gateway.inference.models import Model
from gateway.inference.plan import Way

_OVERHEAD_TOKENS = 100
_CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


def way(speech: Speech, model: Model, markup: Decimal) -> Way:
    by_characters = SPEECH.sold_by_unit(model)
    usage = TokenUsage(extras=(("input_character", len(speech.text)),)) if by_characters else None
    changes = {"model": model.upstream_name}
    if not by_characters:
        changes["stream_format"] = "sse"
    passage = MediaPassage(
        OPENAI,
        "/audio/speech",
        msgspec.json.encode({**speech.body, **changes}),
        "application/json",
        SpeechReading(speech, usage),
    )
    most = 0 if by_characters else most_speech_tokens(speech.text)
    bound = bound_of(
        model.price,
        markup,
        input_tokens=0 if by_characters else _bytes(speech) + _OVERHEAD_TOKENS,
        max_output_tokens=most,
        min_output_tokens=most,
        extras=usage.extras if usage is not None else (),
    )
    return Way(passage, bound)


@dataclass(frozen=True, slots=True)
class SpeechReading:
    """``usage``: where it is known beforehand."""

    speech: Speech
    usage: TokenUsage | None

    @property
    def framed(self) -> bool:
        return self.speech.wants_events

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage]:  # noqa: ARG002 - never called
        raise AssertionError("speech is always passed on as it comes")

    def tap(self, headers: Mapping[str, str]) -> StreamTap:
        content_type = headers.get("content-type", "")
        if is_event_stream(content_type):
            return SpeechEventsTap(self.speech, self.usage, decoded=not self.speech.wants_events)
        return SoundTap(self.speech, content_type, self.usage)

    def content_type(self, upstream: str) -> str:
        if is_event_stream(upstream) and not self.speech.wants_events:
            return _CONTENT_TYPES[self.speech.format]
        return upstream


def _bytes(speech: Speech) -> int:
    return len(speech.text.encode()) + len((speech.instructions or "").encode())
