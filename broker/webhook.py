"""Calling a developer's webhook: signed, bounded in time and size, retried only where that is safe."""

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from broker.calls import AnswersLater, ToolCall, ToolResult, ToolScope, error_result
from broker.endpoints import CircuitOpen, EndpointBusy, EndpointLimits, Endpoints
from broker.exchange import Exchange, tracing
from broker.signing import signed_headers
from broker.trace_context import trace_of
from broker.webhook_answer import read_answer
from broker.webhook_http import UNKNOWN_OUTCOME, AttemptFailed, post
from kit.clock import Clock
from kit.ids import new_uuid
from kit.outbound import OutboundPolicy
from kit.outbound_session import guarded_session

MAX_ATTEMPTS = 3
FIRST_BACKOFF_S = 0.2


@dataclass(frozen=True)
class WebhookTarget:
    """A webhook tool, ready to be called. ``timeout_ms`` bounds waiting and all attempts together;
    ``old_secret`` signs as well while a rotation's overlap lasts."""

    tool_id: str
    name: str
    url: str
    timeout_ms: int
    idempotent: bool
    secret: str = field(repr=False)
    old_secret: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The newest first."""
        return (self.secret,) if self.old_secret is None else (self.secret, self.old_secret)


class WebhookDispatcher:
    """Connections are kept and shared; calls are limited, and failing endpoints left alone, by endpoint."""

    def __init__(self, policy: OutboundPolicy, clock: Clock, limits: EndpointLimits | None = None) -> None:
        self._policy = policy
        self._clock = clock
        self._endpoints = Endpoints(limits)
        self._kept: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._kept is not None:
            await self._kept.close()

    @property
    def _session(self) -> aiohttp.ClientSession:
        """Made at the first call: it belongs to the loop that runs then."""
        if self._kept is None:
            self._kept = guarded_session(self._policy)
        return self._kept

    async def call(
        self, target: WebhookTarget, scope: ToolScope, call: ToolCall
    ) -> ToolResult | AnswersLater:
        """Dispatch one call. Every failure is an error result, never an exception.

        A request is repeated (same ``webhook-id``) after 429/5xx or a failed connection; after it may have
        been received without an answer, only if the tool was registered as idempotent. While its endpoint's
        circuit is open, or too many calls are under way there, nothing is sent.
        """
        return await self._run(_Dispatch(target, scope, call), self._session, MAX_ATTEMPTS)

    async def test(
        self, target: WebhookTarget, scope: ToolScope, call: ToolCall, exchange: Exchange
    ) -> ToolResult | AnswersLater:
        """The same, once, over a connection of its own, whatever the endpoint did before; ``exchange`` is
        filled with what was sent and received."""
        async with guarded_session(self._policy, traces=[tracing(exchange)]) as session:
            return await self._run(_Dispatch(target, scope, call, exchange), session, 1)

    async def _run(
        self, dispatch: "_Dispatch", session: aiohttp.ClientSession, max_attempts: int
    ) -> ToolResult | AnswersLater:
        target, record = dispatch.target, dispatch.record
        try:
            async with self._endpoints.turn(
                dispatch.scope.account_id,
                target.url,
                until=dispatch.until,
                whatever_it_did=dispatch.exchange is not None,
            ) as report:
                dispatch.note_waiting()
                try:
                    status, body = await self._attempts(dispatch, session, max_attempts)
                except AttemptFailed as failure:
                    report.made(works=failure.works)
                    raise
                report.made(works=True)
        except EndpointBusy as busy:
            return dispatch.error(
                f"was not called: {busy.limit} calls to it were under way all the time; try again later.",
                "busy",
            )
        except CircuitOpen as circuit:
            record["retry_in_s"] = round(circuit.retry_in_s, 1)
            return dispatch.error(
                "was not called: it has failed several times in a row, and is not called for another "
                f"{circuit.retry_in_s:.0f} seconds. Go on without it, or try again then.",
                "circuit_open",
            )
        except AttemptFailed as failure:
            return dispatch.error(failure.message, failure.status)
        record.update(status=status, bytes=len(body), latency_ms=dispatch.took_ms)
        return read_answer(target.tool_id, target.name, status, body, record)

    async def _attempts(
        self, dispatch: "_Dispatch", session: aiohttp.ClientSession, max_attempts: int
    ) -> tuple[int, bytes]:
        """Raises AttemptFailed: the last one's."""
        loop = asyncio.get_running_loop()
        for attempt in range(1, max_attempts + 1):
            dispatch.record["attempts"] = attempt
            try:
                return await self._attempt(dispatch, session)
            except AttemptFailed as failure:
                pause = max(FIRST_BACKOFF_S * 2 ** (attempt - 1), failure.after_s)
                late = loop.time() + pause >= dispatch.until
                if attempt == max_attempts or late or not dispatch.may_repeat(failure):
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, dispatch: "_Dispatch", session: aiohttp.ClientSession) -> tuple[int, bytes]:
        body, headers = dispatch.request(self._clock.now_ms())
        try:
            async with asyncio.timeout_at(dispatch.until):
                return await post(session, dispatch.target.url, headers, body, dispatch.exchange)
        except TimeoutError:
            seconds = f"{dispatch.target.timeout_ms / 1000:g} seconds"
            if dispatch.exchange is not None:
                dispatch.exchange.failed(f"no whole answer within {seconds}")
            raise AttemptFailed(
                f"did not answer within {seconds}. {UNKNOWN_OUTCOME}", status="timeout"
            ) from None


