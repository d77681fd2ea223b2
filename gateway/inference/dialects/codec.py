"""What a dialect must offer so that every client can reach every provider through the neutral form.

All of it is pure: bytes and JSON objects in, structs out, no I/O. For calls in which client and provider
speak the same dialect nothing here runs: their bytes pass through (see ``dialect.WireDialect``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gateway.inference.dialects.events import Event
from gateway.inference.dialects.neutral import Extra, Request, Response
from kit.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where a provider departs from its dialect. The defaults are the dialect as its inventor has it."""

    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    system_role: Literal["developer", "system"] = "developer"
    tool_choice_any: Literal["required", "any"] = "required"
    unsupported: frozenset[str] = frozenset()
    """Top-level request fields that the provider refuses and that may be left out harmlessly; in the OpenAI
    Chat dialect also ``allowed_tools`` and ``custom_tools``, which then are said in other ways."""
    refused: frozenset[str] = frozenset()
    """Top-level request fields that the provider cannot honour and that may not be left out."""
    tool_id_length: int | None = None
    """The exact length of tool ids, which are then letters and digits only (Mistral: 9)."""
    seed_field: Literal["seed", "random_seed"] = "seed"
    stream_usage_option: bool = True
    """Whether ``stream_options`` is understood; otherwise usage comes in every stream by itself."""
    tool_id_max_length: int = 40
    """The length of the longest tool id that a provider of the OpenAI Chat dialect takes."""
    reasoning_field: Literal["reasoning_content", "reasoning", "content"] = "reasoning_content"
    """Where a provider of the OpenAI Chat dialect wants its thoughts back: in a field of their own, or as
    parts of the content (Mistral)."""
    replays_reasoning: bool = False
    """Whether the provider wants its earlier thoughts back (DeepSeek reasoner with tools, Kimi)."""
    structured_output: Literal["json_schema", "json_object", "none"] = "json_schema"
    schema_subset: Literal["full", "openai-strict", "google"] = "full"
    """Which JSON Schema the provider understands in tools and structured output."""
    strict_tools: bool = False
    """Whether a provider of the OpenAI dialects holds a model to a tool's schema with ``strict``. Turns use
    it (``gateway/inference/tool_schemas/strict.py``)."""
    cache_control: bool = False
    """Whether a provider of the OpenAI Chat dialect takes Anthropic's ``cache_control`` (OpenRouter)."""
    user_after_tools: bool = True
    """Whether a user message may follow results of tools directly (Mistral wants the model in between)."""
    image_urls: bool = True
    """Whether the provider fetches images by URL; otherwise they must be inline."""
    bearer_key: bool = False
    """Whether a provider of the Anthropic dialect wants its key as ``authorization: Bearer`` (OpenRouter)."""
    least_audio_seconds: int = 0
    """What a transcription is billed at least (Groq: 10)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a request is encoded for. ``origin`` is what its thinking is marked with."""

    provider: str
    model: str
    """The name that the provider knows."""
    origin: str
    quirks: Quirks = field(default_factory=Quirks)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request's body for a provider, and the fields (``messages[2].content[0].cache_control``, say, in the
    neutral form's terms) that had no place there and do no harm by missing."""

    body: dict[str, Any]
    dropped: tuple[str, ...] = ()


_USUAL = {"status": "completed", "store": False}
"""What OpenAI's clients send along without asking for anything that other dialects do not do anyway."""


def left_out(extra: Extra | None, dialect: str) -> tuple[str, ...]:
    """The names of fields that belong to another dialect than ``dialect``, for ``Encoded.dropped``, without
    notes on the form and fields that say nothing. Raises Unsupported naming a field that may not be left
    out."""
    if extra is None or extra.dialect == dialect:
        return ()
    for name in extra.essential:
        raise Unsupported(f"{name}: only models of the {extra.dialect} dialect can use it", param=name)
    return tuple(
        name
        for name, value in extra.fields.items()
        if value not in (None, [], _USUAL.get(name)) and not name.startswith("_")
    )


class StreamDecoder(Protocol):
    """A provider's stream: feed bytes in any pieces, get events. Never raises on any bytes; keeps at most
    ``frames.MAX_PENDING_BYTES``, beyond which the stream is Failed."""

    def feed(self, data: bytes) -> list[Event]: ...

    def end(self) -> list[Event]:
        """What is left when the provider's bytes have ended. A stream that is incomplete ends in no
        Finished."""
        ...


class StreamEncoder(Protocol):
    """A client's stream: feed events, get the bytes of whole frames."""

    def feed(self, event: Event) -> bytes: ...


class Codec(Protocol):
    """One dialect in both directions."""

    name: str

    def decode_request(self, body: Mapping[str, Any]) -> Request:
        """Raises InvalidRequest naming the field and what was expected."""
        ...

    def encode_request(self, request: Request, target: Target) -> Encoded:
        """Raises Unsupported naming the field that cannot be carried and may not be left out."""
        ...

    def decode_response(self, body: Mapping[str, Any], origin: str) -> Response:
        """Raises ValueError if this is no answer of the dialect. Unknown parts are kept, not refused."""
        ...

    def encode_response(self, response: Response, request: Request) -> dict[str, Any]: ...

    def stream_decoder(self, origin: str) -> StreamDecoder: ...

    def stream_encoder(self, request: Request) -> StreamEncoder: ...
