"""What the pass-through needs to know of a dialect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.codec import Quirks


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is read from a request's body; the rest passes through untouched."""

    model: str
    stream: bool
    max_tokens: int | None
    """The caller's limit on output tokens (for all choices together), if it set one."""
    choices: int = 1
    tier: str | None = None
    """The processing tier that is asked for, where it changes the price."""
    generates: bool = True
    """Whether the answer has output tokens (embeddings have none)."""
    wants_usage: bool = True
    """Whether a streaming client expects the usage frame that Heddle always asks the provider for."""


class StreamTap(Protocol):
    """Watches a stream go by: collects its usage, passes its bytes on."""

    complete: bool
    failed: bool

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to forward for these bytes from the provider."""
        ...

    def end(self) -> bytes:
        """What is left to forward when the provider's stream has ended."""
        ...

    def usage(self, input_estimate: int) -> TokenUsage:
        """The provider's numbers where they were seen, else counted ones, marked ``estimated``."""
        ...

    def error_frames(self, message: str, code: str) -> bytes:
        """What tells the client that its stream broke, after what it was sent so far; nothing follows."""
        ...


class Endpoint(Protocol):
    """How a dialect's providers are called over HTTP."""

    name: str
    counts_tools: bool
    """Whether answers tell how often each tool that runs at the provider was used."""

    def server_tools(self, body: Mapping[str, Any]) -> Counts:
        """The tools of a request that run at the provider and cost money there, with how often each may be
        used in all."""
        ...

    def path_of(self, model: str, *, stream: bool) -> str:
        """Where requests go, after a provider's base URL. ``model`` is the provider's own name for it."""
        ...

    def request_headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]: ...


class WireDialect(Endpoint, Protocol):
    """A dialect that clients speak too, and whose bytes can pass through."""

    def facts(self, body: Mapping[str, Any]) -> RequestFacts:
        """Raises InvalidRequest naming the field if the body cannot be priced."""
        ...

    def patch(
        self,
        body: Mapping[str, Any],
        facts: RequestFacts,
        *,
        model: str,
        max_tokens: int | None,
        quirks: Quirks,
    ) -> dict[str, Any]:
        """The fields to change, ``msgspec.UNSET`` for those to take out; empty if the caller's bytes can go
        as they are. ``max_tokens`` lowers the limit (per choice)."""
        ...

    def response_usage(self, body: Mapping[str, Any]) -> TokenUsage | None:
        """The usage in a whole response, or None if the provider reported none."""
        ...

    def tap(self, facts: RequestFacts) -> StreamTap: ...
