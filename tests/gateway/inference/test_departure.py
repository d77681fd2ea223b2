"""A client that goes away before its answer begins: the provider is let go, what was sent is paid for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Send

from gateway.inference.departure import GRACE_S, ClientGone, Departure
from tests.gateway.inference.passing import PATHS, answer_of, body_for, frames_of, settled, spent
from tests.gateway.inference.upstream import Answer, Upstream, heddle_before, silence, stream, whole
from tests.gateway.serving import Serving

HEAD_ONLY = stream(hang_s=20, content_type="application/json")


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with heddle_before(upstream, tmp_path) as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("answer", [silence, HEAD_ONLY], ids=["no head", "a head"])
async def test_it_stops_the_provider_and_pays_for_what_was_sent(
    heddle: Serving, upstream: Upstream, path: str, streamed: bool, answer: Answer
) -> None:
    upstream.answer = answer
    with pytest.raises((httpx.ReadTimeout, TimeoutError)):
        async with asyncio.timeout(GRACE_S + 0.5):
            await heddle.http.post(path, json=body_for(path, stream=streamed))
    await asyncio.wait_for(upstream.dropped.wait(), 5)
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("cancelled", "client_disconnected")
    assert event.estimated
    assert event.output_tokens == 0
    assert event.input_tokens > 0
    assert await spent(heddle) == event.cost_nanos > 0


class Client:
    """The receiving half of a connection."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_work_that_is_quick_is_never_disturbed() -> None:
    client = Client()
    client.left.set()
    with Departure(client.receive):
        await asyncio.sleep(0)
    await asyncio.sleep(GRACE_S * 2)
    assert client.asked == 0


async def test_a_departure_ends_the_block_where_it_waits_and_nothing_after_it() -> None:
    client = Client()
    asyncio.get_running_loop().call_later(GRACE_S * 2, client.left.set)
    cleaned = []
    with pytest.raises(ClientGone), Departure(client.receive):
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.01)  # what is done on the way out may wait
            cleaned.append(True)
    assert cleaned == [True]
    await asyncio.sleep(0)  # the task itself was not ended


async def test_being_cancelled_by_others_stays_being_cancelled() -> None:
    client = Client()

    async def work() -> None:
        with Departure(client.receive):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(GRACE_S * 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_in_the_block_is_raised_though_the_client_has_gone() -> None:
    client = Client()
    client.left.set()
    with pytest.raises(LookupError), Departure(client.receive):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise LookupError from None


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_key_that_drains_lets_the_call_end_and_pays_what_it_cost(
    heddle: Serving, upstream: Upstream, path: str, streamed: bool
) -> None:
    key = await heddle.mint(on_disconnect="drain")
    begun = asyncio.Event()

    async def late(send: Send) -> None:
        begun.set()
        await asyncio.sleep(GRACE_S + 0.3)
        await (stream(*frames_of(path)) if streamed else whole(answer_of(path)))(send)

    upstream.answer = late
    with pytest.raises((httpx.ReadTimeout, TimeoutError)):
        async with asyncio.timeout(GRACE_S + 0.2):
            body = body_for(path, stream=streamed)
            await heddle.http.post(path, json=body, headers={"x-api-key": key["secret"]})
    await begun.wait()
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.estimated) == ("ok", None, False)
    assert event.output_tokens > 0
    assert not upstream.dropped.is_set()
    assert await spent(heddle) == event.cost_nanos > 0
