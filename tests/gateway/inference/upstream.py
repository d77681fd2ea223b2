"""A provider in raw ASGI that records what it hears and answers what it is told, byte for byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.inference.providers import Limits, Provider
from gateway.loopback import served
from gateway.settings import ModelSettings
from tests.gateway.serving import Serving, serving

PROVIDER_KEY = "sk-provider-secret-0123456789"
JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"

LIMITS = Limits()
_PRICES = {"input_usd_per_mtok": Decimal(1), "output_usd_per_mtok": Decimal(5)}
MODELS = {
    "fake-model": ModelSettings(provider="fake", max_output_tokens=1000, **_PRICES),
    "fake-alias": ModelSettings(provider="fake", upstream_model="fake-1", max_output_tokens=1000, **_PRICES),
}


@dataclass
class Heard:
    path: str
    headers: dict[str, str]
    body: bytes
    query: str = ""


class BreakOff(Exception):
    """Makes uvicorn drop the connection in the middle of an answer."""


Answer = Callable[[Send], Awaitable[None]]


def whole(
    body: bytes, status: int = 200, content_type: str = JSON_TYPE, headers: Mapping[str, str] | None = None
) -> Answer:
    async def answer(send: Send) -> None:
        wire = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
        start: dict[str, Any] = {"type": "http.response.start", "status": status}
        start["headers"] = [(name.encode(), value.encode()) for name, value in wire.items()]
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return answer


def stream(
    *chunks: bytes,
    break_off: bool = False,
    hang_s: float = 0,
    content_type: str = SSE_TYPE,
    pace_s: float = 0.02,
) -> Answer:
    """The chunks, one write each; then the end, or a dropped connection, or silence before the end."""

    async def answer(send: Send) -> None:
        headers = [(b"content-type", content_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(pace_s)
        if break_off:
            raise BreakOff
        await asyncio.sleep(hang_s)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return answer


async def silence(_send: Send) -> None:
    await asyncio.sleep(30)


@dataclass
class Upstream:
    """Set ``answer`` before calling; read ``heard`` after. ``dropped`` is set when Heddle hangs up."""

    answer: Answer = field(default_factory=lambda: whole(b"{}"))
    heard: list[Heard] = field(default_factory=list)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def only(self) -> Heard:
        (heard,) = self.heard
        return heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.heard.append(Heard(scope["path"], headers, body, scope["query_string"].decode()))
        answering = asyncio.ensure_future(self.answer(send))
        gone = asyncio.ensure_future(self._gone(receive))
        try:
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.dropped.set()
                answering.cancel()
            await asyncio.gather(answering, return_exceptions=answering.cancelled() or self.dropped.is_set())
        finally:
            gone.cancel()

    @staticmethod
    async def _gone(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


@asynccontextmanager
async def heddle_before(
    upstream: Upstream, data_dir: Path, *, only: str | None = None, **settings: Any
) -> AsyncIterator[Serving]:
    """Heddle with ``upstream`` as its only provider, in all dialects of clients or in ``only`` one."""
    async with served(lambda _url: upstream) as url:
        urls = {"anthropic": url, "openai-chat": f"{url}/v1", "openai-responses": f"{url}/v1"}
        urls = urls if only is None else {only: urls[only]}
        fake = Provider("fake", urls, (PROVIDER_KEY,), limits=LIMITS)
        settings = {"max_tries": 1, **settings}
        async with serving(data_dir, {"fake": fake}, models=MODELS, **settings) as running:
            yield running
