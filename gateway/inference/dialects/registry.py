"""The dialects by name: how each is passed through and how it is translated."""

from dataclasses import dataclass

from gateway.inference.dialects.anthropic.codec import AnthropicCodec
from gateway.inference.dialects.anthropic.wire import AnthropicDialect
from gateway.inference.dialects.codec import Codec
from gateway.inference.dialects.dialect import WireDialect


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect. ``requires_max_tokens``: a request without a limit is refused by its providers."""

    wire: WireDialect
    codec: Codec
    requires_max_tokens: bool = False
    thinking_differs_by_provider: bool = False

    @property
    def name(self) -> str:
        return self.wire.name

    def origin_of(self, provider: str) -> str:
        """What a provider's thinking is marked with: only that origin understands its signatures."""
        return f"{self.name}/{provider}" if self.thinking_differs_by_provider else self.name


ANTHROPIC = Dialect(AnthropicDialect(), AnthropicCodec(), requires_max_tokens=True)
OPENAI_CHAT = Dialect(OpenAIChatDialect(), OpenAIChatCodec(), thinking_differs_by_provider=True)
OPENAI_RESPONSES = Dialect(OpenAIResponsesDialect(), OpenAIResponsesCodec())
GOOGLE = Dialect(GoogleDialect(), GoogleCodec())

DIALECTS = {dialect.name: dialect for dialect in (ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES, GOOGLE)}
CLIENT_PATHS = {
    "/v1/messages": ANTHROPIC,
    "/v1/chat/completions": OPENAI_CHAT,
    "/v1/responses": OPENAI_RESPONSES,
}
"""What clients post to, and what they speak there."""
