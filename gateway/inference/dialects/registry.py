"""The dialects by name: how each is called, passed through and translated."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.inference.dialects.anthropic.codec import AnthropicCodec
from gateway.inference.dialects.anthropic.terms import client_name as anthropic_name
from gateway.inference.dialects.anthropic.wire import AnthropicDialect
from gateway.inference.dialects.codec import Codec
from gateway.inference.dialects.dialect import Endpoint, WireDialect
from gateway.inference.dialects.google.codec import GoogleCodec
from gateway.inference.dialects.google.wire import GoogleWire
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec
from gateway.inference.dialects.openai_chat.terms import client_name as chat_name
from gateway.inference.dialects.openai_chat.wire import OpenAIChatDialect
from gateway.inference.dialects.openai_embeddings import OpenAIEmbeddings
from gateway.inference.dialects.openai_responses.codec import OpenAIResponsesCodec
from gateway.inference.dialects.openai_responses.terms import client_name as responses_name
from gateway.inference.dialects.openai_responses.wire import OpenAIResponsesDialect


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect of providers. ``requires_max_tokens``: they refuse a request without a limit."""

    endpoint: Endpoint
    codec: Codec
    requires_max_tokens: bool = False
    thinking_differs_by_provider: bool = False

    @property
    def name(self) -> str:
        return self.endpoint.name

    def origin_of(self, provider: str) -> str:
        """What a provider's thinking is marked with: only that origin understands its signatures."""
        return f"{self.name}/{provider}" if self.thinking_differs_by_provider else self.name


@dataclass(frozen=True, slots=True)
class ClientDialect:
    """One dialect of clients; without a codec it reaches only providers that speak it too. ``client_name``
    is what a client calls a field of its request that has this name in the neutral form."""

    wire: WireDialect
    codec: Codec | None
    client_name: Callable[[str, Request], str]

    @property
    def name(self) -> str:
        return self.wire.name


_ANTHROPIC, _CHAT, _RESPONSES = AnthropicDialect(), OpenAIChatDialect(), OpenAIResponsesDialect()

_ANTHROPIC_CODEC, _CHAT_CODEC, _RESPONSES_CODEC = AnthropicCodec(), OpenAIChatCodec(), OpenAIResponsesCodec()

ANTHROPIC = ClientDialect(_ANTHROPIC, _ANTHROPIC_CODEC, anthropic_name)
OPENAI_CHAT = ClientDialect(_CHAT, _CHAT_CODEC, chat_name)
OPENAI_RESPONSES = ClientDialect(_RESPONSES, _RESPONSES_CODEC, responses_name)
OPENAI_EMBEDDINGS = ClientDialect(OpenAIEmbeddings(), None, lambda name, _: name)

PROVIDER_DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(_ANTHROPIC, _ANTHROPIC_CODEC, requires_max_tokens=True),
        Dialect(_CHAT, _CHAT_CODEC, thinking_differs_by_provider=True),
        Dialect(_RESPONSES, _RESPONSES_CODEC),
        Dialect(GoogleWire(), GoogleCodec()),
    )
}
RESPONSES_PATH = "/v1/responses"
CLIENT_PATHS = {
    "/v1/messages": ANTHROPIC,
    "/v1/chat/completions": OPENAI_CHAT,
    RESPONSES_PATH: OPENAI_RESPONSES,
    "/v1/embeddings": OPENAI_EMBEDDINGS,
}
"""What clients post to, and what they speak there."""
