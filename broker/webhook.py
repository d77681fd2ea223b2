"""Calling a developer's webhook: signed, bounded in time and size, retried only where that is safe."""

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from broker.calls import AnswersLater, ToolCall, ToolResult, ToolScope, error_result, json_result
from broker.signing import signed_headers
from kit.clock import Clock
from kit.ids import new_uuid
from kit.outbound import OutboundPolicy, guarded_client

MAX_RESPONSE_BYTES = 1024 * 1024
MAX_ATTEMPTS = 3
FIRST_BACKOFF_S = 0.2
CONNECT_TIMEOUT_S = 10.0
SHOWN_BYTES = 10_000
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
UNKNOWN_OUTCOME = "Whether it took effect is not known."


@dataclass(frozen=True)
class WebhookTarget:
    """A webhook tool, ready to be called. ``timeout_ms`` bounds all attempts together."""

    tool_id: str
    name: str
    url: str
    timeout_ms: int
    idempotent: bool
    secret: str = field(repr=False)


@dataclass
class Exchange:
    """The last request sent and what came back, for the developer's ``test`` route. Signatures are shown,
    the secret is not."""

    request_headers: dict[str, str] = field(default_factory=dict)
    request_body: Any = None
    status: int | None = None
    response_body: str = ""


class _Attempt(Exception):
    """One try failed; ``retry`` says whether another one cannot do harm, ``after_s`` when at the earliest."""

    def __init__(self, message: str, *, retry: bool, status: int | str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.message, self.retry, self.status, self.after_s = message, retry, status, after_s


class WebhookDispatcher:
    def __init__(self, policy: OutboundPolicy, clock: Clock) -> None:
        self._clock = clock
        self._client = guarded_client(policy)

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self,
        target: WebhookTarget,
        scope: ToolScope,
        call: ToolCall,
        *,
        exchange: Exchange | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> ToolResult | AnswersLater:
        """Dispatch one call. Every failure is an error result, never an exception.

        A request is repeated (same ``webhook-id``) after 429/5xx or a failed connection; after it may have
        been received without an answer, only if the tool was registered as idempotent.
        """
        started = time.monotonic()
        deadline = started + target.timeout_ms / 1000
        record: dict[str, Any] = {"kind": "webhook", "target": urlsplit(target.url).hostname}
        for attempt in range(1, max_attempts + 1):
            record["attempts"] = attempt
            try:
                async with asyncio.timeout(max(0.001, deadline - time.monotonic())):
                    status, body = await self._attempt(target, scope, call, exchange)
                record.update(status=status, bytes=len(body), latency_ms=_ms(started))
                return _read_answer(target, status, body, record)
            except TimeoutError:
                failure = _Attempt(
                    f"The tool {target.name} did not answer within {target.timeout_ms / 1000:g} seconds. "
                    + UNKNOWN_OUTCOME,
                    retry=False,
                    status="timeout",
                )
            except _Attempt as failed:
                failure = failed
            pause = max(FIRST_BACKOFF_S * 2 ** (attempt - 1), failure.after_s)
            if not failure.retry or attempt == max_attempts or time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        record.update(status=failure.status, latency_ms=_ms(started))
        return error_result(failure.message, record)

    async def _attempt(
        self, target: WebhookTarget, scope: ToolScope, call: ToolCall, exchange: Exchange | None
    ) -> tuple[int, bytes]:
        body = msgspec.json.encode(_payload(target, scope, call))
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",  # a small compressed body could be a very large one
            "user-agent": "Heddle",
            **signed_headers(
                target.secret,
                message_id=_message_id(target, scope, call),
                timestamp_s=self._clock.now_ms() // 1000,
                body=body,
            ),
        }
        if exchange is not None:
            exchange.request_headers, exchange.request_body = headers, msgspec.json.decode(body)
        limits = httpx.Timeout(target.timeout_ms / 1000, connect=CONNECT_TIMEOUT_S)
        try:
            async with self._client.stream(
                "POST", target.url, content=body, headers=headers, timeout=limits
            ) as response:
                answer = await _bounded(target.name, response)
        except (*NEVER_SENT, httpx.InvalidURL, UnicodeError) as error:
            raise _Attempt(
                f"The tool {target.name} cannot be reached.",
                retry=isinstance(error, NEVER_SENT),
                status="unreachable",
            ) from None
        except httpx.HTTPError as error:
            raise _Attempt(
                f"The tool {target.name} closed the connection without an answer. {UNKNOWN_OUTCOME}",
                retry=target.idempotent,
                status=type(error).__name__,
            ) from None
        if exchange is not None:
            exchange.status = response.status_code
            exchange.response_body = answer[:SHOWN_BYTES].decode("utf-8", "replace")
        status = response.status_code
        if not 200 <= status < 300:
            raise _Attempt(
                f"The tool {target.name} failed with status {status}.",
                retry=status == 429 or status >= 500,
                status=status,
                after_s=_retry_after(response),
            )
        return status, answer


def _payload(target: WebhookTarget, scope: ToolScope, call: ToolCall) -> dict[str, Any]:
    return {
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


def _message_id(target: WebhookTarget, scope: ToolScope, call: ToolCall) -> str:
    """The same for every attempt at one call, also after a restart; another one for any other call.

    Tool-use ids are unique in a thread only, so what surrounds the call goes into it.
    """
    parts = [scope.account_id, scope.thread_id, scope.turn_id, target.tool_id, call.tool_use_id]
    return f"msg_{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]}"


async def _bounded(name: str, response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _Attempt(
            f"The tool {name} answered in a compressed form that was not asked for.",
            retry=False,
            status="compressed",
        )
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise _Attempt(
                f"The tool {name} answered with more than {MAX_RESPONSE_BYTES} bytes; "
                "ask it for less at a time.",
                retry=False,
                status="too_large",
            )
    return body


def _retry_after(response: httpx.Response) -> float:
    """Seconds that a 429 or 503 asks to wait (RFC 9110, section 10.2.3); dates are not read."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0.0


def _read_answer(
    target: WebhookTarget, status: int, body: bytes, record: dict[str, Any]
) -> ToolResult | AnswersLater:
    """``{output, is_error?}``; a JSON body without ``output`` is itself the output. 202 ``{"pending": true}``
    says that the output comes later."""
    name = target.name
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):  # msgspec: not JSON, or not UTF-8
        what = "an empty body" if not body.strip() else "something that is not JSON"
        return error_result(f"The tool {name} answered with {what}.", record)
    if isinstance(answer, dict) and "output" in answer:
        return json_result(answer["output"], is_error=answer.get("is_error") is True, record=record)
    if status == 202 and isinstance(answer, dict) and answer.get("pending") is True:
        return AnswersLater(target.tool_id, name, {**record, "status": "pending"})
    return json_result(answer, is_error=False, record=record)


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
