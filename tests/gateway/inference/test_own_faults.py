"""A fault of our own in the middle of a call: the hold is given back, the client is told, the log knows."""

import json
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from gateway.inference.passage import SameDialect
from tests.gateway.inference.upstream import Upstream, heddle_before, stream, whole
from tests.gateway.inference.wire import anthropic as wire
from tests.gateway.inference.wire.reply import Reply
from tests.gateway.serving import Serving

BODY = {"model": "fake-model", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
REPLY = Reply("From the loom.", input_tokens=100, output_tokens=40)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with heddle_before(upstream, tmp_path) as running:
        yield running


class FaultyTap:
    complete = failed = False

    def feed(self, chunk: bytes) -> bytes:
        raise KeyError("a fault of ours")


async def test_a_whole_answer_that_we_cannot_handle(
    heddle: Serving, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(SameDialect, "answer", fault)
    upstream.answer = whole(wire.whole(REPLY, "m", "1"))
    got = await heddle.http.post("/v1/messages", json=BODY)
    assert (got.status_code, got.json()["error"]["code"]) == (500, "internal_error")
    assert "a fault of ours" not in got.text
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.cost_nanos) == ("error", "internal_error", 0)


async def test_a_stream_that_we_cannot_handle(
    heddle: Serving, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = SameDialect.tap

    def faulty(self: SameDialect, headers: Mapping[str, str]) -> object:
        tap = real(self, headers)
        monkeypatch.setattr(type(tap), "feed", FaultyTap.feed)
        return tap

    monkeypatch.setattr(SameDialect, "tap", faulty)
    upstream.answer = stream(*wire.stream(REPLY, "m", "1"))
    with caplog.at_level(logging.ERROR, logger="heddle.inference"):
        got = await heddle.http.post("/v1/messages", json={**BODY, "stream": True})
    last = json.loads(got.text.strip().splitlines()[-1].removeprefix("data: "))
    assert (last["type"], last["error"]["code"]) == ("error", "internal_error")
    assert "a fault of ours" not in got.text
    assert "could not be read" in caplog.text
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("error", "internal_error")
