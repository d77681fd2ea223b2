"""What a transcription is billed by: seconds of sound, or tokens."""

from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil
from typing import Any

import msgspec

from gateway.billing.prices import CostBound, TokenUsage, bound_of
from gateway.inference.dialects.anthropic.wire import BYTES_PER_TOKEN
from gateway.inference.dialects.fields import Count
from gateway.inference.dialects.units import parts_of
from gateway.inference.media.sound import Length
from gateway.inference.models import Model

TOKENS_PER_SECOND = 10
"""One for each 100 ms that a model of OpenAI's hears (developers.openai.com, guides: Managing costs)."""
_MOST_TOKENS_PER_SECOND = 2 * TOKENS_PER_SECOND
_MOST_WRITTEN_PER_SECOND = 10
"""Nobody speaks more than six words in a second."""
_OVERHEAD_TOKENS = 500
_MOST_SECONDS = 10_000_000


class _Details(msgspec.Struct):
    audio_tokens: Count | None = None


class _Usage(msgspec.Struct):
    """OpenAI's (``type``: tokens or duration), and Mistral's."""

    seconds: Any = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_token_details: _Details | None = None
    prompt_audio_seconds: Any = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


@dataclass(frozen=True, slots=True)
class TranscriptionMeter:
    """``least_seconds``: what is billed at least. ``unit``: the name of the seconds' price."""

    by_seconds: bool
    length: Length
    least_seconds: int
    prompt_bytes: int
    unit: str = "audio_second"

    def bound(self, model: Model, markup: Decimal) -> CostBound:
        """The most that it can cost; tokens count only with models that have prices for them."""
        seconds = max(self.length.most, self.least_seconds)
        heard = seconds * _MOST_TOKENS_PER_SECOND + self.prompt_bytes + _OVERHEAD_TOKENS
        written = seconds * _MOST_WRITTEN_PER_SECOND + _OVERHEAD_TOKENS
        return bound_of(
            model.price,
            markup,
            input_tokens=min(heard, model.context_window or heard),
            max_output_tokens=written,
            min_output_tokens=written,
            extras=((self.unit, seconds),) if self.by_seconds else (),
            media=("audio",),
        )

    def usage(self, reported: Any, duration: Any, written_bytes: int) -> TokenUsage:
        """From what the provider ``reported``, else from the sound's ``duration`` in its answer, else from
        the file's length, estimated."""
        usage = _usage(reported)
        seconds = next(
            (
                found
                for value in (usage.seconds, usage.prompt_audio_seconds, duration)
                if (found := seconds_of(value)) is not None
            ),
            None,
        )
        if self.by_seconds:
            return TokenUsage(
                input_tokens=usage.prompt_tokens or 0,
                output_tokens=usage.completion_tokens or 0,
                extras=((self.unit, max(seconds or self.length.seconds, Decimal(self.least_seconds))),),
                estimated=seconds is None,
            )
        if usage.input_tokens is not None and usage.output_tokens is not None:
            details = usage.input_token_details
            heard = usage.input_tokens if details is None else details.audio_tokens
            return _tokens(usage.input_tokens, usage.output_tokens, heard)
        return self._estimate(seconds or self.length.seconds, written_bytes)

    def _estimate(self, seconds: Decimal, written_bytes: int) -> TokenUsage:
        heard = ceil(seconds * TOKENS_PER_SECOND)
        said = -(-self.prompt_bytes // BYTES_PER_TOKEN)
        usage = _tokens(heard + said, -(-written_bytes // BYTES_PER_TOKEN), heard)
        return replace(usage, estimated=True)


def seconds_of(value: Any) -> Decimal | None:
    """A provider's number of seconds (a number, or a number in a text), if it can be believed."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = Decimal(str(value))
    except ArithmeticError:
        return None
    return seconds if seconds.is_finite() and 0 < seconds <= _MOST_SECONDS else None


def _usage(reported: Any) -> _Usage:
    try:
        return msgspec.convert(reported, _Usage)
    except msgspec.ValidationError:
        return _Usage()


def _tokens(heard: int, written: int, sound: int | None) -> TokenUsage:
    return TokenUsage(input_tokens=heard, output_tokens=written, parts=parts_of(input_audio=sound))
