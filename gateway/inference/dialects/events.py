"""An answer in pieces, in the neutral form.

A choice's blocks have indexes from 0, in order. Each block starts once and stops once; blocks of a choice may
overlap (parallel tool calls of OpenAI Chat do); encoders whose dialect forbids that put them in order.
"""

from typing import Any

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.neutral import Block, Citation, Extra, StopReason, Struct


class Started(Struct, tag="started"):
    id: str
    model: str
    usage: TokenUsage | None = None
    """What is known at the start (input and cache tokens)."""
    created_s: int | None = None
    extra: Extra | None = None


class BlockStarted(Struct, tag="block_started"):
    """``block`` is empty but for its names and ids, or whole where a dialect sends it whole."""

    index: int
    block: Block
    choice: int = 0


class TextDelta(Struct, tag="text_delta"):
    """More of a Text, Refusal or Thinking block, as its kind says."""

    index: int
    text: str
    choice: int = 0
    logprobs: list[dict[str, Any]] | None = None


class ArgumentsDelta(Struct, tag="arguments_delta"):
    """More of a ToolUse's JSON text."""

    index: int
    text: str
    choice: int = 0


class SignatureDelta(Struct, tag="signature_delta"):
    """The (whole) signature of a Thinking or ToolUse block, or the data of a HiddenThinking."""

    index: int
    signature: str
    choice: int = 0


class CitationDelta(Struct, tag="citation_delta"):
    index: int
    citation: Citation
    choice: int = 0


class AudioDelta(Struct, tag="audio_delta"):
    index: int
    data: str = ""
    transcript: str = ""
    choice: int = 0


class BlockStopped(Struct, tag="block_stopped"):
    index: int
    choice: int = 0


class ChoiceFinished(Struct, tag="choice_finished"):
    """A choice has its reason to stop; all its blocks have stopped before."""

    stop: StopReason
    stop_sequence: str | None = None
    choice: int = 0
    extra: Extra | None = None


class Finished(Struct, tag="finished"):
    """The stream is complete. ``usage`` is the whole call's."""

    usage: TokenUsage | None = None
    extra: Extra | None = None


class Failed(Struct, tag_field="event", tag="failed"):
    """The provider reports an error within its stream, or the stream broke; nothing follows."""

    message: str
    type: str = "api_error"
    """One of ``error_types.NEUTRAL_TYPES``."""
    code: str | None = None


Event = (
    Started
    | BlockStarted
    | TextDelta
    | ArgumentsDelta
    | SignatureDelta
    | CitationDelta
    | AudioDelta
    | BlockStopped
    | ChoiceFinished
    | Finished
    | Failed
)
