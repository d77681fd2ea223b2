"""What a caller of the routes for media hears, and pays, when something goes wrong: the same on all three."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Send

from gateway.inference import routing
from gateway.inference.providers import Limits, Provider
from gateway.settings import AliasSettings, AliasTarget
from kit.breaker import FAILURES_TO_OPEN
from tests.gateway.inference.media.rig import (
    COST_NANOS,
    IMAGES,
    MODELS,
    PATHS,
    SPEECH,
    TRANSCRIPTIONS,
    ask,
    good,
    media_heddle,
    sound,
)
from tests.gateway.inference.passing import settled, spent
from tests.gateway.inference.upstream import Answer, Upstream, silence, stream, whole
from tests.gateway.serving import Serving, serving

EVERY = pytest.mark.parametrize("path", PATHS)
MODEL = {IMAGES: "draw-each", SPEECH: "say-each", TRANSCRIPTIONS: "hear-seconds"}
OTHER = {IMAGES: "draw-tokens", SPEECH: "eleven", TRANSCRIPTIONS: "deep"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with media_heddle(upstream, tmp_path) as running:
        yield running


def in_turn(*answers: Answer) -> Answer:
    waiting = list(answers)

    async def answer(send: Send) -> None:
        await waiting.pop(0)(send)

    return answer


@EVERY
async def test_what_goes_well_is_billed_exactly(heddle: Serving, upstream: Upstream, path: str) -> None:
    upstream.answer = good(path)
    assert (await ask(heddle, path)).status_code == 200
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.estimated, event.cost_nanos) == ("ok", False, COST_NANOS[path])
    assert await spent(heddle) == COST_NANOS[path]


FAILURES: list[tuple[str, Answer, int, str]] = [
    ("rejected key", whole(b"{}", 401), 502, "upstream_credentials"),
    ("500", whole(b"oops", 500), 502, "upstream_error"),
    ("503", whole(b"oops", 503), 503, "upstream_unavailable"),
    ("429", whole(b"{}", 429), 429, "upstream_rate_limit"),
    ("HTML 404", whole(b"<h1>not here</h1>", 404, "text/html"), 404, "provider_refused"),
]


@EVERY
@pytest.mark.parametrize(
    ("answer", "status", "code"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES]
)
async def test_a_failure_is_a_status_in_openais_form_and_costs_nothing(
    heddle: Serving, upstream: Upstream, path: str, answer: Answer, status: int, code: str
) -> None:
    upstream.answer = answer
    got = await ask(heddle, path)
    assert (got.status_code, got.json()["error"]["code"]) == (status, code)
    assert set(got.json()) == {"error"}
    event = await heddle.only_event()
    assert (event.status, event.http_status, event.error_code) == ("error", status, code)
    assert (event.cost_nanos, await spent(heddle)) == (0, 0)


@EVERY
async def test_a_providers_complaint_reaches_the_caller(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    complaint = b'{"error":{"message":"input  too long","type":"invalid_request_error","param":"input"}}'
    upstream.answer = whole(complaint, 400)
    got = await ask(heddle, path)
    assert (got.status_code, got.content) == (400, complaint)
    assert (await heddle.only_event()).cost_nanos == 0


@EVERY
async def test_a_failure_that_passes_is_tried_again_with_all_of_the_body(
    tmp_path: Path, upstream: Upstream, path: str
) -> None:
    async with media_heddle(upstream, tmp_path, max_tries=3) as heddle:
        upstream.answer = in_turn(whole(b"", 500), whole(b"", 503), good(path))
        assert (await ask(heddle, path)).status_code == 200
        await settled(heddle)
        first, second, third = upstream.heard
        assert first.body == second.body == third.body != b""
        assert (await heddle.only_event()).cost_nanos == COST_NANOS[path]


@EVERY
async def test_a_provider_that_stalls_times_out(tmp_path: Path, upstream: Upstream, path: str) -> None:
    async with media_heddle(upstream, tmp_path, limits=Limits(first_byte_timeout_s=0.3)) as heddle:
        upstream.answer = silence
        got = await ask(heddle, path)
        assert (got.status_code, got.json()["error"]["code"]) == (504, "upstream_timeout")
        assert (await heddle.only_event()).cost_nanos == 0
        await asyncio.wait_for(upstream.dropped.wait(), 5)


@pytest.mark.parametrize("path", [IMAGES, TRANSCRIPTIONS])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (stream(b'{"data": [', break_off=True, content_type="application/json"), "upstream_broke_off"),
        (stream(b'{"data": [', hang_s=20, content_type="application/json"), "upstream_timeout"),
        (whole(b"[1]"), "upstream_invalid"),
        (whole(b'{"a": "\xff"}'), "upstream_invalid"),
    ],
    ids=["cut short", "falls silent", "a list", "bad UTF-8"],
)
async def test_an_unusable_answer_is_a_502_and_costs_nothing(
    tmp_path: Path, upstream: Upstream, path: str, answer: Answer, code: str
) -> None:
    async with media_heddle(upstream, tmp_path, limits=Limits(idle_timeout_s=0.3)) as heddle:
        upstream.answer = answer
        got = await ask(heddle, path)
        assert (got.status_code, got.json()["error"]["code"]) == (502, code)
        event = await heddle.only_event()
        assert (event.status, event.cost_nanos) == ("error", 0)


async def test_speech_that_falls_silent_is_cut_off(tmp_path: Path, upstream: Upstream) -> None:
    async with media_heddle(upstream, tmp_path, limits=Limits(idle_timeout_s=0.3)) as heddle:
        upstream.answer = stream(b"ID3", hang_s=20, content_type="audio/mpeg")
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(heddle, SPEECH)
        await settled(heddle)
        event = await heddle.only_event()
        assert (event.status, event.error_code) == ("error", "upstream_timeout")


@pytest.mark.parametrize("path", [IMAGES, TRANSCRIPTIONS])
async def test_a_client_that_leaves_a_whole_answer_pays_for_it(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    """It cannot be called off: the provider has the request, and bills it."""
    waited = asyncio.Event()

    async def later(send: Send) -> None:
        await waited.wait()
        await good(path)(send)

    upstream.answer = later
    asking = asyncio.create_task(ask(heddle, path))
    while not upstream.heard:
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    waited.set()
    await settled(heddle)
    assert (await heddle.only_event()).cost_nanos == COST_NANOS[path]


async def test_a_client_that_leaves_in_the_middle_of_its_upload_costs_nothing(
    heddle: Serving, upstream: Upstream
) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhalf'
        raise ConnectionError("gone")

    headers = {"content-type": "multipart/form-data; boundary=b"}
    with pytest.raises(ConnectionError):
        await heddle.http.post(TRANSCRIPTIONS, content=half(), headers=headers)
    await asyncio.sleep(0.1)
    assert (upstream.heard, await heddle.usage_events(), await heddle.holds()) == ([], [], [])


async def test_a_provider_that_refuses_an_upload_before_its_end_is_heard(tmp_path: Path) -> None:
    """Some answer 413 as soon as they have seen the head, and close."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"error": {"message": "too large"}}'
        head = b"HTTP/1.1 413 Content Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        await asyncio.sleep(0.5)
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    fake = Provider("fake", {"openai-chat": url}, ("k",))
    models = {"hear-seconds": MODELS["hear-seconds"]}
    async with listening, serving(tmp_path, {"fake": fake}, models=models, max_tries=1) as heddle:
        got = await ask(heddle, TRANSCRIPTIONS, file=("a.wav", sound(300), "audio/wav"))
        assert (got.status_code, got.json()["error"]["message"]) == (413, "too large")
        assert (await heddle.only_event()).cost_nanos == 0


