"""One attempt at a webhook: an HTTP exchange over the guarded session, bounded in size, its faults named."""

import os
from collections.abc import Mapping

import aiohttp
import yarl

from broker.calls import MAX_FULL_BYTES
from broker.exchange import Exchange
from kit.outbound_session import BlockedConnection

CONNECT_TIMEOUT_S = 10.0
UNKNOWN_OUTCOME = "Whether it took effect is not known."
_NO_TOTAL = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)


class AttemptFailed(Exception):
    """One try failed. ``message`` goes on from "The tool <name> …"; ``never_sent``: it certainly did nothing;
    ``works``: whoever answered is well all the same; ``after_s``: when another try is welcome."""

    def __init__(
        self,
        message: str,
        *,
        status: int | str,
        never_sent: bool = False,
        works: bool = False,
        after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.message, self.status = message, status
        self.never_sent, self.works, self.after_s = never_sent, works, after_s


async def post(
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    exchange: Exchange | None = None,
) -> tuple[int, bytes]:
    """Send a request and read its answer, of status 2xx and whole. The caller bounds the time.

    Raises AttemptFailed.
    """
    if exchange is not None:
        exchange.sending("POST", url, headers, body)
    try:
        async with session.post(
            yarl.URL(url), data=body, headers=headers, allow_redirects=False, timeout=_NO_TOTAL
        ) as response:
            if exchange is not None:
                exchange.answered(response.status, response.headers)
            answer = await _bounded(response)
            if exchange is not None:
                exchange.received(answer)
            _check_status(response)
            return response.status, answer
    except AttemptFailed:
        raise
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        if exchange is not None:
            exchange.failed(_reason(error))
        raise _failure(error) from None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise AttemptFailed(
            "answered in a compressed form that was not asked for.", status="compressed", works=True
        )
    pieces: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_FULL_BYTES:
            raise AttemptFailed(
                f"answered with more than {MAX_FULL_BYTES} bytes; ask it for less at a time.",
                status="too_large",
                works=True,
            )
        pieces.append(chunk)
    return b"".join(pieces)


def _check_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if not 200 <= status < 300:
        raise AttemptFailed(
            f"failed with status {status}.",
            status=status,
            works=status < 500,
            after_s=_retry_after(response),
        )


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds that a 429 or 503 asks to wait (RFC 9110, section 10.2.3); dates are not read."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0.0


def _failure(error: Exception) -> AttemptFailed:
    """What the model may know of it: no address, no detail of the developer's network."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, BlockedConnection):
        return AttemptFailed(
            "is at an address that may not be called.", status="blocked_address", never_sent=True
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return AttemptFailed(
            "cannot be reached: its TLS certificate or protocol is refused.",
            status="tls_error",
            never_sent=True,
        )
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL):
        return AttemptFailed("cannot be reached.", status="unreachable", never_sent=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return AttemptFailed(
            f"answered with something that is not HTTP, or whose headers are too large. {UNKNOWN_OUTCOME}",
            status="bad_http",
        )
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return AttemptFailed("cannot be reached: its URL cannot be used.", status="bad_url", never_sent=True)
    return AttemptFailed(
        f"closed the connection without a whole answer. {UNKNOWN_OUTCOME}", status="broke_off"
    )


def _reason(error: Exception) -> str:
    """For the developer, whose own endpoint it is."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is refused: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return os.strerror(number) if number > 0 else error.os_error.strerror or str(error.os_error)
    return f"{type(error).__name__}: {error}"[:500]
