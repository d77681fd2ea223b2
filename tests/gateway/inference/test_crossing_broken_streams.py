"""What a caller hears, and pays, when a stream from a provider of another dialect does not end well."""

import asyncio
import json

import pytest

from tests.gateway.inference.crossing_rig import Crossing
from tests.gateway.inference.passing import (
    COST_NANOS,
    OUTPUT,
    body_for,
    events_in,
    post_stream,
    settled,
    spent,
)
from tests.gateway.inference.upstream import (
    stream,
)

# --- streams that break ---------------------------------------------------------------------------


async def test_a_stream_that_stalls_times_out(impatient: Crossing) -> None:
    impatient.upstream.answer = stream(*impatient.frames[:5], hang_s=20)
    event = await impatient.broken("upstream_timeout")
    assert 0 < event.output_tokens < OUTPUT
    assert event.cost_nanos > 0
    await asyncio.wait_for(impatient.upstream.dropped.wait(), 5)


@pytest.mark.parametrize("rest", [b"", b'event: content_block_delta\ndata: {"type":"content_', b"data: {"])
@pytest.mark.parametrize("break_off", [False, True])
async def test_a_stream_that_ends_too_early_is_billed_as_delivered(
    crossing: Crossing, rest: bytes, break_off: bool
) -> None:
    crossing.upstream.answer = stream(*crossing.frames[:5], *filter(None, [rest]), break_off=break_off)
    event = await crossing.broken("upstream_broke_off")
    assert 0 < event.output_tokens < OUTPUT
    assert event.input_tokens > 0


async def test_junk_frames_are_passed_over(crossing: Crossing) -> None:
    junk = [
        b"data: \xff\xfe\n\n",
        b'data: {"a":' + b"[" * 100_000 + b"\n\n",
        b": comment\n\n",
        b"data: 7\n\n",
        b"data: {}\n\n",
        b"data: not json\n\n",
        b"\n\n\n\n",
    ]
    frames = crossing.frames
    crossing.upstream.answer = stream(frames[0], *junk, *frames[1:], pace_s=0)
    _, got = await post_stream(crossing.heddle, crossing.path, body_for(crossing.path))
    assert not any("cut_off" in event for event in events_in(got))
    await settled(crossing.heddle)
    event = await crossing.heddle.only_event()
    assert (event.status, event.output_tokens, event.cost_nanos) == ("ok", OUTPUT, COST_NANOS)


ERROR = b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded %b"}}\n\n' % (
    b"now",
)


async def test_a_providers_error_event_is_told_in_the_clients_form(crossing: Crossing) -> None:
    crossing.upstream.answer = stream(*crossing.frames[:5], ERROR)
    answer, got = await post_stream(crossing.heddle, crossing.path, body_for(crossing.path))
    assert answer.status_code == 200
    told = [event for event in events_in(got) if event.get("type") == "error" or "error" in event]
    assert any("Overloaded now" in json.dumps(event) for event in told)
    await settled(crossing.heddle)
    event = await crossing.heddle.only_event()
    assert (event.status, event.error_code) == ("error", "upstream_error_event")
    assert event.estimated and await spent(crossing.heddle) == event.cost_nanos > 0


# --- clients that leave ---------------------------------------------------------------------------


async def test_a_client_that_leaves_before_the_first_byte(crossing: Crossing) -> None:
    crossing.upstream.answer = stream(hang_s=20)
    body = body_for(crossing.path, stream=True)
    async with crossing.heddle.http.stream("POST", crossing.path, json=body) as answer:
        assert answer.status_code == 200
    await asyncio.wait_for(crossing.upstream.dropped.wait(), 5)
    await settled(crossing.heddle)
    event = await crossing.heddle.only_event()
    assert (event.status, event.error_code) == ("cancelled", "client_disconnected")
    assert event.output_tokens == 0
    assert await spent(crossing.heddle) == event.cost_nanos


async def test_a_client_that_leaves_stops_the_provider_and_pays_for_what_it_got(crossing: Crossing) -> None:
    crossing.upstream.answer = stream(*crossing.frames[:6], hang_s=20)
    body = body_for(crossing.path, stream=True)
    async with crossing.heddle.http.stream("POST", crossing.path, json=body) as answer:
        got = b""
        async for chunk in answer.aiter_raw():
            got += chunk
            if b"warp" in got:
                break
    await asyncio.wait_for(crossing.upstream.dropped.wait(), 5)
    await settled(crossing.heddle)
    event = await crossing.heddle.only_event()
    assert (event.status, event.error_code) == ("cancelled", "client_disconnected")
    assert event.estimated and 0 < event.output_tokens < OUTPUT
    assert await spent(crossing.heddle) == event.cost_nanos > 0
