"""Requests of a built-in to its vendor: guarded, bounded in size, failures told without secrets.

A request is sent a second time only if it certainly did nothing, or if that does no harm. Redirects are not
followed. What a vendor says of a failure is shown to the model, shortened and with the secrets left out.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from broker.builtins.answers import at
from broker.builtins.builtin import Answer
from broker.builtins.failures import BuiltinFailed, Unauthorized
from broker.builtins.redaction import Redaction
from kit.json import NOT_JSON

MAX_RESPONSE_BYTES = 2 * 1024 * 1024
MAX_PROBLEM_CHARS = 500
MAX_PAUSE_S = 3.0
PAUSE_S = 0.3
CONNECT_TIMEOUT_S = 10.0
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
READS = frozenset({"GET", "HEAD"})
UNKNOWN_OUTCOME = "Whether it took effect is not known."
PASSING = frozenset({429, 502, 503, 504})


@dataclass
class VendorRequests:
    """Implements ``builtin.VendorHttp`` for one call. ``record`` is filled in on the way."""

    client: httpx.AsyncClient
    vendor: str
    redaction: Redaction
    record: dict[str, Any]
    timeout_s: float
    max_bytes: int = MAX_RESPONSE_BYTES
    _attempts: int = field(default=0, init=False)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        errors: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        sent = {"accept": "application/json", **(headers or {})}
        content = None
        if json is not None:
            sent, content = {"content-type": "application/json", **sent}, msgspec.json.encode(json)
        elif form is not None:
            sent["content-type"] = "application/x-www-form-urlencoded"
            content = str(httpx.QueryParams(form)).encode()
        answer = await self.send(
            method, url, headers=sent, params=params, content=content, repeatable=repeatable
        )
        if not 200 <= answer.status < 300:
            raise self.failure(answer, errors, reads=method in READS)
        if not answer.body.strip():
            return None
        try:
            return msgspec.json.decode(answer.body)
        except NOT_JSON:
            raise BuiltinFailed(
                f"{self.vendor} answered with something that is not JSON.", status="not_json"
            ) from None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        repeatable: bool | None = None,
    ) -> Answer:
        reads = method in READS
        again = reads if repeatable is None else repeatable
        sent = {"user-agent": "Heddle", "accept-encoding": "identity", **(headers or {})}
        self.redaction.of_headers(sent)
        self.record["target"] = urlsplit(url).hostname
        try:
            answer = await self._attempt(method, url, sent, params, content)
        except NEVER_SENT:
            answer = await self._second(method, url, sent, params, content, PAUSE_S, reads=reads)
        except httpx.HTTPError as error:
            if not again:
                raise self._broke(error, reads=reads) from None
            answer = await self._second(method, url, sent, params, content, PAUSE_S, reads=reads)
        else:
            pause = max(PAUSE_S, retry_after_s(answer.headers) or 0)
            if again and answer.status in PASSING and pause <= MAX_PAUSE_S:
                answer = await self._second(method, url, sent, params, content, pause, reads=reads)
        self.record.update(status=answer.status, bytes=len(answer.body))
        return answer

    async def _second(
        self, method: str, url: str, headers: Any, params: Any, content: Any, pause: float, *, reads: bool
    ) -> Answer:
        await asyncio.sleep(pause)
        try:
            return await self._attempt(method, url, headers, params, content)
        except httpx.HTTPError as error:
            raise self._broke(error, reads=reads) from None

    async def _attempt(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        content: bytes | None,
    ) -> Answer:
        self._attempts += 1
        self.record["attempts"] = self._attempts
        limits = httpx.Timeout(self.timeout_s, connect=CONNECT_TIMEOUT_S)
        try:
            async with self.client.stream(
                method, url, headers=headers, params=params, content=content, timeout=limits
            ) as response:
                body = await self._bounded(response)
                return Answer(response.status_code, response.headers, body)
        except (httpx.InvalidURL, UnicodeError):
            raise BuiltinFailed(
                f"The address for {self.vendor} cannot be called.", status="invalid_url"
            ) from None

    async def _bounded(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise BuiltinFailed(
                f"{self.vendor} answered in a compressed form that was not asked for.", status="compressed"
            )
        pieces: list[bytes] = []
        size = 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > self.max_bytes:
                raise BuiltinFailed(
                    f"{self.vendor} answered with more than {self.max_bytes} bytes; ask for less at a time.",
                    status="too_large",
                )
            pieces.append(chunk)
        return b"".join(pieces)

    def _broke(self, error: httpx.HTTPError, *, reads: bool) -> BuiltinFailed:
        if isinstance(error, NEVER_SENT):
            return BuiltinFailed(f"{self.vendor} cannot be reached.", status="unreachable")
        outcome = "" if reads else f" {UNKNOWN_OUTCOME}"
        if isinstance(error, httpx.TimeoutException):
            return BuiltinFailed(f"{self.vendor} did not answer in time.{outcome}", status="timeout")
        return BuiltinFailed(
            f"{self.vendor} closed the connection without an answer.{outcome}", status=type(error).__name__
        )

    def failure(self, answer: Answer, errors: tuple[str, ...], *, reads: bool) -> BuiltinFailed:
        """What an answer that is no success means."""
        status, wait_s = answer.status, retry_after_s(answer.headers)
        said = self.problem(answer.body, errors)
        told = f": {said}" if said else "."
        if status == 401:
            return Unauthorized(f"{self.vendor} does not accept the credentials{told}", status=401)
        if status == 429 or (status == 403 and wait_s is not None):
            when = "later" if wait_s is None else f"in {wait_s:g} seconds"
            return BuiltinFailed(
                f"{self.vendor} takes no more calls at the moment; try again {when}{told}", status=status
            )
        if status < 400:
            return BuiltinFailed(f"{self.vendor} answered with status {status}, not a result.", status=status)
        if status >= 500:
            outcome = "" if reads else f" {UNKNOWN_OUTCOME}"
            return BuiltinFailed(f"{self.vendor} failed with status {status}{told}{outcome}", status=status)
        return BuiltinFailed(f"{self.vendor} refused the call (status {status}){told}", status=status)

    def problem(self, body: bytes, errors: tuple[str, ...]) -> str:
        """The vendor's own words, from the places where it puts them."""
        try:
            said = msgspec.json.decode(body)
        except NOT_JSON:
            return ""
        words: list[str] = []
        for place in errors:
            part = at(said, place.removesuffix("*"))
            if isinstance(part, str):
                words += [part] if part else []
            elif part and (not words or place.endswith("*")):
                words.append(msgspec.json.encode(part).decode())
        return self.redaction.of("; ".join(words))[:MAX_PROBLEM_CHARS]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: ``retry-after`` (RFC 9110, section 10.2.3; dates are not read), or
    the time at which a spent ``x-ratelimit-remaining`` is renewed (GitHub, REST API: Rate limits)."""
    value = headers.get("retry-after", "")
    if value.isascii() and value.isdigit() and len(value) < 6:
        return float(value)
    until = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and until.isascii() and until.isdigit():
        left = int(until[:12]) - time.time()
        return round(left) if 0 < left < 86_400 else None
    return None
