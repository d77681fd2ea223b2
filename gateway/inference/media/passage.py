"""A request for images, speech or a transcription on its way to a provider."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.dialect import StreamTap
from gateway.inference.dialects.openai_chat.wire import OpenAIChatDialect
from gateway.inference.passage import in_clients_form
from gateway.inference.upstream import Body, ProviderRefused
from kit.errors import HeddleError


@dataclass(frozen=True, slots=True)
class Access:
    """How a dialect's providers are told who calls: ``header: scheme key``. The refusals of those that are
    ``foreign`` to clients are told in the clients' form."""

    dialect: str
    header: str
    scheme: str = ""
    foreign: bool = True


OPENAI = Access(OpenAIChatDialect.name, "authorization", "Bearer ", foreign=False)
"""Providers of the OpenAI Chat dialect have the routes for media beside it."""
ELEVENLABS = Access("elevenlabs", "xi-api-key")
DEEPGRAM = Access("deepgram", "authorization", "Token ")


class Reading(Protocol):
    """How a provider's answer is read: what the client gets of it, and what it is billed by."""

    @property
    def framed(self) -> bool:
        """Whether a streamed answer consists of events, so that an error can be told among them."""
        ...

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage]:
        """A whole answer for the client, and its usage. Raises ValueError if it cannot be read."""
        ...

    def tap(self, headers: Mapping[str, str]) -> StreamTap: ...

    def content_type(self, upstream: str) -> str: ...


@dataclass(frozen=True, slots=True)
class MediaPassage:
    """Implements ``passage.Passage``."""

    access: Access
    route: str
    body: Body
    body_type: str
    reading: Reading
    dropped: tuple[str, ...] = ()

    @property
    def provider_dialect(self) -> str:
        return self.access.dialect

    def path(self) -> str:
        return self.route

    def headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002
        headers = {"content-type": self.body_type}
        if api_key is not None:
            headers[self.access.header] = self.access.scheme + api_key
        return headers

    def outgoing(self, max_tokens: int | None) -> Body:  # noqa: ARG002 - media are made whole
        return self.body

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage | None]:
        return self.reading.answer(body)

    def content_type(self, upstream: str) -> str:
        return self.reading.content_type(upstream)

    def tap(self, headers: Mapping[str, str]) -> StreamTap:
        return self.reading.tap(headers)

    @property
    def tells_errors(self) -> bool:
        return self.reading.framed

    def abandoned(self, input_guess: int) -> TokenUsage:  # noqa: ARG002 - media know their own
        return replace(self.reading.tap({}).usage(0), estimated=True)

    def billed(self, usage: TokenUsage) -> TokenUsage:
        return usage

    def refusal(self, refused: ProviderRefused) -> HeddleError:
        return in_clients_form(refused) if self.access.foreign else refused
