"""Transcriptions by Deepgram (developers.deepgram.com, reference: Pre-recorded audio), asked for and answered
in OpenAI's shape."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.dialect import StreamTap
from gateway.inference.media.kinds import TRANSCRIPTION
from gateway.inference.media.passage import DEEPGRAM, MediaPassage
from gateway.inference.media.streams import WholeTap
from gateway.inference.media.subtitles import Segment, srt, vtt
from gateway.inference.media.transcription_request import Transcription
from gateway.inference.media.transcription_usage import TranscriptionMeter, seconds_of
from gateway.inference.media.uploads import FileBody
from gateway.inference.models import Model
from gateway.inference.plan import Way
from kit.errors import Unsupported

MULTILINGUAL = "multi"
_UNIT, _MULTILINGUAL_UNIT = "audio_second", "multilingual_audio_second"
_CONTENT_TYPES = {
    "text": "text/plain; charset=utf-8",
    "srt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
_HARMLESS = ("prompt", "temperature", "include", "include[]")
"""Fields that Deepgram has no place for."""
_MOST_CHANNELS = 64


class _Word(msgspec.Struct):
    start: float
    end: float
    word: str
    punctuated_word: str | None = None


class _Alternative(msgspec.Struct):
    transcript: str = ""
    words: list[_Word] = []
    confidence: float = 1.0


class _Channel(msgspec.Struct):
    alternatives: list[_Alternative] = []
    detected_language: str | None = None


class _Utterance(msgspec.Struct):
    start: float
    end: float
    transcript: str
    confidence: float = 1.0


class _Results(msgspec.Struct):
    channels: list[_Channel]
    utterances: list[_Utterance] = []


class _Metadata(msgspec.Struct):
    duration: Any = None
    channels: Any = None


class _Answer(msgspec.Struct):
    results: _Results
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


def way(asked: Transcription, model: Model, markup: Decimal) -> Way:
    """Raises Unsupported for what Deepgram cannot do."""
    if not TRANSCRIPTION.sold_by_unit(model):
        raise Unsupported(
            f"model {model.slug} has no price for {_UNIT}", code="model_not_priced", param="model"
        )
    if asked.stream:
        raise Unsupported(f"stream: {model.provider.name} answers files as a whole", param="stream")
    if asked.format == "diarized_json":
        raise Unsupported(
            f"response_format: {model.provider.name} has no {asked.format}", param="response_format"
        )
    dearer = asked.language == MULTILINGUAL and _MULTILINGUAL_UNIT in model.price.units
    meter = TranscriptionMeter(
        by_seconds=True,
        length=asked.length,
        least_seconds=model.provider.quirks.least_audio_seconds,
        prompt_bytes=0,
        unit=_MULTILINGUAL_UNIT if dearer else _UNIT,
    )
    options = {"model": model.upstream_name, "smart_format": "true", "utterances": "true"}
    options |= {"language": asked.language} if asked.language else {"detect_language": "true"}
    passage = MediaPassage(
        DEEPGRAM,
        f"/v1/listen?{urlencode(options)}",
        FileBody(asked.upload.file, asked.upload.size),
        asked.upload.file_type,
        DeepgramReading(asked, meter),
        tuple(name for name in _HARMLESS if asked.upload.text(name)),
    )
    return Way(passage, meter.bound(model, markup))


@dataclass(frozen=True, slots=True)
class DeepgramReading:
    asked: Transcription
    meter: TranscriptionMeter
    framed = True

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage]:
        answer = msgspec.json.decode(body, type=_Answer)
        usage = self.meter.usage(None, _billed_seconds(answer.metadata), 0)
        return self._shown(answer, usage), usage

    def tap(self, headers: Mapping[str, str]) -> StreamTap:  # noqa: ARG002 - answers are read whole
        return WholeTap(lambda body: self.answer(body)[1], lambda: self.meter.usage(None, None, 0))

    def content_type(self, upstream: str) -> str:  # noqa: ARG002 - the client's format decides
        return _CONTENT_TYPES.get(self.asked.format, "application/json")

    def _shown(self, answer: _Answer, usage: TokenUsage) -> bytes:
        text = "\n".join(said.transcript for said in _firsts(answer.results))
        segments = _segments(answer.results)
        if self.asked.format == "text":
            return f"{text}\n".encode()
        if self.asked.format == "srt":
            return srt(segments).encode()
        if self.asked.format == "vtt":
            return vtt(segments).encode()
        seconds = float(usage.extras[0][1])
        shown: dict[str, Any] = {"text": text, "usage": {"type": "duration", "seconds": seconds}}
        if self.asked.format == "verbose_json":
            shown |= self._verbose(answer, segments)
        return msgspec.json.encode(shown)

    def _verbose(self, answer: _Answer, segments: list[Segment]) -> dict[str, Any]:
        detected = answer.results.channels[0].detected_language if answer.results.channels else None
        verbose: dict[str, Any] = {
            "task": "transcribe",
            "language": detected or self.asked.language or "en",
            "duration": float(seconds_of(answer.metadata.duration) or self.asked.length.seconds),
            "segments": [_openai_segment(number, said) for number, said in enumerate(segments)],
        }
        if self.asked.words:
            words = [word for said in _firsts(answer.results) for word in said.words]
            verbose["words"] = [
                {"word": word.punctuated_word or word.word, "start": word.start, "end": word.end}
                for word in words
            ]
        return verbose


def _billed_seconds(metadata: _Metadata) -> str | None:
    """The sound's length, for each channel that was transcribed."""
    seconds = seconds_of(metadata.duration)
    channels = metadata.channels
    if not isinstance(channels, int) or not 1 <= channels <= _MOST_CHANNELS:
        channels = 1
    return None if seconds is None else str(seconds * channels)


def _firsts(results: _Results) -> list[_Alternative]:
    """What was most probably said, by channel."""
    return [channel.alternatives[0] for channel in results.channels if channel.alternatives]


def _segments(results: _Results) -> list[Segment]:
    if results.utterances:
        return [
            Segment(said.start, said.end, said.transcript, said.confidence) for said in results.utterances
        ]
    return [
        Segment(said.words[0].start, said.words[-1].end, said.transcript, said.confidence)
        for said in _firsts(results)
        if said.words
    ]


def _openai_segment(number: int, said: Segment) -> dict[str, Any]:
    """A segment with all of its fields; Deepgram knows of them the times, the text and how sure it is."""
    return {
        "id": number,
        "seek": 0,
        "start": said.start,
        "end": said.end,
        "text": said.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": math.log(min(1.0, max(said.confidence, 1e-9))),
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }
