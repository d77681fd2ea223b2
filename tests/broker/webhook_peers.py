"""Endpoints of developers as webhook tests meet them, and calls to them."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.calls import ToolCall, ToolResult, ToolScope
from broker.webhook import WebhookDispatcher, WebhookTarget
from gateway.loopback import served

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SCOPE = ToolScope("acc_1", "ada", "thread-1", "turn_1", {"plan": "pro"})
CALL = ToolCall("toolu_1", "get_weather", {"city": "Oslo"}, iteration=3, created_at=1_700_000_000_000)

Answer = Callable[[Request, int], Awaitable[Response]]


@dataclass
class Endpoint:
    """A developer's endpoint: keeps what it received, answers as the test says."""

    answer: Answer
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    sockets: set[int] = field(default_factory=set)

    async def __call__(self, request: Request) -> Response:
        self.received.append((dict(request.headers), await request.body()))
        assert request.client is not None
        self.sockets.add(request.client.port)
        return await self.answer(request, len(self.received))


@asynccontextmanager
async def endpoint(answer: Answer) -> AsyncIterator[tuple[Endpoint, str]]:
    receiver = Endpoint(answer)
    app = Starlette(routes=[Route("/hook", receiver.__call__, methods=["POST"])])
    async with served(lambda _: app) as url:
        yield receiver, f"{url}/hook"


def answering(*answers: Any, status: int = 200) -> Answer:
    """Answers in turn, the last one for ever: JSON values, or whole responses."""

    async def answer(_: Request, count: int) -> Response:
        value = answers[min(count, len(answers)) - 1]
        return value if isinstance(value, Response) else JSONResponse(value, status_code=status)

    return answer


def target(
    url: str, *, timeout_ms: int = 5_000, idempotent: bool = False, old_secret: str | None = None
) -> WebhookTarget:
    return WebhookTarget("tool_1", "get_weather", url, timeout_ms, idempotent, SECRET, old_secret)


async def called(dispatcher: WebhookDispatcher, *arguments: Any, **options: Any) -> ToolResult:
    """The result of a call that is answered at once."""
    result = await dispatcher.call(*arguments, **options)
    assert isinstance(result, ToolResult)
    return result


@asynccontextmanager
async def closing(answers_at: int) -> AsyncIterator[tuple[list[int], str]]:
    """A server that reads each request and hangs up, until the ``answers_at``-th one."""
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read(64)
        seen.append(len(seen) + 1)
        if len(seen) >= answers_at:
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"output":1}')
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield seen, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"


@asynccontextmanager
async def bytes_of(*pieces: bytes, every_s: float = 0.0, hang_up: bool = True) -> AsyncIterator[str]:
    """A server that sends these bytes to whoever has sent a request's head, one piece after the other."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(every_s)
            if not hang_up:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()
