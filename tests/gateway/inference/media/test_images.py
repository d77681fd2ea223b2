"""Images: billed by the piece or by the tokens that the provider counts."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.inference.media.image_tokens import image_tokens
from tests.gateway.inference.media.rig import IMAGES, ask, events, media_heddle
from tests.gateway.inference.passing import settled, spent
from tests.gateway.inference.upstream import Upstream, stream, whole
from tests.gateway.serving import Serving

USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 40, "image_tokens": 10},
    "output_tokens": 1100,
    "output_tokens_details": {"image_tokens": 1056, "text_tokens": 44},
    "total_tokens": 1150,
}
TOKENS_NANOS = (40 * 5_000 + 10 * 8_000 + 44 * 10_000 + 1056 * 32_000) * 107 // 100


def answer(count: int = 1, **fields: Any) -> bytes:
    return json.dumps({"created": 1, "data": [{"b64_json": "AAAA"}] * count, **fields}).encode()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(whole(answer()))


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with media_heddle(upstream, tmp_path) as running:
        yield running


async def test_images_by_the_piece_are_billed_as_delivered(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(answer(2))
    got = await ask(heddle, IMAGES, n=3, size="1024x1024", style="vivid")
    assert (got.status_code, got.content) == (200, answer(2))
    heard = upstream.only
    assert (heard.path, heard.headers["authorization"][:7]) == ("/v1/images/generations", "Bearer ")
    assert json.loads(heard.body) == {
        "model": "flux",
        "prompt": "a loom",
        "n": 3,
        "size": "1024x1024",
        "style": "vivid",
    }
    event = await heddle.only_event()
    assert event.cost_nanos == 2 * 40_000_000 * 107 // 100 == await spent(heddle)
    assert event.breakdown[0] == {"unit": "image", "count": 2, "unit_price_usd": "0.04"}
    assert got.headers["x-heddle-cost-micros"] == str(event.cost_nanos // 1000)


async def test_tokens_are_billed_by_their_medium(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(answer(usage=USAGE))
    assert (await ask(heddle, IMAGES, model="draw-tokens", quality="medium")).status_code == 200
    event = await heddle.only_event()
    assert (event.cost_nanos, event.input_tokens, event.output_tokens) == (TOKENS_NANOS, 50, 1100)
    assert not event.estimated


async def test_output_without_details_is_all_of_it_image(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(answer(usage={"input_tokens": 10, "output_tokens": 272}))
    await ask(heddle, IMAGES, model="draw-tokens")
    assert (await heddle.only_event()).cost_nanos == (10 * 5_000 + 272 * 32_000) * 107 // 100


async def test_a_charge_that_the_provider_tells_is_what_is_billed(
    heddle: Serving, upstream: Upstream
) -> None:
    upstream.answer = whole(answer(usage={"cost_in_usd_ticks": 200_000_000}))  # $0.02
    await ask(heddle, IMAGES)
    assert (await heddle.only_event()).cost_nanos == 21_400_000


@pytest.mark.parametrize("usage", [None, {}, {"output_tokens": -5}, {"output_tokens": "x"}, 7])
async def test_tokens_that_nobody_told_are_estimated_from_what_was_made(
    heddle: Serving, upstream: Upstream, usage: Any
) -> None:
    upstream.answer = whole(answer(usage=usage, size="1024x1536", quality="high"))
    await ask(heddle, IMAGES, model="draw-tokens", n=1)
    event = await heddle.only_event()
    assert event.estimated
    assert event.output_tokens == 6240


async def test_the_hold_covers_the_dearest_image_that_was_asked_for(
    heddle: Serving, upstream: Upstream
) -> None:
    key = (await heddle.mint(max_spend_usd=0.3))["secret"]
    refused = await ask(heddle, IMAGES, key=key, model="draw-tokens", n=2)  # size and quality are open
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "key_cap_reached")
    assert upstream.heard == []
    upstream.answer = whole(answer(usage=USAGE))
    cheap = await ask(heddle, IMAGES, key=key, model="draw-tokens", n=2, size="1024x1024", quality="low")
    assert cheap.status_code == 200, cheap.text


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": ["a"]}, "prompt"),
    ({"prompt": "x" * 32_001}, "prompt"),
    ({"model": None}, "model"),
    ({"n": 0}, "n"),
    ({"n": 11}, "n"),
    ({"n": "2"}, "n"),
    ({"n": True}, "n"),
    ({"size": 1024}, "size"),
    ({"quality": 1}, "quality"),
    ({"stream": "yes"}, "stream"),
    ({"partial_images": 4}, "partial_images"),
    ({"output_format": "gif", "frame_count": 17}, "frame_count"),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=[f"{param}-{n}" for n, (_, param) in enumerate(BAD)])
async def test_a_bad_field_is_named(
    heddle: Serving, upstream: Upstream, fields: dict[str, Any], param: str
) -> None:
    got = await ask(heddle, IMAGES, **fields)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)
    assert upstream.heard == []
    assert await heddle.usage_events() == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "chat"}, "model"),
        ({"model": "say-each"}, "model"),
        ({"model": "draw-tokens", "output_format": "svg"}, "output_format"),
    ],
)
async def test_what_has_no_price_is_refused(
    heddle: Serving, upstream: Upstream, fields: dict[str, Any], param: str
) -> None:
    got = await ask(heddle, IMAGES, **fields)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (422, "model_not_priced", param)
    assert upstream.heard == []


async def test_a_provider_without_the_route_is_a_422(heddle: Serving, upstream: Upstream) -> None:
    got = await ask(heddle, IMAGES, model="eleven")
    assert (got.status_code, got.json()["error"]["param"]) == (422, "model")
    assert upstream.heard == []


# --- streams ----------------------------------------------------------------------------------------


def partial(**fields: Any) -> dict[str, Any]:
    return {"type": "image_generation.partial_image", "b64_json": "A" * 300_000, **fields}


def completed(**fields: Any) -> dict[str, Any]:
    return {"type": "image_generation.completed", "b64_json": "B" * 300_000, **fields}


async def test_partial_images_stream_through_and_the_last_event_is_billed(
    heddle: Serving, upstream: Upstream
) -> None:
    frames = events(partial(), partial(), completed(usage=USAGE))
    upstream.answer = stream(*frames)
    got = await ask(heddle, IMAGES, model="draw-tokens", stream=True, partial_images=2)
    assert got.content == b"".join(frames)
    assert got.headers["content-type"].startswith("text/event-stream")
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos, event.estimated) == ("ok", TOKENS_NANOS, False)


async def test_each_of_several_streamed_images_is_billed(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = stream(*events(completed(usage=USAGE), completed(usage=USAGE)))
    await ask(heddle, IMAGES, model="draw-tokens", stream=True, n=2)
    await settled(heddle)
    assert (await heddle.only_event()).cost_nanos == 2 * TOKENS_NANOS


async def test_a_provider_that_does_not_stream_is_billed_by_its_whole_answer(
    heddle: Serving, upstream: Upstream
) -> None:
    upstream.answer = whole(answer(usage=USAGE))
    got = await ask(heddle, IMAGES, model="draw-tokens", stream=True)
    assert got.json()["usage"] == USAGE
    await settled(heddle)
    assert (await heddle.only_event()).cost_nanos == TOKENS_NANOS


async def test_a_stream_that_breaks_after_a_partial_image_is_billed_by_what_it_named(
    heddle: Serving, upstream: Upstream
) -> None:
    upstream.answer = stream(*events(partial(size="1024x1024", quality="low")), break_off=True)
    got = await ask(heddle, IMAGES, model="draw-tokens", stream=True, partial_images=2)
    assert b"upstream_broke_off" in got.content
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.estimated, event.output_tokens) == ("error", True, 272 + 100)


@pytest.mark.parametrize(
    ("model", "nanos"), [("draw-each", 40_000_000), ("draw-tokens", (272 + 100) * 32_000 + 2 * 5_000)]
)
async def test_a_client_that_leaves_pays_for_what_is_being_drawn(
    heddle: Serving, upstream: Upstream, model: str, nanos: int
) -> None:
    upstream.answer = stream(*events(partial(size="1024x1024", quality="low")), hang_s=20)
    body = {"model": model, "prompt": "a loom", "stream": True, "partial_images": 1}
    async with heddle.http.stream("POST", IMAGES, json=body) as got:
        async for _ in got.aiter_raw():
            break
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("cancelled", "client_disconnected")
    assert event.cost_nanos == nanos * 107 // 100 == await spent(heddle)
    await asyncio.wait_for(upstream.dropped.wait(), 5)


async def test_an_error_event_ends_in_status_error(heddle: Serving, upstream: Upstream) -> None:
    frames = events({"type": "error", "error": {"message": "no"}})
    upstream.answer = stream(*frames)
    got = await ask(heddle, IMAGES, model="draw-tokens", stream=True)
    assert got.content == b"".join(frames)
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("error", "upstream_error_event")


# --- tokens of an image -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "size", "quality", "tokens"),
    [
        ("gpt-image-1", "1024x1024", "low", 272),
        ("gpt-image-1-mini", "1536x1024", "medium", 1568),
        ("gpt-image-1.5", "auto", "high", 6240),
        ("gpt-image-1", None, None, 6240),
        ("gpt-image-1", "512x512", "auto", 6240),
        ("gpt-image-2", "1024x1024", "high", 7024),
        ("gpt-image-2", "1536x1024", "high", 5488),
        ("gpt-image-2", "1792x1024", "high", 5063),
        ("gpt-image-2", "3584x2048", "high", 12329),
        ("gpt-image-2", "3584x2048", "max", 4 * 12329),
    ],
)
def test_tokens_are_those_that_are_published(
    model: str, size: str | None, quality: str | None, tokens: int
) -> None:
    assert image_tokens(model, size, quality) == tokens


@pytest.mark.parametrize("size", ["1024x1024", "3840x2160", "2160x3840", "2880x2880", "1536x512"])
@pytest.mark.parametrize("quality", ["low", "medium", "high"])
def test_a_size_that_is_left_open_is_the_dearest(size: str, quality: str) -> None:
    assert image_tokens("gpt-image-2", size, quality) <= image_tokens("gpt-image-2", "auto", "auto")
