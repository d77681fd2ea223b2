"""Speech by OpenAI's shape: sound as it comes, billed by characters or by the tokens in its events."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.inference.media.rig import SPEECH, ask, events, media_heddle, sound, spoken
from tests.gateway.inference.passing import settled, spent
from tests.gateway.inference.upstream import Upstream, stream, whole
from tests.gateway.serving import Serving

USAGE = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
TOKENS_NANOS = (14 * 600 + 101 * 12_000) * 107 // 100


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(stream(b"ID3-one", b"-two", content_type="audio/mpeg"))


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with media_heddle(upstream, tmp_path) as running:
        yield running


async def test_sound_passes_and_its_characters_are_billed(heddle: Serving, upstream: Upstream) -> None:
    got = await ask(heddle, SPEECH, input="Schönes Wetter 🌤", speed=1.5, response_format="mp3")
    assert (got.status_code, got.content) == (200, b"ID3-one-two")
    assert got.headers["content-type"] == "audio/mpeg"
    assert upstream.only.path == "/v1/audio/speech"
    assert json.loads(upstream.only.body) == {
        "model": "tts-1",
        "input": "Schönes Wetter 🌤",
        "voice": "alloy",
        "speed": 1.5,
        "response_format": "mp3",
    }
    await settled(heddle)
    event = await heddle.only_event()
    assert event.cost_nanos == 16 * 15_000 * 107 // 100 == await spent(heddle)
    assert event.breakdown[0]["unit"] == "input_character"
    assert not event.estimated


async def test_sound_arrives_before_it_is_all_there(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = stream(b"first", b"second", content_type="audio/mpeg", hang_s=0.2, pace_s=1)
    body = {"model": "say-each", "input": "Hello", "voice": "alloy"}
    async with asyncio.timeout(10), heddle.http.stream("POST", SPEECH, json=body) as got:
        chunks = got.aiter_raw()
        async with asyncio.timeout(0.9):
            assert await anext(chunks) == b"first"
        assert b"".join([chunk async for chunk in chunks]) == b"second"


async def test_tokens_are_read_from_events_and_the_client_gets_the_sound_in_them(
    heddle: Serving, upstream: Upstream
) -> None:
    upstream.answer = stream(*spoken(b"\xff\xf3one", b"two", usage=USAGE))
    got = await ask(heddle, SPEECH, model="say-tokens", instructions="Softly")
    assert (got.content, got.headers["content-type"]) == (b"\xff\xf3onetwo", "audio/mpeg")
    assert json.loads(upstream.only.body)["stream_format"] == "sse"
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.cost_nanos, event.estimated) == (TOKENS_NANOS, False)
    assert (event.input_tokens, event.output_tokens) == (14, 101)


async def test_a_client_that_wants_events_gets_them_byte_for_byte(
    heddle: Serving, upstream: Upstream
) -> None:
    frames = spoken(b"one", b"two", usage=USAGE)
    upstream.answer = stream(*frames)
    got = await ask(heddle, SPEECH, model="say-tokens", stream_format="sse")
    assert got.content == b"".join(frames)
    assert got.headers["content-type"].startswith("text/event-stream")
    await settled(heddle)
    assert (await heddle.only_event()).cost_nanos == TOKENS_NANOS


@pytest.mark.parametrize(
    ("format_name", "body", "tokens"),
    [
        ("wav", sound(3.0, 24_000), 61),  # 44 bytes of header are a millisecond
        ("pcm", b"\0" * 96_000, 40),
        ("opus", b"OggS" * 50, 15),  # of 11 characters
    ],
)
async def test_tokens_of_plain_sound_are_estimated_by_its_length(
    heddle: Serving, upstream: Upstream, format_name: str, body: bytes, tokens: int
) -> None:
    upstream.answer = whole(body, content_type="audio/x")
    await ask(heddle, SPEECH, model="say-tokens", response_format=format_name)
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.estimated, event.output_tokens) == ("ok", True, tokens)
    assert event.input_tokens == 3
    assert event.cost_nanos > 0


async def test_events_without_usage_are_estimated_by_their_sound(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = stream(*spoken(b"\0" * 48_000, usage=None))
    await ask(heddle, SPEECH, model="say-tokens", response_format="pcm")
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.estimated, event.output_tokens) == (True, 20)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "input"),
    ({"input": ""}, "input"),
    ({"input": 5}, "input"),
    ({"input": "x" * 40_001}, "input"),
    ({"model": ""}, "model"),
    ({"voice": None}, "voice"),
    ({"voice": {"name": "x"}}, "voice"),
    ({"response_format": "midi"}, "response_format"),
    ({"stream_format": "events"}, "stream_format"),
    ({"speed": 5}, "speed"),
    ({"speed": "fast"}, "speed"),
    ({"instructions": 1}, "instructions"),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=[f"{param}-{n}" for n, (_, param) in enumerate(BAD)])
async def test_a_bad_field_is_named(
    heddle: Serving, upstream: Upstream, fields: dict[str, Any], param: str
) -> None:
    got = await ask(heddle, SPEECH, **fields)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)
    assert upstream.heard == []


@pytest.mark.parametrize("model", ["chat", "draw-each", "hear-seconds"])
async def test_a_model_that_does_not_speak_is_a_422(heddle: Serving, upstream: Upstream, model: str) -> None:
    got = await ask(heddle, SPEECH, model=model)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (422, "model_not_priced", "model")
    assert "input_character" in error["message"]
    assert upstream.heard == []


async def test_a_model_that_speaks_holds_no_conversation(heddle: Serving) -> None:
    for model in ("say-each", "eleven"):
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        got = await heddle.http.post("/v1/chat/completions", json=body)
        assert (got.status_code, got.json()["error"]["param"]) == (422, "model")


# --- what breaks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["say-each", "say-tokens"])
async def test_a_client_that_leaves_stops_the_provider_and_pays(
    heddle: Serving, upstream: Upstream, model: str
) -> None:
    frames = [b"\0" * 48_000] if model == "say-each" else spoken(b"\0" * 48_000)[:1]
    kind = "audio/pcm" if model == "say-each" else "text/event-stream"
    upstream.answer = stream(*frames, hang_s=20, content_type=kind)
    body = {"model": model, "input": "Hello there", "voice": "alloy", "response_format": "pcm"}
    async with heddle.http.stream("POST", SPEECH, json=body) as got:
        async for _ in got.aiter_raw():
            break
    await asyncio.wait_for(upstream.dropped.wait(), 5)
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("cancelled", "client_disconnected")
    by_tokens = (3 * 600 + 20 * 12_000) * 107 // 100  # one second was spoken
    assert event.cost_nanos == (11 * 15_000 * 107 // 100 if model == "say-each" else by_tokens)
    assert event.estimated is (model == "say-tokens")


async def test_a_client_that_leaves_before_the_first_byte_pays_for_the_characters(
    heddle: Serving, upstream: Upstream
) -> None:
    upstream.answer = stream(hang_s=20, content_type="audio/mpeg")
    body = {"model": "say-each", "input": "Hello there", "voice": "alloy"}
    with pytest.raises(httpx.ReadTimeout):
        await heddle.http.post(SPEECH, json=body, timeout=0.5)
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos) == ("cancelled", 11 * 15_000 * 107 // 100)


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("say-each", stream(b"ID3-one", break_off=True, content_type="audio/mpeg")),
        ("say-tokens", stream(*spoken(b"one")[:1], break_off=True)),
        ("say-tokens", stream(*spoken(b"one")[:1])),
        ("say-tokens", stream(*spoken(b"one")[:1], *events({"type": "error", "error": {"message": "no"}}))),
        ("say-tokens", stream(*spoken(b"one")[:1], *events({"type": "speech.audio.delta", "audio": "%"}))),
    ],
    ids=["sound", "events", "ended early", "error event", "not base64"],
)
async def test_sound_that_breaks_off_is_not_passed_off_as_whole(
    heddle: Serving, upstream: Upstream, model: str, answer: Any
) -> None:
    upstream.answer = answer
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(heddle, SPEECH, model=model)
    await settled(heddle)
    event = await heddle.only_event()
    assert event.status == "error"
    assert await spent(heddle) == event.cost_nanos > 0


@pytest.mark.parametrize(
    ("model", "answer", "code"),
    [
        ("say-each", stream(break_off=True, content_type="audio/mpeg"), "upstream_broke_off"),
        ("say-each", whole(b"", content_type="audio/mpeg"), "upstream_broke_off"),
        ("say-each", whole(b'{"audio_data": "AAAA"}'), "upstream_invalid"),
        ("say-each", whole(b"<html>", content_type="text/html"), "upstream_invalid"),
        ("say-tokens", stream(), "upstream_broke_off"),
        ("say-tokens", stream(*events({"type": "error", "error": {"message": "no"}})), "upstream_broke_off"),
    ],
)
async def test_what_breaks_before_the_first_byte_is_a_502_and_costs_nothing(
    heddle: Serving, upstream: Upstream, model: str, answer: Any, code: str
) -> None:
    upstream.answer = answer
    got = await ask(heddle, SPEECH, model=model)
    assert (got.status_code, got.json()["error"]["code"]) == (502, code)
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.cost_nanos) == ("error", code, 0)
    assert await spent(heddle) == 0


async def test_a_client_of_events_is_told_in_them_that_they_broke(
    heddle: Serving, upstream: Upstream
) -> None:
    upstream.answer = stream(*spoken(b"one")[:1], break_off=True)
    got = await ask(heddle, SPEECH, model="say-tokens", stream_format="sse")
    assert b'"code":"upstream_broke_off"' in got.content
    await settled(heddle)
    assert (await heddle.only_event()).status == "error"
