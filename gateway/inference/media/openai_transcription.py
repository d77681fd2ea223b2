"""Transcriptions by providers of OpenAI's shape: OpenAI, Groq, Mistral and others."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.dialect import StreamTap
from gateway.inference.media.kinds import TRANSCRIPTION
from gateway.inference.media.passage import OPENAI, MediaPassage
from gateway.inference.media.streams import EventPayloads, TellsAsOpenAI, WholeTap, is_event_stream
from gateway.inference.media.transcription_request import FILE_FIELD, TEXT_FORMATS, Transcription
from gateway.inference.media.transcription_usage import TranscriptionMeter
from gateway.inference.media.uploads import form_with
from gateway.inference.models import Model
from gateway.inference.plan import Way
from kit.json import NOT_JSON


class _Answer(msgspec.Struct):
    text: str
    usage: Any = None
    duration: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    text: Any = None
    usage: Any = None


def way(asked: Transcription, model: Model, markup: Decimal) -> Way:
    meter = TranscriptionMeter(
        by_seconds=TRANSCRIPTION.sold_by_unit(model),
        length=asked.length,
        least_seconds=model.provider.quirks.least_audio_seconds,
        prompt_bytes=len(asked.prompt.encode()),
    )
    fields = [("model", model.upstream_name)]
    fields += [(name, value) for name, value in asked.upload.fields if name != "model"]
    body, body_type = form_with(asked.upload, FILE_FIELD, fields)
    reading = TranscriptionReading(asked.format, meter)
    passage = MediaPassage(OPENAI, "/audio/transcriptions", body, body_type, reading)
    return Way(passage, meter.bound(model, markup))


@dataclass(frozen=True, slots=True)
class TranscriptionReading:
    """Answers pass through; only their usage is read."""

    format: str
    meter: TranscriptionMeter
    framed = True

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage]:
        return body, self._usage(body)

    def tap(self, headers: Mapping[str, str]) -> StreamTap:
        if is_event_stream(headers.get("content-type", "")):
            return TranscriptTap(self.meter)
        return WholeTap(self._usage, lambda: self.meter.usage(None, None, 0))

    def content_type(self, upstream: str) -> str:
        return upstream

    def _usage(self, body: bytes) -> TokenUsage:
        if self.format in TEXT_FORMATS:
            return self.meter.usage(None, None, len(body))
        answer = msgspec.json.decode(body, type=_Answer)
        return self.meter.usage(answer.usage, answer.duration, len(answer.text.encode()))


class TranscriptTap(TellsAsOpenAI):
    """Watches a stream of ``transcript.text`` events (API reference: Transcription stream events); Mistral's
    are ``transcription.text``."""

    def __init__(self, meter: TranscriptionMeter) -> None:
        self.complete = False
        self.failed = False
        self._meter = meter
        self._payloads = EventPayloads()
        self._written = 0
        self._usage: TokenUsage | None = None

    def feed(self, chunk: bytes) -> bytes:
        for payload in self._payloads.feed(chunk):
            self._note(payload)
        return chunk

    def end(self) -> bytes:
        return b""

    def usage(self, input_estimate: int) -> TokenUsage:  # noqa: ARG002 - the file's length is known
        return self._usage or self._meter.usage(None, None, self._written)

    def _note(self, payload: bytes) -> None:
        try:
            event = msgspec.json.decode(payload, type=_Event)
        except NOT_JSON:
            return
        if event.type.endswith(".delta"):
            written = next((part for part in (event.delta, event.text) if isinstance(part, str)), "")
            self._written += len(written.encode())
        elif event.type.endswith(".done"):
            self._usage = self._meter.usage(event.usage, None, self._written)
            self.complete = True
        elif event.type == "error":
            self.failed = True
