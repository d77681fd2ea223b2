"""``kill -9`` at every point of a call: it is paid once or not at all, and its hold is gone after that."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.provider import CALL_NANOS, INPUT_TOKENS, WORD, WORDS
from tests.crash.rig import Rig, rig

CHAT: dict[str, Any] = {
    "model": "chat",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
AT_THE_PROVIDER = "at the provider"
"""Killed from outside, when the provider has the request and has not answered."""


@dataclass(frozen=True)
class Kind:
    """A call, what it costs, and the points on its way: until it is paid, and from then on."""

    path: str
    body: dict[str, Any]
    nanos: int
    unpaid: tuple[str, ...]
    paid: tuple[str, ...]


KINDS = {
    "whole": Kind(
        "/v1/messages",
        CHAT,
        CALL_NANOS,
        unpaid=(
            "billing.hold.queued",
            "billing.hold.applied",
            "billing.hold.committed",
            "call.upstream.asked",
            AT_THE_PROVIDER,
            "call.upstream.answered",
            "call.whole.read",
            "billing.settle.queued",
            "billing.settle.applied",
        ),
        paid=("billing.settle.committed", "call.whole.settled"),
    ),
    "stream": Kind(
        "/v1/messages",
        {**CHAT, "stream": True},
        CALL_NANOS,
        unpaid=(
            "billing.hold.applied",
            "billing.hold.committed",
            "call.upstream.answered",
            "call.stream.delivered",
            "call.stream.delivered:6",
            "call.stream.ended",
            "billing.settle.queued",
            "billing.settle.applied",
        ),
        paid=("billing.settle.committed", "call.stream.settled"),
    ),
    "embedding": Kind(
        "/v1/embeddings",
        {"model": "embed", "input": "warp"},
        INPUT_TOKENS * 1_000,
        unpaid=("billing.hold.committed", "call.whole.read", "billing.settle.applied"),
        paid=("billing.settle.committed",),
    ),
    "speech": Kind(
        "/v1/audio/speech",
        {"model": "say", "input": "shuttle", "voice": "alloy"},
        len("shuttle") * 100_000,
        unpaid=("billing.hold.committed", "call.stream.delivered:3", "call.stream.ended"),
        paid=("billing.settle.committed",),
    ),
    "image": Kind(
        "/v1/images/generations",
        {"model": "draw", "prompt": "a loom"},
        40_000_000,
        unpaid=("call.whole.read", "billing.settle.applied"),
        paid=("call.whole.settled",),
    ),
}
POINTS = {point.partition(":")[0] for kind in KINDS.values() for point in kind.unpaid + kind.paid} - {
    AT_THE_PROVIDER
}


@pytest.mark.parametrize("name", KINDS)
async def test_a_call_that_dies_is_paid_once_or_not_at_all(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    paid = 0
    async with rig(tmp_path) as running:
        for point in kind.unpaid + kind.paid:
            paid += await _die_in(running, kind, point)
            books = running.books()
            assert books.holds == [], point
            assert len(books.events) == paid, point
            assert books.spent == paid * kind.nanos, point
            again = await running.call(kind.path, kind.body)
            assert (again.status, again.complete) == (200, True), (point, again)
            paid += 1
        assert running.provider.asked == len(kind.unpaid + kind.paid) * 2 - _before_the_provider(kind)
        assert running.books().spent == paid * kind.nanos


def _before_the_provider(kind: Kind) -> int:
    return sum(point.startswith("billing.hold.") or point == "call.upstream.asked" for point in kind.unpaid)


async def _die_in(running: Rig, kind: Kind, point: str) -> int:
    """Make the call and die of it; 1 if it must be paid all the same."""

    async def kill() -> None:
        running.heddle.kill()

    if point == AT_THE_PROVIDER:
        running.provider.on_request = kill
    else:
        running.heddle.arm(point)
    seen = await running.call(kind.path, kind.body)
    running.provider.on_request = None
    await running.die_at(point)
    assert not seen.complete, point
    if point == "call.stream.delivered:6" and kind.path == "/v1/messages":
        assert WORD.encode() in seen.body
        assert seen.body.count(WORD.encode()) < WORDS
    return int(point in kind.paid)
