"""Transcriptions by Deepgram behind OpenAI's route."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.inference.media.rig import TRANSCRIPTIONS, ask, media_heddle, sound
from tests.gateway.inference.passing import spent
from tests.gateway.inference.upstream import PROVIDER_KEY, Upstream, whole
from tests.gateway.serving import Serving

WORDS = [
    {"word": "warp", "start": 0.1, "end": 0.5, "confidence": 0.9, "punctuated_word": "Warp"},
    {"word": "weft", "start": 3661.5, "end": 3662.25, "confidence": 0.9},
]
UTTERANCES = [
    {"start": 0.1, "end": 0.5, "transcript": "Warp.", "confidence": 1.0},
    {"start": 3661.5, "end": 3662.25, "transcript": "Weft.", "confidence": 0.5},
]


def answer(*, duration: Any = 2.5, channels: Any = 1, **results: Any) -> bytes:
    said = {"transcript": "Warp. Weft.", "confidence": 0.98, "words": WORDS}
    channel = {"alternatives": [said], "detected_language": "de"}
    return json.dumps(
        {
            "metadata": {"request_id": "r", "duration": duration, "channels": channels},
            "results": {"channels": [channel], "utterances": UTTERANCES, **results},
        }
    ).encode()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(whole(answer()))


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with media_heddle(upstream, tmp_path) as running:
        yield running


async def test_the_files_bytes_are_sent_and_each_part_of_a_second_is_billed(
    heddle: Serving, upstream: Upstream
) -> None:
    got = await ask(heddle, TRANSCRIPTIONS, model="deep", language="en", prompt="looms", temperature="0")
    assert got.json() == {"text": "Warp. Weft.", "usage": {"type": "duration", "seconds": 2.5}}
    assert got.headers["x-heddle-dropped"] == "prompt, temperature"
    heard = upstream.only
    assert heard.path == "/v1/listen"
    assert heard.query == "model=nova-3&smart_format=true&utterances=true&language=en"
    assert heard.headers["authorization"] == f"Token {PROVIDER_KEY}"
    assert (heard.headers["content-type"], heard.body) == ("audio/wav", sound())
    event = await heddle.only_event()
    assert event.cost_nanos == round(2.5 * 70_000 * 1.07) == await spent(heddle)
    assert not event.estimated


async def test_the_language_is_detected_where_none_is_named(heddle: Serving, upstream: Upstream) -> None:
    await ask(heddle, TRANSCRIPTIONS, model="deep")
    assert "detect_language=true" in upstream.only.query


async def test_several_languages_at_once_have_their_own_price(heddle: Serving) -> None:
    await ask(heddle, TRANSCRIPTIONS, model="deep", language="multi")
    assert (await heddle.only_event()).cost_nanos == round(2.5 * 90_000 * 1.07)


async def test_each_channel_is_billed(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(answer(channels=2))
    await ask(heddle, TRANSCRIPTIONS, model="deep")
    assert (await heddle.only_event()).cost_nanos == round(5 * 70_000 * 1.07)


@pytest.mark.parametrize("duration", [None, "x", -3, 1e99, True])
async def test_without_a_duration_the_files_length_is_billed(
    heddle: Serving, upstream: Upstream, duration: Any
) -> None:
    upstream.answer = whole(answer(duration=duration, channels=[]))
    await ask(heddle, TRANSCRIPTIONS, model="deep")
    event = await heddle.only_event()
    assert (event.cost_nanos, event.estimated) == (round(3 * 70_000 * 1.07), True)


FORMATTED = {
    "text": ("text/plain; charset=utf-8", "Warp. Weft.\n"),
    "srt": (
        "text/plain; charset=utf-8",
        "1\n00:00:00,100 --> 00:00:00,500\nWarp.\n\n2\n01:01:01,500 --> 01:01:02,250\nWeft.\n",
    ),
    "vtt": (
        "text/vtt; charset=utf-8",
        "WEBVTT\n\n00:00:00.100 --> 00:00:00.500\nWarp.\n\n01:01:01.500 --> 01:01:02.250\nWeft.\n",
    ),
}


@pytest.mark.parametrize("answer_format", FORMATTED)
async def test_it_is_answered_in_the_format_that_was_asked_for(heddle: Serving, answer_format: str) -> None:
    got = await ask(heddle, TRANSCRIPTIONS, model="deep", response_format=answer_format)
    assert (got.headers["content-type"], got.text) == FORMATTED[answer_format]
    assert (await heddle.only_event()).cost_nanos == round(2.5 * 70_000 * 1.07)


async def test_verbose_json_has_segments_and_words(heddle: Serving) -> None:
    form: dict[str, Any] = {
        "response_format": "verbose_json",
        "timestamp_granularities[]": ["word", "segment"],
    }
    got = (await ask(heddle, TRANSCRIPTIONS, model="deep", **form)).json()
    assert (got["text"], got["language"], got["duration"]) == ("Warp. Weft.", "de", 2.5)
    assert [(said["id"], said["start"], said["text"]) for said in got["segments"]] == [
        (0, 0.1, "Warp."),
        (1, 3661.5, "Weft."),
    ]
    assert got["segments"][1]["avg_logprob"] == pytest.approx(-0.693, abs=0.001)
    assert got["words"][0] == {"word": "Warp", "start": 0.1, "end": 0.5}


async def test_without_utterances_a_channel_is_a_segment(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(answer(utterances=[]))
    got = await ask(heddle, TRANSCRIPTIONS, model="deep", response_format="srt")
    assert got.text == "1\n00:00:00,100 --> 01:01:02,250\nWarp. Weft.\n"


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"stream": "true"}, "stream"), ({"response_format": "diarized_json"}, "response_format")],
)
async def test_what_it_cannot_do_is_a_422(
    heddle: Serving, upstream: Upstream, fields: dict[str, Any], param: str
) -> None:
    got = await ask(heddle, TRANSCRIPTIONS, model="deep", **fields)
    assert (got.status_code, got.json()["error"]["param"]) == (422, param)
    assert upstream.heard == []


async def test_its_refusal_is_told_in_openais_form_without_its_key(
    heddle: Serving, upstream: Upstream
) -> None:
    refusal = {"err_code": "Bad Request", "err_msg": f"corrupt data {PROVIDER_KEY}", "request_id": "r"}
    upstream.answer = whole(json.dumps(refusal).encode(), 400)
    got = await ask(heddle, TRANSCRIPTIONS, model="deep")
    assert (got.status_code, got.json()["error"]["message"]) == (400, "deep: corrupt data ***")
    assert (await heddle.only_event()).cost_nanos == 0


@pytest.mark.parametrize("body", [b"{}", b'{"results": 5}', b"[]"])
async def test_an_unreadable_answer_is_a_502(heddle: Serving, upstream: Upstream, body: bytes) -> None:
    upstream.answer = whole(body)
    got = await ask(heddle, TRANSCRIPTIONS, model="deep")
    assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_invalid")
    assert (await heddle.only_event()).cost_nanos == 0