# --- routing, keys ----------------------------------------------------------------------------------


@EVERY
async def test_the_next_model_answers_when_the_first_cannot(
    tmp_path: Path, upstream: Upstream, path: str
) -> None:
    targets = (AliasTarget(model=MODEL[path]), AliasTarget(model=OTHER[path]))
    async with media_heddle(upstream, tmp_path, aliases={"any": AliasSettings(targets=targets)}) as heddle:
        deepgram = b'{"metadata": {"duration": 3}, "results": {"channels": []}}'
        second = whole(deepgram) if path == TRANSCRIPTIONS else good(path)
        upstream.answer = in_turn(whole(b"", 500), second)
        assert (await ask(heddle, path, model="any")).status_code == 200
        await settled(heddle)
        event = await heddle.only_event()
        assert (event.model, event.status) == (OTHER[path], "ok")
        assert event.cost_nanos > 0


async def test_an_alias_passes_over_models_that_cannot_serve(tmp_path: Path, upstream: Upstream) -> None:
    targets = tuple(AliasTarget(model=model) for model in ("chat", "draw-each", "say-each"))
    async with media_heddle(upstream, tmp_path, aliases={"any": AliasSettings(targets=targets)}) as heddle:
        upstream.answer = good(SPEECH)
        assert (await ask(heddle, SPEECH, model="any")).status_code == 200
        assert json.loads(upstream.only.body)["model"] == "tts-1"


@EVERY
async def test_what_keeps_failing_is_not_asked_any_more(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = whole(b"", 500)
    for _ in range(FAILURES_TO_OPEN):
        assert (await ask(heddle, path)).status_code == 502
    got = await ask(heddle, path)
    assert (got.status_code, got.json()["error"]["code"]) == (503, "circuit_open")
    assert len(upstream.heard) == FAILURES_TO_OPEN


@EVERY
async def test_a_key_may_only_use_its_models(heddle: Serving, upstream: Upstream, path: str) -> None:
    key = (await heddle.mint(models=["chat"]))["secret"]
    got = await ask(heddle, path, key=key)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (403, "model_not_allowed", "model")
    assert upstream.heard == []


@EVERY
async def test_an_unknown_model_is_a_404(heddle: Serving, upstream: Upstream, path: str) -> None:
    got = await ask(heddle, path, model="no-such")
    assert (got.status_code, got.json()["error"]["code"]) == (404, "model_not_found")


@EVERY
async def test_an_empty_wallet_sends_nothing(tmp_path: Path, upstream: Upstream, path: str) -> None:
    async with media_heddle(upstream, tmp_path, starter_credit_usd=0) as heddle:
        got = await ask(heddle, path)
        assert (got.status_code, got.json()["error"]["code"]) == (402, "wallet_empty")
        assert upstream.heard == []


@EVERY
async def test_a_caller_without_a_key_is_told_so(heddle: Serving, path: str) -> None:
    async with httpx.AsyncClient(base_url=heddle.base_url) as stranger:
        got = await stranger.post(path, json={})
    assert (got.status_code, got.json()["error"]["code"]) == (401, "missing_key")


@pytest.mark.parametrize("path", [IMAGES, SPEECH])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"'])
async def test_a_body_that_is_no_object_is_a_400(heddle: Serving, path: str, body: bytes) -> None:
    got = await heddle.http.post(path, content=body)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("path", [IMAGES, SPEECH])
async def test_a_body_that_is_too_large_is_a_413(tmp_path: Path, upstream: Upstream, path: str) -> None:
    async with media_heddle(upstream, tmp_path, max_request_bytes=2_000) as heddle:
        got = await ask(heddle, path, extra="x" * 3_000)
        assert (got.status_code, got.json()["error"]["code"]) == (413, "too_large")
