"""Transcriptions by OpenAI's shape: the file goes on as it came, and its seconds or tokens are billed."""

import json
from collections.abc import AsyncIterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.inference.media.rig import TRANSCRIPTIONS, ask, events, media_heddle, sound
from tests.gateway.inference.passing import settled, spent
from tests.gateway.inference.upstream import Heard, Upstream, stream, whole
from tests.gateway.serving import Serving

TOKENS = {
    "type": "tokens",
    "input_tokens": 34,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 30},
    "output_tokens": 5,
    "total_tokens": 39,
}
TOKENS_NANOS = (4 * 2_500 + 30 * 6_000 + 5 * 10_000) * 107 // 100


def answer(**fields: Any) -> bytes:
    return json.dumps({"text": "warp and weft", **fields}).encode()


def parts_of(heard: Heard) -> list[tuple[Message, bytes]]:
    """The form that the provider got."""
    head = f"content-type: {heard.headers['content-type']}\r\n\r\n".encode()
    form = BytesParser().parsebytes(head + heard.body)
    parts: list[tuple[Message, bytes]] = []
    for part in form.walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            parts.append((part, content))
    return parts


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(whole(answer(usage={"type": "duration", "seconds": 4})))


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with media_heddle(upstream, tmp_path) as running:
        yield running


async def test_the_form_goes_on_with_the_providers_name_for_the_model(
    heddle: Serving, upstream: Upstream
) -> None:
    file = ('we"ft\n.wav', sound(), "audio/wav")
    granularities: dict[str, Any] = {"timestamp_granularities[]": ["word", "segment"]}
    got = await ask(heddle, TRANSCRIPTIONS, file=file, language="de", prompt="Schussfäden", **granularities)
    assert (got.status_code, got.content) == (200, answer(usage={"type": "duration", "seconds": 4}))
    heard = upstream.only
    assert heard.path == "/v1/audio/transcriptions"
    assert heard.headers["content-length"] == str(len(heard.body))
    parts = parts_of(heard)
    fields = [(part.get_param("name", header="content-disposition"), body) for part, body in parts]
    assert fields == [
        ("model", b"whisper-1"),
        ("language", b"de"),
        ("prompt", "Schussfäden".encode()),
        ("timestamp_granularities[]", b"word"),
        ("timestamp_granularities[]", b"segment"),
        ("file", sound()),
    ]
    assert (parts[-1][0].get_content_type(), parts[-1][0].get_filename()) == ("audio/wav", "we%22ft%0A.wav")
    event = await heddle.only_event()
    assert event.cost_nanos == 4 * 100_000 * 107 // 100 == await spent(heddle)


async def test_a_large_file_arrives_byte_for_byte(heddle: Serving, upstream: Upstream) -> None:
    large = sound(200)
    assert len(large) > 6_000_000
    assert (await ask(heddle, TRANSCRIPTIONS, file=("a.wav", large, "audio/wav"))).status_code == 200
    assert parts_of(upstream.only)[-1][1] == large


@pytest.mark.parametrize(
    ("fields", "seconds", "estimated"),
    [
        ({"usage": {"type": "duration", "seconds": 4}}, "4", False),
        ({"usage": {"type": "duration", "seconds": 4.25}}, "4.25", False),
        ({"usage": {"prompt_audio_seconds": 7, "prompt_tokens": 4, "completion_tokens": 9}}, "7", False),
        ({"duration": 2.5}, "2.5", False),
        ({"duration": "2.5"}, "2.5", False),
        ({}, "3", True),  # the file's own length
        ({"usage": {"type": "duration", "seconds": -1}}, "3", True),
        ({"usage": {"type": "duration", "seconds": 1e300}}, "3", True),
        ({"usage": [], "duration": True}, "3", True),
    ],
)
async def test_seconds_are_the_providers_else_the_files(
    heddle: Serving, upstream: Upstream, fields: dict[str, Any], seconds: str, estimated: bool
) -> None:
    upstream.answer = whole(answer(**fields))
    await ask(heddle, TRANSCRIPTIONS)
    event = await heddle.only_event()
    assert event.cost_nanos == round(float(seconds) * 100_000 * 1.07)
    billed = {line["unit"]: line["count"] for line in event.breakdown if "count" in line}
    assert billed["audio_second"] == float(seconds)
    assert event.estimated is estimated


