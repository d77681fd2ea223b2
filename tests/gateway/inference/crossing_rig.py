"""Heddle between clients of one dialect and a provider of another, for the tests of faults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.billing.models import UsageEvent
from gateway.inference.providers import Limits
from tests.gateway.inference.passing import (
    CHAT,
    MESSAGES,
    RESPONSES,
    answer_of,
    body_for,
    error_in,
    events_in,
    frames_of,
    post_stream,
    settled,
    spent,
)
from tests.gateway.inference.upstream import (
    PROVIDER_KEY,
    Upstream,
    heddle_before,
)
from tests.gateway.serving import Serving

SPOKEN = {"anthropic": MESSAGES, "openai-chat": CHAT}
"""The provider's dialects, and where each is at home."""
CROSSINGS = [
    (MESSAGES, "openai-chat"),
    (CHAT, "anthropic"),
    (RESPONSES, "anthropic"),
    (RESPONSES, "openai-chat"),
]


@dataclass
class Crossing:
    """Heddle between a client that posts to ``path`` and a provider that speaks ``dialect``."""

    heddle: Serving
    path: str
    dialect: str
    upstream: Upstream = field(default_factory=Upstream)

    @property
    def answer(self) -> bytes:
        """A good answer of the provider."""
        return answer_of(SPOKEN[self.dialect])

    @property
    def frames(self) -> list[bytes]:
        """A good answer of the provider, streamed."""
        return frames_of(SPOKEN[self.dialect])

    async def post(self, **more: Any) -> Any:
        return await self.heddle.http.post(self.path, json=body_for(self.path, **more))

    async def refused(self, status: int, code: str, *, streamed: bool) -> Any:
        """Post; the answer must be this error in the client's form, recorded and not charged."""
        got = await self.post(stream=streamed)
        assert got.headers["content-type"] == "application/json"
        assert (got.status_code, got.json()["error"]["code"]) == (status, code), got.text
        assert ("type" in got.json()) is (self.path == MESSAGES)
        assert PROVIDER_KEY not in got.text
        event = await self.heddle.only_event()
        assert (event.status, event.error_code, event.cost_nanos) == ("error", code, 0)
        assert await spent(self.heddle) == 0
        return got

    async def broken(self, code: str) -> UsageEvent:
        """Post a stream; it must be whole frames that end in this error, and be billed as an estimate."""
        answer, got = await post_stream(self.heddle, self.path, body_for(self.path))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert error_in(got)["code"] == code
        assert error_in(got)["message"]
        assert not any("cut_off" in event for event in events_in(got))
        await settled(self.heddle)
        event = await self.heddle.only_event()
        assert (event.status, event.error_code, event.estimated) == ("error", code, True)
        assert await spent(self.heddle) == event.cost_nanos
        return event


@asynccontextmanager
async def crossing_over(data_dir: Path, path: str, dialect: str, **settings: Any) -> AsyncIterator[Crossing]:
    upstream = Upstream()
    async with heddle_before(upstream, data_dir, only=dialect, **settings) as heddle:
        yield Crossing(heddle, path, dialect, upstream)


NAMES = [f"{path[4:]} to {dialect}" for path, dialect in CROSSINGS]


@pytest.fixture(params=CROSSINGS, ids=NAMES)
async def crossing(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Crossing]:
    async with crossing_over(tmp_path, *request.param) as running:
        yield running


@pytest.fixture(params=CROSSINGS, ids=NAMES)
async def impatient(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Crossing]:
    limits = Limits(first_byte_timeout_s=0.3, idle_timeout_s=0.3)
    monkeypatch.setattr("tests.gateway.inference.upstream.LIMITS", limits)
    async with crossing_over(tmp_path, *request.param) as running:
        yield running
