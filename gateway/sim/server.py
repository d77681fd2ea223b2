"""The simulated provider's HTTP server: plain ASGI on uvicorn."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.types import Message, Receive, Scope, Send

from gateway.loopback import served
from gateway.sim import anthropic, openai_chat
from gateway.sim.conversation import Conversation, Refused, read_anthropic, read_openai
from gateway.sim.grammar import Directives, parse_directives
from gateway.sim.reply import Reply, answer, digest_of

STALL_S = 600
MAX_BODY_BYTES = 64 * 1024 * 1024


class BrokeOff(Exception):
    """Raised to make the server drop the connection in the middle of an answer."""


class SimApp:
    """The ASGI application. Remembers only how often a ``fail-times`` conversation has failed."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        speaks_anthropic = path.startswith("/v1/messages")
        render = anthropic.error if speaks_anthropic else openai_chat.error
        try:
            _authenticate(scope)
            if method == "GET" and path == "/v1/models":
                await _respond(send, 200, openai_chat.model_list())
            elif method == "POST" and path in {
                "/v1/messages",
                "/v1/messages/count_tokens",
                "/v1/chat/completions",
            }:
                await self._complete(path, await _read(receive), send)
            else:
                raise Refused(404, "not_found_error", f"no route {method} {path}")
        except Refused as refused:
            await _respond(send, refused.status, render(refused), refused.headers)

    async def _complete(self, path: str, raw: bytes, send: Send) -> None:
        body = _object(raw)
        if path == "/v1/messages/count_tokens":
            conversation = read_anthropic({"max_tokens": 1, **body}, len(raw))
            await _respond(send, 200, msgspec.json.encode({"input_tokens": 8 + conversation.size // 4}))
            return
        speaks_anthropic = path == "/v1/messages"
        conversation = (read_anthropic if speaks_anthropic else read_openai)(body, len(raw))
        directives = parse_directives(conversation.question + conversation.system)
        if directives.latency_ms:
            await asyncio.sleep(directives.latency_ms / 1000)
        self._fail(conversation, directives)
        if directives.garbage:
            await _respond(send, 200, b"<html>this is not JSON</html>")
            return
        digest = digest_of(raw)
        reply = answer(conversation, directives, digest)
        if not conversation.stream:
            wire = anthropic.whole if speaks_anthropic else openai_chat.whole
            await _respond(send, 200, wire(reply, conversation.model, digest))
            return
        await _stream(send, _pieces(conversation, reply, digest, speaks_anthropic), directives)

    def _fail(self, conversation: Conversation, directives: Directives) -> None:
        if directives.status is None:
            return
        if directives.fail_times is not None:
            key = f"{conversation.system}\0{conversation.question}\0{conversation.rounds_done}"
            if self._failures[key] >= directives.fail_times:
                return
            self._failures[key] += 1
        kind = {429: "rate_limit_error", 529: "overloaded_error"}.get(directives.status, "api_error")
        refused = Refused(directives.status, kind, f"simulated failure {directives.status}")
        if directives.retry_after:
            refused.headers["retry-after"] = directives.retry_after
        raise refused


def _pieces(conversation: Conversation, reply: Reply, digest: str, speaks_anthropic: bool) -> Iterator[bytes]:
    if speaks_anthropic:
        return anthropic.stream(reply, conversation.model, digest)
    return openai_chat.stream(reply, conversation.model, digest, include_usage=conversation.include_usage)


async def _stream(send: Send, pieces: Iterator[bytes], directives: Directives) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number, piece in enumerate(pieces):
        if directives.break_after is not None and number >= directives.break_after:
            raise BrokeOff
        if directives.stall_after is not None and number >= directives.stall_after:
            await asyncio.sleep(STALL_S)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if directives.pace_ms:
            await asyncio.sleep(directives.pace_ms / 1000)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _respond(send: Send, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    wire = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    wire += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": wire})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message: Message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, "request_too_large", "the body is too large")
        if not message.get("more_body"):
            return body


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "invalid_request_error", "the body is not a JSON object")
    return body


def _authenticate(scope: Scope) -> None:
    headers = dict(scope["headers"])
    bearer = headers.get(b"authorization", b"").removeprefix(b"Bearer ").strip()
    if not headers.get(b"x-api-key") and not bearer:
        raise Refused(401, "authentication_error", "x-api-key header is required")


@asynccontextmanager
async def sim_server() -> AsyncIterator[str]:
    """Run the simulator on a loopback port inside this process; yields its base URL."""
    async with served(lambda _url: SimApp()) as base_url:
        yield base_url
