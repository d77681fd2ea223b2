"""The HTTP transport under all MCP clients: one guarded pool, errors as answers, bounded bodies.

A transport error inside one request would take down every other call of the same SDK client, so errors
are turned into synthetic 5xx answers here; what really happened is noted for the call that caused it.

The optional GET stream of the handshake revisions (Streamable HTTP, "Listening for Messages from the
Server") is answered with 405 here: it would hold a socket per session, and lists are read again when they
are old. Bodies are asked for uncompressed, and a compressed one is refused: a few MB could hold many GB.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

import httpx2

from broker.mcp_http import SessionTransport
from kit.outbound import OutboundPolicy

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_RESUMPTIONS = 5
"""How often one call's answer stream may be taken up again; a hostile server breaks it off for ever."""
_PARAMETER = re.compile(r'([a-zA-Z_]+)="([^"]*)"')
NEVER_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}


@dataclass
class HttpTrace:
    """What one call saw on the wire."""

    statuses: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    too_large: bool = False
    compressed: bool = False
    received: int = 0
    """Bytes of the bodies that came."""
    resumed: int = 0
    challenge: str | None = None
    """``WWW-Authenticate`` of a 401 or 403."""

    @property
    def unauthorized(self) -> bool:
        return 401 in self.statuses

    @property
    def missing_scopes(self) -> tuple[str, ...] | None:
        """The scopes that a 403 asked for (``insufficient_scope``, RFC 6750, section 3.1), or None."""
        if 403 not in self.statuses or self.challenge is None:
            return None
        told = dict(_PARAMETER.findall(self.challenge))
        return tuple(told.get("scope", "").split()) if told.get("error") == "insufficient_scope" else None

    @property
    def never_sent(self) -> bool:
        """Whether the request certainly did not reach the server."""
        return bool(self.errors) and all(error in NEVER_SENT for error in self.errors)


TRACE: ContextVar[HttpTrace | None] = ContextVar("mcp_http_trace", default=None)


class SharedTransport:
    """The process-wide connection pool to MCP servers."""

    def __init__(self, policy: OutboundPolicy) -> None:
        self._inner = SessionTransport(policy)

    def client(self, headers: "RequestHeaders") -> httpx2.AsyncClient:
        """A cheap client of its own headers over the shared pool."""
        return httpx2.AsyncClient(
            transport=_Borrowed(self._inner),
            auth=headers,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._inner.aclose()


class RequestHeaders(httpx2.Auth):
    """Puts the current credential on every request; replaced when the credential is renewed."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = dict(headers)

    def __repr__(self) -> str:
        return f"RequestHeaders({list(self.headers)})"

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        request.headers.update(self.headers)
        yield request


class _Borrowed(httpx2.AsyncBaseTransport):
    """The shared transport as one client sees it: not closed with the client, never raising."""

    def __init__(self, inner: SessionTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        trace = TRACE.get() or HttpTrace()
        if request.method == "GET" and not _resumes(request, trace):
            return httpx2.Response(405, content=b"", request=request)
        request.headers["accept-encoding"] = "identity"  # whatever a tenant's own headers say
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            trace.errors.append(type(error).__name__)
            return httpx2.Response(503, content=b"", request=request)
        trace.statuses.append(response.status_code)
        if response.status_code in {401, 403}:
            trace.challenge = response.headers.get("www-authenticate")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            trace.compressed = True
            await response.aclose()
            return httpx2.Response(415, content=b"", request=request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_BoundedStream(response.stream, trace),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """The pool outlives the client."""


def _resumes(request: httpx2.Request, trace: HttpTrace) -> bool:
    if "last-event-id" not in request.headers:
        return False
    trace.resumed += 1
    return trace.resumed <= MAX_RESUMPTIONS


class _BoundedStream(httpx2.AsyncByteStream):
    """A body that ends early instead of failing: when it is too large, or the connection breaks."""

    def __init__(self, inner: httpx2.AsyncByteStream, trace: HttpTrace) -> None:
        self._inner = inner
        self._trace = trace

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in self._inner:
                size += len(chunk)
                self._trace.received += len(chunk)
                if size > MAX_BODY_BYTES:
                    self._trace.too_large = True
                    return
                yield chunk
        except httpx2.TransportError as error:
            self._trace.errors.append(type(error).__name__)

    async def aclose(self) -> None:
        await self._inner.aclose()
