"""HTTP for the MCP SDK's client over the guarded aiohttp session.

The client's own HTTP library took a good 40 % of what a call costs, and this takes a third of that. It gives
answers as they come: no redirects, no unpacking; failures are those of ``httpx2``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import aiohttp
import httpx2
import yarl

from kit.outbound import OutboundPolicy
from kit.outbound_session import guarded_session

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 300.0
MAX_SOCKETS = 1000
MAX_HEADER_BYTES = 64 * 1024
_TIMES = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
_SET_BY_SESSION = {"host", "content-length", "connection"}
_NOT_ADDED = ("accept", "accept-encoding", "content-type", "user-agent")


class SessionTransport(httpx2.AsyncBaseTransport):
    """All connections of a process, at most ``MAX_SOCKETS``: kept, and lent to one request at a time."""

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy
        self._kept: aiohttp.ClientSession | None = None

    @property
    def _session(self) -> aiohttp.ClientSession:
        """Made at the first request: it belongs to the loop that runs then."""
        if self._kept is None:
            self._kept = guarded_session(
                self._policy, max_sockets=MAX_SOCKETS, max_header_bytes=MAX_HEADER_BYTES
            )
        return self._kept

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises httpx2.TransportError."""
        items = request.headers.multi_items()
        headers = [(name, value) for name, value in items if name not in _SET_BY_SESSION]
        body = await request.aread()
        asking = self._session.request(
            request.method,
            yarl.URL(str(request.url), encoded=True),
            headers=headers,
            data=body or None,
            skip_auto_headers=_NOT_ADDED,
            allow_redirects=False,
            timeout=_TIMES,
        )
        try:
            response = await _apart(asking)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _failure(error) from None
        return httpx2.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def aclose(self) -> None:
        if self._kept is not None:
            await self._kept.close()


async def _apart(asking: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    """In a task of its own, so that it can be called off: anyio's cancellation never reaches a task that is
    woken in every turn of the loop, as a server has it that floods us with interim answers."""
    task = asyncio.ensure_future(asking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_given_up)
        task.cancel()
        raise


def _given_up(task: asyncio.Future[aiohttp.ClientResponse]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error) from None

    async def aclose(self) -> None:
        """A connection whose answer was not read to its end is given up."""
        self._response.close()


def _failure(error: Exception) -> httpx2.TransportError:
    """Without the words of what failed: they name addresses."""
    kind = type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx2.ConnectTimeout(kind)
    if isinstance(error, TimeoutError):
        return httpx2.ReadTimeout(kind)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientSSLError):
        return httpx2.ConnectError(kind)
    if isinstance(error, aiohttp.InvalidURL) or not isinstance(error, aiohttp.ClientError | OSError):
        return httpx2.LocalProtocolError(kind)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return httpx2.RemoteProtocolError(kind)
    if isinstance(error, aiohttp.ClientResponseError):
        return httpx2.RemoteProtocolError(kind)
    return httpx2.ReadError(kind)