async def test_tokens_are_billed_by_their_medium(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(answer(usage=TOKENS))
    await ask(heddle, TRANSCRIPTIONS, model="hear-tokens")
    event = await heddle.only_event()
    assert (event.cost_nanos, event.input_tokens, event.output_tokens) == (TOKENS_NANOS, 34, 5)


async def test_tokens_that_nobody_told_are_estimated_from_the_files_length(
    heddle: Serving, upstream: Upstream
) -> None:
    upstream.answer = whole(answer())
    await ask(heddle, TRANSCRIPTIONS, model="hear-tokens", prompt="12345678")
    event = await heddle.only_event()
    assert (event.estimated, event.input_tokens, event.output_tokens) == (True, 32, 4)
    assert event.cost_nanos == (2 * 2_500 + 30 * 6_000 + 4 * 10_000) * 107 // 100


@pytest.mark.parametrize("answer_format", ["text", "srt", "vtt"])
async def test_a_format_without_usage_is_billed_by_the_files_length(
    heddle: Serving, upstream: Upstream, answer_format: str
) -> None:
    upstream.answer = whole(b"warp and weft\n", content_type="text/plain")
    got = await ask(heddle, TRANSCRIPTIONS, response_format=answer_format)
    assert (got.content, got.headers["content-type"]) == (b"warp and weft\n", "text/plain")
    event = await heddle.only_event()
    assert (event.cost_nanos, event.estimated) == (3 * 100_000 * 107 // 100, True)


async def test_a_file_whose_length_nobody_knows_is_billed_by_its_size(
    heddle: Serving, upstream: Upstream
) -> None:
    upstream.answer = whole(answer())
    await ask(heddle, TRANSCRIPTIONS, file=("a.bin", b"\x01\x02" * 40_000, "application/x-thing"))
    event = await heddle.only_event()
    assert (event.cost_nanos, event.estimated) == (10 * 100_000 * 107 // 100, True)


async def test_a_providers_least_length_is_billed(heddle: Serving, upstream: Upstream) -> None:
    for fields in ({}, {"duration": 3}, {"duration": 12}):
        upstream.answer = whole(answer(**fields))
        assert (await ask(heddle, TRANSCRIPTIONS, model="hear-short")).status_code == 200
    costs = [event.cost_nanos for event in await heddle.usage_events()]
    assert costs == [seconds * 100_000 * 107 // 100 for seconds in (10, 10, 12)]


async def test_the_hold_covers_what_the_file_can_be(heddle: Serving, upstream: Upstream) -> None:
    key = (await heddle.mint(max_spend_usd=0.001))["secret"]  # nine seconds
    short = await ask(heddle, TRANSCRIPTIONS, key=key)
    assert short.status_code == 200
    for file in (sound(30), b"\x01\x02" * 10_000):  # the latter may be 27 seconds
        refused = await ask(heddle, TRANSCRIPTIONS, key=key, file=("a.wav", file, "audio/wav"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "key_cap_reached")
    assert len(upstream.heard) == 1


# --- streams ----------------------------------------------------------------------------------------

DELTAS = events(
    {"type": "transcript.text.delta", "delta": "warp "}, {"type": "transcript.text.delta", "delta": "weft"}
)
DONE = events({"type": "transcript.text.done", "text": "warp weft", "usage": TOKENS})


async def test_a_stream_passes_and_its_last_event_is_billed(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = stream(*DELTAS, *DONE)
    got = await ask(heddle, TRANSCRIPTIONS, model="hear-tokens", stream="true")
    assert got.content == b"".join([*DELTAS, *DONE])
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos, event.estimated) == ("ok", TOKENS_NANOS, False)


async def test_a_model_that_ignores_stream_is_billed_by_its_whole_answer(
    heddle: Serving, upstream: Upstream
) -> None:
    got = await ask(heddle, TRANSCRIPTIONS, stream="true")
    assert got.json()["text"] == "warp and weft"
    await settled(heddle)
    assert (await heddle.only_event()).cost_nanos == 4 * 100_000 * 107 // 100


@pytest.mark.parametrize(
    ("model", "nanos"),
    [("hear-seconds", 3 * 100_000), ("hear-tokens", 30 * 6_000 + 3 * 10_000)],
)
async def test_a_stream_that_breaks_is_billed_by_the_files_length(
    heddle: Serving, upstream: Upstream, model: str, nanos: int
) -> None:
    upstream.answer = stream(*DELTAS, break_off=True)
    got = await ask(heddle, TRANSCRIPTIONS, model=model, stream="true")
    assert b"upstream_broke_off" in got.content
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.estimated, event.cost_nanos) == ("error", True, nanos * 107 // 100)


async def test_a_client_that_leaves_its_stream_pays_for_the_file(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = stream(*DELTAS, hang_s=20)
    form = {"model": "hear-seconds", "stream": "true"}
    file = {"file": ("a.wav", sound(), "audio/wav")}
    async with heddle.http.stream("POST", TRANSCRIPTIONS, data=form, files=file) as got:
        async for _ in got.aiter_raw():
            break
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos) == ("cancelled", 3 * 100_000 * 107 // 100)


# --- what cannot be served --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": "x" * 201}, "model"),
        ({"file": None}, "file"),
        ({"file": ("a.wav", b"", "audio/wav")}, "file"),
        ({"response_format": "docx"}, "response_format"),
        ({"stream": "perhaps"}, "stream"),
        ({"prompt": "x" * 100_001}, "prompt"),
    ],
)
async def test_a_bad_field_is_named(
    heddle: Serving, upstream: Upstream, fields: dict[str, Any], param: str
) -> None:
    if fields.get("file", "") is None:  # a form all the same
        got = await heddle.http.post(TRANSCRIPTIONS, files={"model": (None, "hear-seconds")})
    else:
        got = await ask(heddle, TRANSCRIPTIONS, **fields)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)
    assert upstream.heard == []
    assert await heddle.usage_events() == []


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"model": "hear-seconds"}'),
        ("application/x-www-form-urlencoded", b"model=hear-seconds"),
        ("multipart/form-data", b"--b\r\n"),
        (FORM, b"not a form"),
        (FORM, b"--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        (FORM, b"--b\r\ncontent-disposition: form-data; name=model\r\n\r\n" + b"x" * 5_000_000),
        (FORM, b'--b\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\nx\r\n' * 2),
    ],
)
async def test_what_is_no_form_is_a_400(
    heddle: Serving, upstream: Upstream, content_type: str, body: bytes
) -> None:
    got = await heddle.http.post(TRANSCRIPTIONS, content=body, headers={"content-type": content_type})
    assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_multipart"), got.text
    assert upstream.heard == []


async def test_a_form_that_ends_too_early_is_a_400(heddle: Serving, upstream: Upstream) -> None:
    cut = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhalf of it'
    got = await heddle.http.post(TRANSCRIPTIONS, content=cut, headers={"content-type": FORM})
    assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")
    assert upstream.heard == []


@pytest.mark.parametrize("declared", [True, False])
async def test_a_file_that_is_too_large_is_a_413(tmp_path: Path, upstream: Upstream, declared: bool) -> None:
    async with media_heddle(upstream, tmp_path, max_upload_bytes=50_000) as heddle:
        body = b"--b\r\n" + b"x" * 60_000

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        content = body if declared else pieces()
        got = await heddle.http.post(TRANSCRIPTIONS, content=content, headers={"content-type": FORM})
        assert (got.status_code, got.json()["error"]["code"]) == (413, "too_large")
        assert upstream.heard == []


@pytest.mark.parametrize("model", ["chat", "say-each", "draw-each"])
async def test_a_model_that_does_not_listen_is_a_422(heddle: Serving, upstream: Upstream, model: str) -> None:
    got = await ask(heddle, TRANSCRIPTIONS, model=model)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (422, "model_not_priced", "model")
    assert upstream.heard == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b"<html>", b'{"text": 5}', b""])
async def test_an_answer_that_is_no_transcription_is_a_502(
    heddle: Serving, upstream: Upstream, body: bytes
) -> None:
    upstream.answer = whole(body)
    got = await ask(heddle, TRANSCRIPTIONS)
    assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_invalid")
    assert (await heddle.only_event()).cost_nanos == 0
