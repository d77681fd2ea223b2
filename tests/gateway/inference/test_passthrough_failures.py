"""What a caller hears, and pays, when a provider misbehaves whose bytes pass through."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.inference.providers import Limits, Provider
from tests.gateway.inference.passing import (
    MESSAGES,
    OUTPUT,
    PATHS,
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
    MODELS,
    PROVIDER_KEY,
    Answer,
    Upstream,
    heddle_before,
    silence,
    stream,
    whole,
)
from tests.gateway.serving import Serving, serving

EVERY = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with heddle_before(upstream, tmp_path) as running:
        yield running


# --- failures before the first byte -----------------------------------------------------------------

COMPLAINT = b'{"type":"error","error":{"type":"invalid_request_error","message":"too  many \\u2713"}}'
FAILURES: list[tuple[str, Answer, int, str]] = [
    ("rejected key", whole(b"{}", 401), 502, "upstream_credentials"),
    ("no funds there", whole(b"{}", 402), 502, "upstream_credentials"),
    ("redirect", whole(b"", 302, headers={"location": "http://127.0.0.1:1/"}), 502, "upstream_error"),
    ("500", whole(b"oops", 500), 502, "upstream_error"),
    ("503", whole(b"oops", 503), 503, "upstream_unavailable"),
    ("504", whole(b"oops", 504), 504, "upstream_timeout"),
    ("429", whole(b"{}", 429), 429, "upstream_rate_limit"),
    ("529", whole(b"{}", 529), 529, "overloaded"),
    ("HTML 404", whole(b"<h1>not here</h1>", 404, "text/html"), 404, "provider_refused"),
    ("empty 400", whole(b"", 400), 400, "provider_refused"),
]


@EVERY
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("answer", "status", "code"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES]
)
async def test_a_failure_is_a_status_and_costs_nothing(
    heddle: Serving, upstream: Upstream, path: str, streamed: bool, answer: Answer, status: int, code: str
) -> None:
    upstream.answer = answer
    got = await heddle.http.post(path, json=body_for(path, stream=streamed))
    assert (got.status_code, got.json()["error"]["code"]) == (status, code)
    assert got.headers["content-type"] == "application/json"
    event = await heddle.only_event()
    assert (event.status, event.http_status, event.error_code) == ("error", status, code)
    assert (event.cost_nanos, await spent(heddle)) == (0, 0)


@EVERY
@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_providers_complaint_reaches_the_caller(
    heddle: Serving, upstream: Upstream, path: str, status: int
) -> None:
    upstream.answer = whole(COMPLAINT, status)
    got = await heddle.http.post(path, json=body_for(path))
    assert (got.status_code, got.content) == (status, COMPLAINT)
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.cost_nanos) == ("error", "provider_refused", 0)


@pytest.mark.parametrize("value", ["7", "Wed, 21 Oct 2026 07:28:00 GMT", "später"])
async def test_retry_after_is_passed_on(heddle: Serving, upstream: Upstream, value: str) -> None:
    upstream.answer = whole(b"{}", 429, headers={"retry-after": value})
    got = await heddle.http.post(MESSAGES, json=body_for(MESSAGES))
    assert got.status_code == 429
    assert got.headers.get("retry-after") == (value if value.isascii() else None)


@EVERY
async def test_a_provider_that_hangs_up_is_a_502(tmp_path: Path, path: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    fake = Provider("fake", {"anthropic": url, "openai-chat": url, "openai-responses": url}, (PROVIDER_KEY,))
    async with listening, serving(tmp_path, {"fake": fake}, models=MODELS) as heddle:
        got = await heddle.http.post(path, json=body_for(path))
        assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_no_answer")
        assert (await heddle.only_event()).cost_nanos == 0


UNUSABLE: list[tuple[str, Answer, str]] = [
    ("HTML", whole(b"<html>"), "upstream_invalid"),
    ("empty", whole(b""), "upstream_invalid"),
    ("a list", whole(b"[1]"), "upstream_invalid"),
    ("bad UTF-8", whole(b'{"a": "\xff"}'), "upstream_invalid"),
    ("too deep", whole(b'{"a":' + b"[" * 200_000), "upstream_invalid"),
    ("false gzip", whole(b"not gzip", headers={"content-encoding": "gzip"}), "upstream_broke_off"),
    ("cut short", stream(b'{"id":', break_off=True, content_type="application/json"), "upstream_broke_off"),
]


@EVERY
@pytest.mark.parametrize(("answer", "code"), [u[1:] for u in UNUSABLE], ids=[u[0] for u in UNUSABLE])
async def test_an_unusable_answer_is_a_502(
    heddle: Serving, upstream: Upstream, path: str, answer: Answer, code: str
) -> None:
    upstream.answer = answer
    got = await heddle.http.post(path, json=body_for(path))
    assert (got.status_code, got.json()["error"]["code"]) == (502, code)
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.cost_nanos) == ("error", code, 0)
    assert await spent(heddle) == 0


@pytest.mark.parametrize("usage", [None, {}, "much", {"input_tokens": -5, "output_tokens": 10**30}])
async def test_counts_that_are_not_to_be_believed_are_estimated(
    heddle: Serving, upstream: Upstream, usage: Any
) -> None:
    raw = json.dumps({**json.loads(answer_of(MESSAGES)), "usage": usage}).encode()
    upstream.answer = whole(raw)
    got = await heddle.http.post(MESSAGES, json=body_for(MESSAGES))
    assert got.content == raw
    event = await heddle.only_event()
    assert event.status == "ok"
    assert event.estimated is (usage != {})
    assert 0 <= event.cost_nanos == await spent(heddle) < 10_000_000


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(first_byte_timeout_s=0.3, idle_timeout_s=0.3)
    monkeypatch.setattr("tests.gateway.inference.upstream.LIMITS", limits)


@EVERY
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_silent_provider_times_out(
    impatient: None, heddle: Serving, upstream: Upstream, path: str, streamed: bool
) -> None:
    upstream.answer = silence
    got = await heddle.http.post(path, json=body_for(path, stream=streamed))
    assert (got.status_code, got.json()["error"]["code"]) == (504, "upstream_timeout")
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos) == ("error", 0)
    await asyncio.wait_for(upstream.dropped.wait(), 5)


# --- failures in the middle of a stream -------------------------------------------------------------


@EVERY
async def test_a_broken_stream_ends_in_an_error_and_is_billed_as_delivered(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = stream(*frames_of(path)[:6], break_off=True)
    answer, got = await post_stream(heddle, path, body_for(path))
    assert answer.status_code == 200
    assert error_in(got)["code"] == "upstream_broke_off"
    assert PROVIDER_KEY.encode() not in got
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.estimated) == ("error", "upstream_broke_off", True)
    assert 0 < event.output_tokens < OUTPUT
    assert event.input_tokens > 0
    assert await spent(heddle) == event.cost_nanos > 0


@EVERY
async def test_a_stream_that_merely_ends_too_early_is_broken_too(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = stream(*frames_of(path)[:5])
    _, got = await post_stream(heddle, path, body_for(path))
    assert error_in(got)["code"] == "upstream_broke_off"


async def test_an_error_event_stands_apart_from_a_frame_that_was_cut_off(
    heddle: Serving, upstream: Upstream
) -> None:
    frames = frames_of(MESSAGES)[:5]
    upstream.answer = stream(*frames, b'event: content_block_delta\ndata: {"type":"content_', break_off=True)
    _, got = await post_stream(heddle, MESSAGES, body_for(MESSAGES))
    assert events_in(got)[-2] == {"cut_off": '{"type":"content_'}
    assert error_in(got)["code"] == "upstream_broke_off"


@EVERY
async def test_a_stream_that_falls_silent_times_out(
    impatient: None, heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = stream(*frames_of(path)[:5], hang_s=20)
    _, got = await post_stream(heddle, path, body_for(path))
    assert error_in(got)["code"] == "upstream_timeout"
    await asyncio.wait_for(upstream.dropped.wait(), 5)
    await settled(heddle)
    assert (await heddle.only_event()).error_code == "upstream_timeout"


@EVERY
async def test_a_providers_own_error_event_passes_and_ends_in_status_error(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    error = b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    frames = [*frames_of(path)[:4], error]
    upstream.answer = stream(*frames)
    _, got = await post_stream(heddle, path, body_for(path, stream_options={"include_usage": True}))
    assert got == b"".join(frames)
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("error", "upstream_error_event")


@EVERY
async def test_junk_frames_pass_and_harm_nothing(heddle: Serving, upstream: Upstream, path: str) -> None:
    junk = [
        b"data: \xff\xfe\n\n",
        b'data: {"a":' + b"[" * 100_000 + b"\n\n",
        b": comment\n\n",
        b"data: 7\n\n",
        b"\n\n\n\n",
    ]
    frames = frames_of(path)
    upstream.answer = stream(frames[0], *junk, *frames[1:], pace_s=0)
    _, got = await post_stream(heddle, path, body_for(path, stream_options={"include_usage": True}))
    assert got == b"".join([frames[0], *junk, *frames[1:]])
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.output_tokens) == ("ok", OUTPUT)


@EVERY
async def test_a_client_that_leaves_stops_the_provider_and_pays_for_what_it_got(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = stream(*frames_of(path)[:6], hang_s=20)
    body = body_for(path, stream=True)
    async with heddle.http.stream("POST", path, json=body) as answer:
        got = b""
        async for chunk in answer.aiter_raw():
            got += chunk
            if b"warp" in got:
                break
    await asyncio.wait_for(upstream.dropped.wait(), 5)
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("cancelled", "client_disconnected")
    assert event.estimated
    assert await spent(heddle) == event.cost_nanos > 0


@EVERY
@pytest.mark.parametrize("said", [b"<html>", b"data: \n\n", b": only a comment\n\n"])
async def test_a_stream_that_delivered_nothing_costs_nothing(
    heddle: Serving, upstream: Upstream, path: str, said: bytes
) -> None:
    upstream.answer = stream(said)
    _, raw = await post_stream(heddle, path, body_for(path))
    assert b"upstream_broke_off" in raw
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos, event.input_tokens) == ("error", 0, 0)
