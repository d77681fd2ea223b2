"""What a caller hears, and pays, when a provider of another dialect gives no usable answer."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import Send

from gateway.inference import routing
from gateway.inference.providers import Provider
from tests.gateway.inference.crossing_rig import CROSSINGS, Crossing, crossing_over
from tests.gateway.inference.passing import (
    COST_NANOS,
    body_for,
    post_stream,
    settled,
)
from tests.gateway.inference.upstream import (
    MODELS,
    PROVIDER_KEY,
    Answer,
    silence,
    stream,
    whole,
)
from tests.gateway.serving import serving

STREAMED = pytest.mark.parametrize("streamed", [False, True])


# --- before the first byte ------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "dialect"), CROSSINGS)
async def test_a_provider_that_cannot_be_reached(tmp_path: Path, path: str, dialect: str) -> None:
    fake = Provider("fake", {dialect: "http://127.0.0.1:1"}, (PROVIDER_KEY,))
    async with serving(tmp_path, {"fake": fake}, models=MODELS, max_tries=1) as heddle:
        await Crossing(heddle, path, dialect).refused(503, "upstream_unreachable", streamed=False)


@STREAMED
async def test_a_silent_provider_times_out(impatient: Crossing, streamed: bool) -> None:
    impatient.upstream.answer = silence
    await impatient.refused(504, "upstream_timeout", streamed=streamed)
    await asyncio.wait_for(impatient.upstream.dropped.wait(), 5)


FAILURES = [
    (429, 429, "upstream_rate_limit"),
    (500, 502, "upstream_error"),
    (503, 503, "upstream_unavailable"),
]


@STREAMED
@pytest.mark.parametrize(("status", "shown", "code"), FAILURES)
async def test_a_failure_is_a_status(
    crossing: Crossing, status: int, shown: int, code: str, streamed: bool
) -> None:
    crossing.upstream.answer = whole(b"oops", status, headers={"retry-after": "60"})
    got = await crossing.refused(shown, code, streamed=streamed)
    assert got.headers["retry-after"] == "60"


@STREAMED
async def test_the_providers_complaint_is_told_in_the_clients_form(
    crossing: Crossing, streamed: bool
) -> None:
    told = {"type": "invalid_request_error", "message": f"too many for {PROVIDER_KEY}"}
    crossing.upstream.answer = whole(json.dumps({"type": "error", "error": told}).encode(), 400)
    got = await crossing.refused(400, "provider_refused", streamed=streamed)
    assert got.json()["error"]["message"] == "fake: too many for ***"


@pytest.mark.parametrize("body", [b"", b"<h1>no</h1>", b"[]", b'{"error": null}'])
async def test_a_complaint_without_words_is_told_in_ours(crossing: Crossing, body: bytes) -> None:
    crossing.upstream.answer = whole(body, 404, "text/html")
    got = await crossing.refused(404, "provider_refused", streamed=False)
    assert got.json()["error"]["message"] == "fake: fake refused the request"


@pytest.mark.parametrize(("path", "dialect"), CROSSINGS)
@STREAMED
async def test_a_passing_failure_is_tried_again_and_billed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, dialect: str, streamed: bool
) -> None:
    monkeypatch.setattr(routing, "FIRST_PAUSE_S", 0.01)
    async with crossing_over(tmp_path, path, dialect, max_tries=3) as crossing:
        good = stream(*crossing.frames) if streamed else whole(crossing.answer)
        crossing.upstream.answer = _in_turn(whole(b"oops", 500), whole(b"oops", 503), good)
        got = await crossing.post(stream=streamed)
        assert got.status_code == 200, got.text
        await settled(crossing.heddle)
        event = await crossing.heddle.only_event()
        assert (event.status, event.cost_nanos) == ("ok", COST_NANOS)
        assert len({heard.body for heard in crossing.upstream.heard}) == 1
        assert len(crossing.upstream.heard) == 3


def _in_turn(*answers: Answer) -> Answer:
    left: Iterator[Answer] = iter(answers)

    async def answer(send: Send) -> None:
        await next(left)(send)

    return answer


# --- whole answers that cannot be used ------------------------------------------------------------

UNUSABLE: list[tuple[str, bytes]] = [
    ("HTML", b"<html>"),
    ("empty", b""),
    ("a list", b"[1]"),
    ("an empty object", b"{}"),
    ("cut off", b'{"id":"1","content":[{"type":"te'),
    ("bad UTF-8", b'{"a": "\xff"}'),
    ("an error with status 200", b'{"type":"error","error":{"type":"api_error","message":"no"}}'),
    ("parts of the wrong kind", b'{"type":"message","content":"x","choices":{"a":1}}'),
]


@pytest.mark.parametrize("body", [u[1] for u in UNUSABLE], ids=[u[0] for u in UNUSABLE])
async def test_an_answer_that_cannot_be_read_is_a_502(crossing: Crossing, body: bytes) -> None:
    crossing.upstream.answer = whole(body)
    await crossing.refused(502, "upstream_invalid", streamed=False)


async def test_an_answer_that_is_cut_short_is_a_502(crossing: Crossing) -> None:
    half = crossing.answer[: len(crossing.answer) // 2]
    crossing.upstream.answer = stream(half, break_off=True, content_type="application/json")
    await crossing.refused(502, "upstream_broke_off", streamed=False)


async def test_an_answer_that_stalls_is_a_502(impatient: Crossing) -> None:
    half = impatient.answer[: len(impatient.answer) // 2]
    impatient.upstream.answer = stream(half, hang_s=20, content_type="application/json")
    await impatient.refused(502, "upstream_timeout", streamed=False)
    await asyncio.wait_for(impatient.upstream.dropped.wait(), 5)


async def test_a_wrong_content_type_does_not_matter(crossing: Crossing) -> None:
    crossing.upstream.answer = whole(crossing.answer, content_type="text/plain")
    got = await crossing.post()
    assert (got.status_code, got.headers["content-type"]) == (200, "application/json")
    assert (await crossing.heddle.only_event()).cost_nanos == COST_NANOS


async def test_a_stream_named_otherwise_is_read_all_the_same(crossing: Crossing) -> None:
    crossing.upstream.answer = stream(*crossing.frames, content_type="application/octet-stream")
    answer, _ = await post_stream(crossing.heddle, crossing.path, body_for(crossing.path))
    assert answer.headers["content-type"].startswith("text/event-stream")
    await settled(crossing.heddle)
    assert (await crossing.heddle.only_event()).cost_nanos == COST_NANOS
