"""A call's way between the client's dialect and the provider's: bytes through, or translated.

Both ways answer the same questions, so that pricing, sending and settling are written once.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.codec import Codec, Quirks, StreamDecoder, StreamEncoder, Target
from gateway.inference.dialects.dialect import RequestFacts, StreamTap, WireDialect
from gateway.inference.dialects.events import (
    Event,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.registry import ClientDialect, Dialect
from gateway.inference.dialects.server_tools import billed
from gateway.inference.upstream import Body, ProviderRefused
from kit.errors import HeddleError, InvalidRequest, Unsupported
from kit.json import NOT_JSON

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Passage(Protocol):
    """How one request goes out and its answer comes back."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields of the request, as the client calls them, that the provider has no place for; they are left
        out harmlessly."""
        ...

    @property
    def provider_dialect(self) -> str: ...

    def path(self) -> str:
        """Where to post at the provider, after its base URL."""
        ...

    def headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]: ...

    def outgoing(self, max_tokens: int | None) -> Body:
        """The body to send; ``max_tokens`` lowers what the caller asked for (per choice)."""
        ...

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage | None]:
        """A whole answer for the client, and the usage in it. Raises ValueError or msgspec.DecodeError if
        the provider's answer cannot be read."""
        ...

    def content_type(self, upstream: str) -> str:
        """The answer's, given the provider's."""
        ...

    def tap(self, headers: Mapping[str, str]) -> StreamTap:
        """The way of a streamed answer with these ``headers``; ``feed`` gives the client's bytes."""
        ...

    @property
    def tells_errors(self) -> bool:
        """Whether a stream that breaks can tell its client so. Sound has no place for it: the connection is
        cut off."""
        ...

    def billed(self, usage: TokenUsage) -> TokenUsage:
        """The usage under the names that have prices."""
        ...

    def abandoned(self, input_guess: int) -> TokenUsage:
        """What a call is taken to have used that was given up before its provider said anything: its input
        has been sent, and providers bill what they read."""
        ...

    def refusal(self, refused: ProviderRefused) -> HeddleError:
        """What the client hears when the provider found fault with its request."""
        ...


@dataclass(frozen=True, slots=True)
class SameDialect:
    """The caller's very bytes, and the provider's; only what must be changed is."""

    dialect: WireDialect
    facts: RequestFacts
    upstream_model: str
    body: Mapping[str, Any]
    raw: bytes
    quirks: Quirks
    dropped: tuple[str, ...] = ()

    @property
    def provider_dialect(self) -> str:
        return self.dialect.name

    @property
    def tools(self) -> Counts:
        """The tools that run at the provider, with how often each may be used."""
        return self.dialect.server_tools(self.body)

    def billed(self, usage: TokenUsage) -> TokenUsage:
        return billed(usage, self.tools, counted=self.dialect.counts_tools)

    def path(self) -> str:
        return self.dialect.path_of(self.upstream_model, stream=self.facts.stream)

    def headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]:
        return _keyed(self.dialect.request_headers(api_key, client_headers), self.quirks)

    def outgoing(self, max_tokens: int | None) -> bytes:
        changes = self.dialect.patch(
            self.body, self.facts, model=self.upstream_model, max_tokens=max_tokens, quirks=self.quirks
        )
        if not changes:
            return self.raw
        patched = {**_decode_fields(self.raw), **changes}
        return msgspec.json.encode({n: v for n, v in patched.items() if v is not msgspec.UNSET})

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage | None]:
        return body, self.dialect.response_usage(_object(body))

    def content_type(self, upstream: str) -> str:
        return upstream

    def tap(self, headers: Mapping[str, str]) -> StreamTap:  # noqa: ARG002 - the body tells all
        return self.dialect.tap(self.facts)

    @property
    def tells_errors(self) -> bool:
        return True

    def abandoned(self, input_guess: int) -> TokenUsage:
        return TokenUsage(input_tokens=input_guess, estimated=True)

    def refusal(self, refused: ProviderRefused) -> HeddleError:
        return refused


