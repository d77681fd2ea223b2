"""What speech is billed by, and how its bytes pass."""

import base64
import binascii
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import msgspec

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.anthropic.wire import BYTES_PER_TOKEN
from gateway.inference.dialects.fields import Count
from gateway.inference.dialects.frames import UnreadableStream
from gateway.inference.dialects.units import parts_of
from gateway.inference.media.sound import SoundMeter
from gateway.inference.media.speech_request import Speech
from gateway.inference.media.streams import EventPayloads, TellsAsOpenAI
from kit.json import NOT_JSON

TOKENS_PER_SECOND = 20
"""One for each 50 ms that a model of OpenAI's speaks (developers.openai.com, guides: Managing costs)."""
_CHARACTERS_PER_SECOND = 15
"""150 English words in a minute: taken where neither the provider nor the bytes tell how long it spoke."""
_NOT_SOUND = ("application/json", "text/html", "text/plain")


class _Usage(msgspec.Struct):
    input_tokens: Count
    output_tokens: Count


class _Event(msgspec.Struct):
    type: str = ""
    audio: str | None = None
    usage: Any = None


@dataclass(frozen=True, slots=True)
class SpeechTokens:
    """Estimates the tokens of speech whose provider tells none."""

    speech: Speech

    def of(self, sound: SoundMeter) -> TokenUsage:
        seconds = sound.seconds()
        if seconds is None:
            seconds = len(self.speech.text) / _CHARACTERS_PER_SECOND / (self.speech.speed or 1.0)
        said = len(self.speech.text.encode()) + len((self.speech.instructions or "").encode())
        return _tokens(-(-said // BYTES_PER_TOKEN), ceil(seconds * TOKENS_PER_SECOND), estimated=True)


def most_speech_tokens(text: str) -> int:
    """An upper bound for holds: more than four times what English takes for each byte, a second for each
    digit (which may be read as several words), and some for pauses. None is published."""
    digits = sum(character.isdigit() for character in text)
    return 6 * len(text.encode()) + TOKENS_PER_SECOND * digits + 1_000


class SoundTap(TellsAsOpenAI):
    """Sound that passes byte for byte. It is billed by ``usage`` if that is known beforehand, else by what
    passed."""

    def __init__(self, speech: Speech, content_type: str, usage: TokenUsage | None) -> None:
        self.complete = False
        self.failed = False
        self._tokens = SpeechTokens(speech)
        self._sound = SoundMeter(speech.format)
        self._known = usage
        self._is_sound = not content_type.lower().startswith(_NOT_SOUND)

    def feed(self, chunk: bytes) -> bytes:
        if not self._is_sound:
            raise UnreadableStream("the answer is not sound")
        self._sound.feed(chunk)
        return chunk

    def end(self) -> bytes:
        self.complete = self._sound.size > 0
        return b""

    def usage(self, input_estimate: int) -> TokenUsage:  # noqa: ARG002 - speech knows its own
        return self._known or self._tokens.of(self._sound)


class SpeechEventsTap(TellsAsOpenAI):
    """A stream of ``speech.audio`` events (API reference: Speech stream events), which end with their usage:
    passed on, or ``decoded`` to the sound in them. ``usage``: as for SoundTap."""

    def __init__(self, speech: Speech, usage: TokenUsage | None, *, decoded: bool) -> None:
        self.complete = False
        self.failed = False
        self._tokens = SpeechTokens(speech)
        self._sound = SoundMeter(speech.format)
        self._known = usage
        self._decoded = decoded
        self._payloads = EventPayloads()

    def feed(self, chunk: bytes) -> bytes:
        sound = b"".join(self._sound_of(payload) for payload in self._payloads.feed(chunk))
        return sound if self._decoded else chunk

    def end(self) -> bytes:
        return b""

    def usage(self, input_estimate: int) -> TokenUsage:  # noqa: ARG002 - speech knows its own
        return self._known or self._tokens.of(self._sound)

    def _sound_of(self, payload: bytes) -> bytes:
        try:
            event = msgspec.json.decode(payload, type=_Event)
        except NOT_JSON:
            return b""
        if event.type == "error":
            self.failed = not self._decoded  # sound that ends without its last event is cut off
        elif event.type.endswith(".done"):
            self.complete = self._sound.size > 0
            self._known = self._known or _reported(event.usage)
        elif event.audio is not None:
            return self._measured(event.audio)
        return b""

    def _measured(self, encoded: str) -> bytes:
        try:
            sound = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise UnreadableStream("an event whose sound is not base64") from None
        self._sound.feed(sound)
        return sound


def _reported(usage: Any) -> TokenUsage | None:
    try:
        counted = msgspec.convert(usage, _Usage)
    except msgspec.ValidationError:
        return None
    return _tokens(counted.input_tokens, counted.output_tokens)


def _tokens(heard: int, spoken: int, *, estimated: bool = False) -> TokenUsage:
    usage = TokenUsage(input_tokens=heard, output_tokens=spoken, parts=parts_of(output_audio=spoken))
    return replace(usage, estimated=estimated)