class _Dispatch:
    """One call to one target: its time, its record, its requests."""

    def __init__(
        self, target: WebhookTarget, scope: ToolScope, call: ToolCall, exchange: Exchange | None = None
    ) -> None:
        self.target, self.scope, self.call, self.exchange = target, scope, call, exchange
        self.record: dict[str, Any] = {"kind": "webhook", "target": urlsplit(target.url).hostname}
        self._started = time.monotonic()
        self.until = asyncio.get_running_loop().time() + target.timeout_ms / 1000

    @property
    def took_ms(self) -> int:
        return round((time.monotonic() - self._started) * 1000)

    def note_waiting(self) -> None:
        if waited := self.took_ms:
            self.record["waited_ms"] = waited

    def may_repeat(self, failure: AttemptFailed) -> bool:
        """Whether another try cannot do harm, and may do good."""
        status = failure.status
        if isinstance(status, int):
            return status == 429 or status >= 500
        if status == "broke_off":
            return self.target.idempotent
        return status in {"unreachable", "tls_error"}

    def error(self, message: str, status: int | str) -> ToolResult:
        self.record.update(status=status, latency_ms=self.took_ms)
        return error_result(f"The tool {self.target.name} {message}", self.record)

    def request(self, now_ms: int) -> tuple[bytes, dict[str, str]]:
        """The body, and the headers that go with it."""
        target, scope, call = self.target, self.scope, self.call
        body = msgspec.json.encode(
            {
                "tool_use_id": call.tool_use_id,
                "tool_id": target.tool_id,
                "name": target.name,
                "input": call.input,
                "thread_id": scope.thread_id,
                "turn_id": scope.turn_id,
                "end_user_id": scope.end_user_id,
                "metadata": scope.metadata,
                "iteration": call.iteration,
                "created_at": call.created_at,
                "request_id": new_uuid(),
            }
        )
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",  # a small compressed body could be a very large one
            "user-agent": "Heddle",
            **trace_of(scope, call),
            **signed_headers(
                *target.secrets, message_id=self._message_id(), timestamp_s=now_ms // 1000, body=body
            ),
        }
        return body, headers

    def _message_id(self) -> str:
        """The same for every attempt at one call, also after a restart; another one for any other call.

        Tool-use ids are unique in a thread only, so what surrounds the call goes into it.
        """
        scope = self.scope
        parts = [
            scope.account_id, scope.thread_id, scope.turn_id, self.target.tool_id, self.call.tool_use_id
        ]  # fmt: skip
        return f"msg_{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]}"
