"""HTTP to model providers: one pooled aiohttp session, measured to be the cheapest client here."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import aiohttp
import msgspec

from gateway.inference.providers import Limits
from kit.errors import HeddleError, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from kit.json import NOT_JSON

MAX_CONNECTIONS = 1000
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
READ_BUFFER_BYTES = 256 * 1024
_KEY_HEADERS = ("x-api-key", "x-goog-api-key", "xi-api-key")


class StreamedBody(Protocol):
    """A request's body that is not held in memory; it can be read more than once, for tries."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """All of its bytes, from the beginning."""
        ...


Body = bytes | StreamedBody


class ProviderRefused(HeddleError):
    """The provider found fault with the request itself; its answer is the caller's to read.

    ``body`` is empty unless the provider answered with a JSON object.
    """

    type = "invalid_request_error"

    def __init__(self, status: int, body: bytes, provider: str) -> None:
        super().__init__(f"{provider} refused the request", details={"provider": provider})
        self.status = status
        self.body = body
        self.code = "provider_refused"


class StreamBroke(Exception):
    """The provider's answer ended before it was complete; ``code`` says how."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UpstreamResponse:
    """A provider's 2xx answer: read it whole or chunk by chunk, then close it."""

    def __init__(self, response: aiohttp.ClientResponse, *, idle_timeout_s: float) -> None:
        self._response = response
        if response.connection is not None and response.connection.protocol is not None:
            response.connection.protocol.read_timeout = idle_timeout_s
            response.connection.protocol.start_timeout()  # else the one that runs is until the first byte
        self._on_close: Callable[[], None] | None = None
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.content_type = self.headers.get("content-type", "application/json")

    async def read(self) -> bytes:
        """The whole body. Raises StreamBroke if it is cut off, silent for too long or too large."""
        pieces: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            pieces.append(chunk)
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise StreamBroke("upstream_too_large")
        return b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's bytes as they arrive. Raises StreamBroke."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except TimeoutError:
            raise StreamBroke("upstream_timeout") from None
        except aiohttp.ClientError:
            raise StreamBroke("upstream_broke_off") from None

    def on_close(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once, when this answer is closed."""
        self._on_close = call

    def close(self) -> None:
        """Return the connection to the pool if the body was read to its end, else drop it."""
        self._response.release() if self._response.content.is_eof() else self._response.close()
        call, self._on_close = self._on_close, None
        if call is not None:
            call()


class Upstream:
    """The shared connection pool to all providers."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=30.0),
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BUFFER_BYTES,
            skip_auto_headers=("User-Agent", "Accept"),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(
        self, provider: str, url: str, headers: Mapping[str, str], body: Body, limits: Limits
    ) -> UpstreamResponse:
        """Send a request; returns once 2xx headers have arrived.

        Raises ProviderRefused (the request is at fault), UpstreamFailed, UpstreamUnavailable or
        UpstreamTimeout (sent, but not answered in time). None of them holds the provider's key.
        """
        assert self._session is not None, "Upstream.start() was not called"
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=limits.connect_timeout_s, sock_read=limits.first_byte_timeout_s
        )
        sent = {**headers, "accept-encoding": "identity"}
        if not isinstance(body, bytes):
            sent["content-length"] = str(body.size)
        try:
            response = await self._session.post(
                url,
                data=body if isinstance(body, bytes) else body.chunks(),
                headers=sent,
                allow_redirects=False,
                timeout=timeout,
            )
        except aiohttp.ConnectionTimeoutError:
            raise _unreachable(provider) from None
        except TimeoutError:
            raise _timeout(provider) from None
        except aiohttp.ClientConnectorError:
            raise _unreachable(provider) from None
        except aiohttp.ClientError as error:
            raise UpstreamFailed(
                f"{provider} closed the connection without an answer",
                code="upstream_no_answer",
                details={"provider": provider, "reason": type(error).__name__},
            ) from None
        if 200 <= response.status < 300:
            return UpstreamResponse(response, idle_timeout_s=limits.idle_timeout_s)
        raise await _refusal(provider, response, secret=_secret(headers))


async def _refusal(provider: str, response: aiohttp.ClientResponse, *, secret: bytes) -> HeddleError:
    """The error for a provider's non-2xx answer."""
    status = response.status
    try:
        body = await asyncio.wait_for(response.content.read(MAX_ERROR_BYTES), 10)
    except (TimeoutError, aiohttp.ClientError):
        body = b""
    finally:
        response.close()
    details = {"provider": provider, "upstream_status": status}
    retry_after = response.headers.get("retry-after")
    headers = {"retry-after": retry_after} if retry_after and retry_after.isascii() else None
    if status in {400, 404, 405, 409, 413, 415, 422}:
        return ProviderRefused(status, _readable(body, secret), provider)
    if status == 429 or status == 529:
        error = UpstreamFailed(
            f"{provider} is {'limiting our rate' if status == 429 else 'overloaded'}; try again later",
            code="upstream_rate_limit" if status == 429 else "overloaded",
            details=details,
            headers=headers,
        )
        error.status = status
        error.type = "rate_limit_error" if status == 429 else "overloaded_error"
        return error
    if status in {401, 402, 403}:
        return UpstreamFailed(
            f"{provider} does not accept this installation's credentials (status {status})",
            code="upstream_credentials",
            details=details,
        )
    if status in {408, 504}:
        return UpstreamTimeout(
            f"{provider} timed out (status {status})",
            code="upstream_timeout",
            details=details,
            headers=headers,
        )
    if status == 503:
        return UpstreamUnavailable(
            f"{provider} is unavailable", code="upstream_unavailable", details=details, headers=headers
        )
    return UpstreamFailed(
        f"{provider} failed (status {status})", code="upstream_error", details=details, headers=headers
    )


def _secret(headers: Mapping[str, str]) -> bytes:
    """The provider's key among the headers of a request, if there is one."""
    named = next((value for name in _KEY_HEADERS if (value := headers.get(name))), None)
    return (named or headers.get("authorization", "").partition(" ")[2]).encode()


def _readable(body: bytes, secret: bytes) -> bytes:
    """A refusal as the caller may read it: a JSON object without the provider's key, or nothing."""
    try:
        if not isinstance(msgspec.json.decode(body), dict):
            return b""
    except NOT_JSON:
        return b""
    return body.replace(secret, b"***") if secret else body


def _unreachable(provider: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        f"{provider} cannot be reached", code="upstream_unreachable", details={"provider": provider}
    )


def _timeout(provider: str) -> UpstreamTimeout:
    return UpstreamTimeout(
        f"{provider} did not answer in time", code="upstream_timeout", details={"provider": provider}
    )