@dataclass(frozen=True, slots=True)
class Crossing:
    """A request translated for a provider of another dialect, and its answer translated back."""

    client: Codec
    provider: Dialect
    request: Request
    target: Target
    body: Mapping[str, Any]
    dropped: tuple[str, ...]

    @classmethod
    def plan(cls, client: ClientDialect, provider: Dialect, request: Request, target: Target) -> "Crossing":
        """Raises Unsupported if the provider's dialect cannot carry the request. Fields have the names that
        the client gave them."""
        assert client.codec is not None, f"{client.name} is not translated"
        try:
            encoded = provider.codec.encode_request(request, target)
        except Unsupported as refused:
            raise _renamed(refused, client, request) from None
        dropped = dict.fromkeys(client.client_name(name, request) for name in encoded.dropped)
        return cls(client.codec, provider, request, target, encoded.body, tuple(dropped))

    @property
    def provider_dialect(self) -> str:
        return self.provider.name

    @property
    def tools(self) -> Counts:
        """The tools that run at the provider, with how often each may be used."""
        return self.provider.endpoint.server_tools(self.body)

    def billed(self, usage: TokenUsage) -> TokenUsage:
        return billed(usage, self.tools, counted=self.provider.endpoint.counts_tools)

    def path(self) -> str:
        return self.provider.endpoint.path_of(self.target.model, stream=self.request.stream)

    def headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002
        # Beta headers of another dialect say nothing.
        return _keyed(self.provider.endpoint.request_headers(api_key, {}), self.target.quirks)

    def outgoing(self, max_tokens: int | None) -> bytes:
        if max_tokens is None:
            return msgspec.json.encode(self.body)
        limit = min(max_tokens, self.request.max_tokens or max_tokens)
        lowered = msgspec.structs.replace(self.request, max_tokens=limit)
        return msgspec.json.encode(self.provider.codec.encode_request(lowered, self.target).body)

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage | None]:
        response = self.provider.codec.decode_response(_object(body), self.target.origin)
        if response.created_s is None:
            response = msgspec.structs.replace(response, created_s=int(time.time()))
        return msgspec.json.encode(self.client.encode_response(response, self.request)), response.usage

    def content_type(self, upstream: str) -> str:  # noqa: ARG002 - the client's dialect decides
        return "text/event-stream; charset=utf-8" if self.request.stream else "application/json"

    def tap(self, headers: Mapping[str, str]) -> StreamTap:  # noqa: ARG002 - the body tells all
        return CrossingTap(
            self.provider.codec.stream_decoder(self.target.origin),
            self.client.stream_encoder(self.request),
        )

    @property
    def tells_errors(self) -> bool:
        return True

    def abandoned(self, input_guess: int) -> TokenUsage:
        return TokenUsage(input_tokens=input_guess, estimated=True)

    def refusal(self, refused: ProviderRefused) -> HeddleError:
        return in_clients_form(refused)


class CrossingTap:
    """Translates a stream and keeps its usage."""

    def __init__(self, decoder: StreamDecoder, encoder: StreamEncoder) -> None:
        self.complete = False
        self.failed = False
        self._decoder = decoder
        self._encoder = encoder
        self._usage: TokenUsage | None = None
        self._final = False
        self._delivered = 0

    def feed(self, chunk: bytes) -> bytes:
        return self._forward(self._decoder.feed(chunk))

    def end(self) -> bytes:
        return self._forward(self._decoder.end())

    def usage(self, input_estimate: int) -> TokenUsage:
        if self._final and self._usage is not None:
            return self._usage
        counted = -(-self._delivered // BYTES_PER_TOKEN)
        seen = self._usage or TokenUsage(input_tokens=input_estimate)
        return replace(seen, output_tokens=max(seen.output_tokens, counted), estimated=True)

    def error_frames(self, message: str, code: str) -> bytes:
        return self._encoder.feed(Failed(message=message, code=code))

    def _forward(self, events: list[Event]) -> bytes:
        frames = []
        for event in events:
            if isinstance(event, Started) and event.created_s is None:
                event = msgspec.structs.replace(event, created_s=int(time.time()))
            self._note(event)
            frames.append(self._encoder.feed(event))
        return b"".join(frames)

    def _note(self, event: Event) -> None:
        text = getattr(event, "text", None)
        if text:
            self._delivered += len(text)
        elif isinstance(event, Started):
            self._usage = event.usage
        elif isinstance(event, Finished):
            self.complete = True
            if event.usage is not None:
                self._usage, self._final = event.usage, True
        elif isinstance(event, Failed):
            self.failed = True


BYTES_PER_TOKEN = 4
"""Used only to count what was delivered when a provider did not say."""


def in_clients_form(refused: ProviderRefused) -> HeddleError:
    """The provider's own words about what is wrong with the request, as our error."""
    provider = refused.details["provider"]
    message = provider_message(refused.body) or refused.message
    error = InvalidRequest(f"{provider}: {message}", code="provider_refused", details=refused.details)
    error.status = refused.status
    return error


def provider_message(body: bytes) -> str | None:
    """The words in a provider's error, in any of the forms in use: ``{"error": {"message"}}``,
    ``{"error": "…"}``, ``{"message"}``, ``{"detail"}``, ``{"detail": {"message"}}``, ``{"err_msg"}``, or a
    list with one of these."""
    try:
        found = msgspec.json.decode(body)
    except NOT_JSON:
        return None
    if isinstance(found, list) and found:
        found = found[0]
    for name in ("error", "message", "detail", "message", "err_msg"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    return found if isinstance(found, str) else None


def _keyed(headers: dict[str, str], quirks: Quirks) -> dict[str, str]:
    """The headers with the key where the provider looks for it."""
    if quirks.bearer_key and "x-api-key" in headers:
        headers["authorization"] = f"Bearer {headers.pop('x-api-key')}"
    return headers


def _renamed(refused: Unsupported, client: ClientDialect, request: Request) -> Unsupported:
    """The refusal, of the field as the client calls it."""
    if refused.param is None:
        return refused
    name = client.client_name(refused.param, request)
    message = name + refused.message.removeprefix(refused.param)
    return Unsupported(message, code=refused.code, param=name, details=refused.details)


def _object(body: bytes) -> dict[str, Any]:
    parsed = msgspec.json.decode(body)
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    return parsed
