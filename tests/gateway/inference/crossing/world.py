"""One Heddle before the scripted providers, and one exchange through it."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.billing.models import UsageEvent
from gateway.inference.dialects.codec import Quirks
from gateway.inference.providers import Provider
from gateway.loopback import served
from gateway.settings import ModelSettings
from tests.gateway.inference.crossing.ask import Ask, Read, Told
from tests.gateway.inference.crossing.clients.client import Client
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.providers.provider import DIGEST, FakeProvider
from tests.gateway.inference.upstream import Answer, Upstream
from tests.gateway.inference.wire.reply import Reply
from tests.gateway.serving import Serving, serving

INPUT, OUTPUT, CACHE_READ, CACHE_WRITE = 1_000, 5_000, 100, 1_250
"""Nano-USD for a token."""
PLAIN = "plain"
"""A chat provider that does not want its thoughts back."""


@dataclass(frozen=True)
class Answered:
    """An answer's raw side, and the row of the wallet's usage."""

    status: int
    headers: httpx.Headers
    raw: bytes
    event: UsageEvent | None

    @property
    def dropped(self) -> list[str]:
        named = self.headers.get("x-heddle-dropped")
        return named.split(", ") if named else []


@dataclass
class World:
    heddle: Serving
    upstreams: dict[str, Upstream]

    async def post(self, client: Client, ask: Ask, **more: object) -> Answered:
        """Send and read everything; nothing may be held afterwards."""
        body = {**client.write(ask), **more}
        answer = await self.heddle.http.post(client.path, json=body)
        assert await self.heddle.holds() == []
        async with self.heddle.app.db.session() as session:
            event = await session.get(UsageEvent, answer.headers["request-id"])
        answered = Answered(answer.status_code, answer.headers, answer.content, event)
        for name in answered.dropped:
            assert named(body, name) is not None, f"{name} is no field of the client's"
        return answered

    def script(self, dialect: str, answer: Answer) -> Upstream:
        """Have a provider answer so from now on, having heard nothing yet."""
        upstream = self.upstreams[dialect]
        upstream.answer = answer
        upstream.heard.clear()
        return upstream

    async def exchange(
        self, client: Client, provider: FakeProvider, ask: Ask, reply: Reply, digest: str = DIGEST
    ) -> tuple[Told, Read, Answered]:
        """One request and its reply, checked as every exchange is: charged once, read by the SDK too."""
        upstream = self.script(ask.model, provider.answer(reply, streamed=ask.stream, digest=digest))
        answered = await self.post(client, ask)
        assert answered.status == 200, answered.raw
        kind = "text/event-stream" if ask.stream else "application/json"
        assert answered.headers["content-type"].startswith(kind)
        read = client.read(answered.raw, stream=ask.stream)
        assert_charged(answered.event, reply)
        await _assert_sdk_agrees(client, answered.raw, read, ask.stream)
        return provider.hear(upstream.only.path, msgspec.json.decode(upstream.only.body)), read, answered


def named(body: Any, name: str) -> Any:
    """What a client wrote at a path like ``messages[2].content``; None for nothing. A Google signature
    travels in the field that holds its call's id."""
    for step in re.findall(r"[^.\[\]]+", name.removesuffix(".signature")):
        try:
            body = body[int(step) if isinstance(body, list) else step]
        except (LookupError, TypeError, ValueError):
            return None
    return body


def assert_charged(event: UsageEvent | None, reply: Reply) -> None:
    assert event is not None
    assert (event.status, event.estimated) == ("ok", False)
    used = (event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens)
    said = (reply.input_tokens, reply.output_tokens, reply.cache_read_tokens, reply.cache_write_tokens)
    assert used == said
    prices = (INPUT, OUTPUT, CACHE_READ, CACHE_WRITE)
    cost = sum(count * price for count, price in zip(said, prices, strict=True))
    assert event.cost_nanos == cost * 107 // 100


async def _assert_sdk_agrees(client: Client, raw: bytes, read: Read, stream: bool) -> None:
    text, calls, output_tokens = await client.sdk(raw, 200, stream=stream)
    assert text == read.text
    assert [msgspec.json.decode(call) for call in calls] == [
        msgspec.json.decode(call.arguments) for call in read.calls
    ]
    assert output_tokens == read.usage.output


@asynccontextmanager
async def world(data_dir: Path) -> AsyncIterator[World]:
    """A model per provider dialect, named like it, and ``plain``."""
    prices = {
        "input_usd_per_mtok": Decimal(1),
        "output_usd_per_mtok": Decimal(5),
        "cache_read_usd_per_mtok": Decimal("0.1"),
        "cache_write_usd_per_mtok": Decimal("1.25"),
    }
    fakes = {**PROVIDERS, PLAIN: replace(PROVIDERS["openai-chat"], name="plain", quirks=Quirks())}
    upstreams: dict[str, Upstream] = {}
    providers: dict[str, Provider] = {}
    models: dict[str, ModelSettings] = {}
    async with AsyncExitStack() as stack:
        for slug, fake in fakes.items():
            upstreams[slug] = upstream = Upstream()
            url = await stack.enter_async_context(served(partial(_behind, upstream)))
            urls = {fake.dialect: url + fake.base_path}
            providers[fake.name] = Provider(fake.name, urls, ("k",), quirks=fake.quirks)
            models[slug] = ModelSettings(
                provider=fake.name, upstream_model=fake.model, max_output_tokens=16_000, **prices
            )
        heddle = await stack.enter_async_context(serving(data_dir, providers, models=models, max_tries=1))
        yield World(heddle, upstreams)


def _behind(upstream: Upstream, _url: str) -> Upstream:
    return upstream
