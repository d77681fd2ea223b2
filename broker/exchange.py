"""One HTTP exchange as it was on the wire, for the developer who tests an endpoint: what was sent and
received, how long each phase took, and in which one it ended if it failed. Signatures are shown, the secret
is not part of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from kit.json import storable

SHOWN_BYTES = 10_000


@dataclass
class Exchange:
    """Filled while the request is under way; of several attempts it holds the last."""

    method: str = ""
    url: str = ""
    request_headers: dict[str, str] = field(default_factory=dict)
    request_body: bytes = b""
    status: int | None = None
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: bytes = b""
    response_bytes: int = 0
    phase: str = "connect"
    failure: str | None = None
    took_ms: dict[str, float] = field(default_factory=dict)
    _phase_began: float = field(default_factory=time.monotonic, repr=False)

    def enter(self, phase: str) -> None:
        """The next of ``dns``, ``connect`` (TLS included), ``wait`` (sending, until the answer's headers are
        here), ``body``, ``done``."""
        now = time.monotonic()
        spent = self.took_ms.get(self.phase, 0.0) + (now - self._phase_began) * 1000
        if spent >= 0.05 or self.phase in self.took_ms:
            self.took_ms[self.phase] = round(spent, 1)
        self.phase, self._phase_began = phase, now

    def sending(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method, self.url, self.request_headers, self.request_body = method, url, dict(headers), body

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        self.enter("body")
        self.status, self.response_headers = status, _joined(headers)

    def received(self, body: bytes) -> None:
        self.response_body, self.response_bytes = body[:SHOWN_BYTES], len(body)

    def failed(self, why: str) -> None:
        """In the phase that it is in."""
        self.failure = why

    def as_json(self) -> dict[str, Any]:
        """``request``, ``response`` (null without an answer), ``failure`` (null without one), ``took_ms``."""
        shown = self.phase
        self.enter("done")
        request = {
            "method": self.method,
            "url": self.url,
            "headers": self.request_headers,
            "body": self.request_body.decode(),
        }
        response = {
            "status": self.status,
            "headers": self.response_headers,
            "body": storable(self.response_body.decode("utf-8", "replace")),
            "bytes": self.response_bytes,
            "cut": self.response_bytes > len(self.response_body),
        }
        return {
            "request": request if self.request_body else None,
            "response": None if self.status is None else response,
            "failure": None if self.failure is None else {"phase": shown, "reason": self.failure},
            "took_ms": self.took_ms,
        }


def tracing(exchange: Exchange) -> aiohttp.TraceConfig:
    """Tells the exchange of its phases, and of the headers as they really were sent."""

    async def resolving(*_: Any) -> None:
        exchange.enter("dns")

    async def connecting(*_: Any) -> None:
        exchange.enter("connect")

    async def sent(_session: Any, _context: Any, params: aiohttp.TraceRequestHeadersSentParams) -> None:
        exchange.enter("wait")
        exchange.request_headers = _joined(params.headers)

    trace = aiohttp.TraceConfig()
    trace.on_dns_resolvehost_start.append(resolving)
    trace.on_dns_resolvehost_end.append(connecting)
    trace.on_request_headers_sent.append(sent)
    return trace


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    """Lower-case names; several values of one, separated by commas (RFC 9110, section 5.3)."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        known = joined.get(name.lower())
        joined[name.lower()] = value if known is None else f"{known}, {value}"
    plain: dict[str, str] = storable(joined)
    return plain
