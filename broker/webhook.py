"""Calling a developer's webhook: signed, bounded in time and size, retried only where that is safe."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from broker.calls import ToolCall, ToolResult, ToolScope, error_result, json_result
from broker.signing import signed_headers
from kit.clock import Clock
from kit.ids import new_uuid
from kit.outbound import OutboundPolicy, guarded_client

logger = logging.getLogger("heddle.broker")

MAX_RESPONSE_BYTES = 1024 * 1024
MAX_ATTEMPTS = 3
FIRST_BACKOFF_S = 0.2
RETRIED_STATUSES = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class WebhookTarget:
    """A webhook tool, ready to be called."""

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
    """One try failed; ``retry`` says whether another one cannot do harm."""

    def __init__(self, message: str, *, retry: bool, status: int | str) -> None:
        super().__init__(message)
        self.message, self.retry, self.status = message, retry, status


class WebhookDispatcher:
    def __init__(self, policy: OutboundPolicy, clock: Clock) -> None:
        self._clock = clock
        self._client = guarded_client(policy)

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self, target: WebhookTarget, scope: ToolScope, call: ToolCall, exchange: Exchange | None = None
    ) -> ToolResult:
        """Dispatch one call. Every failure is an error result, never an exception.

        A request is repeated (same ``webhook-id``) after 429/5xx or a failed connection; after it may have
        been received without an answer, only if the tool was registered as idempotent.
        """
        started = time.monotonic()
        deadline = started + target.timeout_ms / 1000
        record: dict[str, Any] = {"kind": "webhook", "target": urlsplit(target.url).hostname}
        for attempt in range(1, MAX_ATTEMPTS + 1):
            record["attempts"] = attempt
            try:
                async with asyncio.timeout(max(0.001, deadline - time.monotonic())):
                    status, body = await self._attempt(target, scope, call, exchange)
                record.update(status=status, bytes=len(body), latency_ms=_ms(started))
                return _read_answer(target.name, body, record)
            except TimeoutError:
                failure = _Attempt(
                    f"The tool {target.name} did not answer within {target.timeout_ms / 1000:g} seconds. "
                    "Whether it took effect is not known.",
                    retry=False,
                    status="timeout",
                )
            except _Attempt as failed:
                failure = failed
            backoff = FIRST_BACKOFF_S * 2 ** (attempt - 1)
            if not failure.retry or attempt == MAX_ATTEMPTS or time.monotonic() + backoff >= deadline:
                break
            await asyncio.sleep(backoff)
        record.update(status=failure.status, latency_ms=_ms(started))
        return error_result(failure.message, record)

    async def _attempt(
        self, target: WebhookTarget, scope: ToolScope, call: ToolCall, exchange: Exchange | None
    ) -> tuple[int, bytes]:
        body = msgspec.json.encode(_payload(target, scope, call))
        headers = {
            "content-type": "application/json",
            "user-agent": "Heddle",
            **signed_headers(
                target.secret,
                message_id=f"msg_{call.tool_use_id}",
                timestamp_s=self._clock.now_ms() // 1000,
                body=body,
            ),
        }
        if exchange is not None:
            exchange.request_headers, exchange.request_body = headers, msgspec.json.decode(body)
        try:
            async with self._client.stream("POST", target.url, content=body, headers=headers) as response:
                answer = await _bounded(target.name, response)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise _Attempt(
                f"The tool {target.name} cannot be reached.", retry=True, status="unreachable"
            ) from None
        except httpx.HTTPError as error:
            raise _Attempt(
                f"The tool {target.name} closed the connection without an answer. "
                "Whether it took effect is not known.",
                retry=target.idempotent,
                status=type(error).__name__,
            ) from None
        if exchange is not None:
            exchange.status = response.status_code
            exchange.response_body = answer[:10_000].decode("utf-8", "replace")
        status = response.status_code
        if status == 202:
            raise _Attempt(
                f"The tool {target.name} answered later (202), which is not available yet.",
                retry=False,
                status=202,
            )
        if not 200 <= status < 300:
            raise _Attempt(
                f"The tool {target.name} failed with status {status}.",
                retry=status in RETRIED_STATUSES,
                status=status,
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


async def _bounded(name: str, response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise _Attempt(
                f"The tool {name} answered with more than {MAX_RESPONSE_BYTES} bytes; "
                "ask it for less at a time.",
                retry=False,
                status="too_large",
            )
    return body


def _read_answer(name: str, body: bytes, record: dict[str, Any]) -> ToolResult:
    """``{output, is_error?}``; a JSON body without ``output`` is itself the output."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        what = "an empty body" if not body.strip() else "something that is not JSON"
        return error_result(f"The tool {name} answered with {what}.", record)
    if isinstance(answer, dict) and "output" in answer:
        return json_result(answer["output"], is_error=answer.get("is_error") is True, record=record)
    return json_result(answer, is_error=False, record=record)


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
