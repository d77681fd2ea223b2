"""What passes through unchanged, what is kept back, and what happens when a provider misbehaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.inference.providers import Limits, Provider
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
from tests.gateway.inference.wire import anthropic as anthropic_wire
from tests.gateway.inference.wire import openai_chat as openai_wire
from tests.gateway.inference.wire.reply import Reply
from tests.gateway.serving import ADMIN_KEY, Serving, serving

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"
BOTH = pytest.mark.parametrize("path", [MESSAGES, CHAT])
INPUT, OUTPUT = 100, 40
COST_NANOS = (INPUT * 1000 + OUTPUT * 5000) * 107 // 100
REPLY = Reply("Heddles lift the warp. " * 3, input_tokens=INPUT, output_tokens=OUTPUT)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with heddle_before(upstream, tmp_path) as running:
        yield running


def _body(**more: Any) -> dict[str, Any]:
    return {
        "model": "fake-model",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "hello"}],
        **more,
    }


def _frames(path: str, *, include_usage: bool = True) -> list[bytes]:
    if path == MESSAGES:
        return list(anthropic_wire.stream(REPLY, "fake-model", "1"))
    return list(openai_wire.stream(REPLY, "fake-model", "1", include_usage=include_usage))


def _answer_json(path: str) -> bytes:
    whole_of = anthropic_wire.whole if path == MESSAGES else openai_wire.whole
    return whole_of(REPLY, "fake-model", "1")


async def _post_stream(heddle: Serving, path: str, body: dict[str, Any]) -> tuple[httpx.Response, bytes]:
    async with heddle.http.stream("POST", path, json={**body, "stream": True}) as answer:
        return answer, b"".join([chunk async for chunk in answer.aiter_raw()])


def _events(raw: bytes) -> list[dict[str, Any]]:
    """The JSON of every data line; a frame that is not JSON is reported as such."""
    found: list[dict[str, Any]] = []
    for frame in raw.decode().split("\n\n"):
        for line in frame.splitlines():
            data = line.removeprefix("data: ")
            if data != line and data != "[DONE]":
                try:
                    found.append(json.loads(data))
                except json.JSONDecodeError:
                    found.append({"cut_off": data})
    return found


async def _settled(heddle: Serving) -> None:
    """Wait until the call under way has its usage row (a stream is settled after its last byte)."""
    for _ in range(500):
        if await heddle.usage_events():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the call was not settled within five seconds")


async def _spent(heddle: Serving) -> int:
    return 5_000_000_000 - (await heddle.wallet()).balance_nanos


# --- untouched ------------------------------------------------------------------------------------

ODD = (
    b'{ "model":"%b", "max_tokens":50,\n\t"messages":[{"role":"user","content":"h\\u00e9llo \xe2\x9c\x93"}],'
    b'"future":{"b":1.50,"a":[1e2,  -0.0,123456789012345678901234567890],"u":"\\u2713\\/"}%b}'
)


async def test_an_anthropic_body_goes_up_byte_for_byte(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(_answer_json(MESSAGES))
    raw = ODD % (b"fake-model", b"")
    headers = {
        "anthropic-beta": "new-thing-2027-01-01,other",
        "anthropic-version": "2099-01-01",
        "x-odd": "1",
    }
    answer = await heddle.http.post(MESSAGES, content=raw, headers=headers)
    assert answer.status_code == 200
    assert upstream.only.body == raw
    assert upstream.only.path == "/v1/messages"
    heard = upstream.only.headers
    assert heard["anthropic-beta"] == "new-thing-2027-01-01,other"
    assert heard["anthropic-version"] == "2099-01-01"
    assert "x-odd" not in heard


@BOTH
async def test_a_renamed_model_leaves_every_other_byte_alone(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = whole(_answer_json(path))
    assert (await heddle.http.post(path, content=ODD % (b"fake-alias", b""))).status_code == 200
    sent = upstream.only.body
    assert json.loads(sent)["model"] == "fake-1"
    for part in (
        b'{"b":1.50,"a":[1e2,  -0.0,123456789012345678901234567890],"u":"\\u2713\\/"}',
        b'[{"role":"user","content":"h\\u00e9llo \xe2\x9c\x93"}]',
    ):
        assert part in sent


@BOTH
async def test_an_answer_comes_back_byte_for_byte(heddle: Serving, upstream: Upstream, path: str) -> None:
    raw = b' {"novel": [1.50, "\\u2713"],\n' + _answer_json(path)[1:] + b"\n"
    upstream.answer = whole(raw, headers={"x-ratelimit-secret": "1", "set-cookie": "a=b", "server": "them"})
    answer = await heddle.http.post(path, json=_body())
    assert answer.content == raw
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-heddle-cost-micros"] == str(round(COST_NANOS / 1000))
    assert "x-ratelimit-secret" not in answer.headers
    assert "set-cookie" not in answer.headers
    event = await heddle.only_event()
    assert (event.input_tokens, event.output_tokens, event.estimated) == (INPUT, OUTPUT, False)
    assert await _spent(heddle) == event.cost_nanos == COST_NANOS


@BOTH
async def test_a_stream_is_forwarded_as_it_comes(heddle: Serving, upstream: Upstream, path: str) -> None:
    frames = _frames(path)
    upstream.answer = stream(*frames)
    body = _body(stream=True, stream_options={"include_usage": True}) if path == CHAT else _body(stream=True)
    raw = json.dumps(body).encode()
    async with heddle.http.stream("POST", path, content=raw) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        chunks = [chunk async for chunk in answer.aiter_raw()]
    assert upstream.only.body == raw
    assert b"".join(chunks) == b"".join(frames)
    assert len(chunks) > len(frames) / 2  # not gathered up before it was sent
    await _settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.input_tokens, event.output_tokens) == ("ok", INPUT, OUTPUT)
    assert await _spent(heddle) == COST_NANOS


@BOTH
async def test_a_stream_survives_any_cut(heddle: Serving, upstream: Upstream, path: str) -> None:
    expected = b"".join(_frames(path))
    upstream.answer = stream(*(expected[at : at + 7] for at in range(0, len(expected), 7)), pace_s=0)
    _, got = await _post_stream(heddle, path, _body(stream_options={"include_usage": True}))
    assert got == expected
    await _settled(heddle)
    assert (await heddle.only_event()).output_tokens == OUTPUT


async def test_usage_is_asked_for_and_hidden_from_who_did_not_ask(
    heddle: Serving, upstream: Upstream
) -> None:
    frames = _frames(CHAT)
    upstream.answer = stream(*frames)
    _, got = await _post_stream(heddle, CHAT, _body(stream_options={"include_obfuscation": False}))
    assert json.loads(upstream.only.body)["stream_options"] == {
        "include_obfuscation": False,
        "include_usage": True,
    }
    assert got == b"".join(frame for frame in frames if b'"choices":[]' not in frame)
    assert b"completion_tokens" not in got
    assert got.endswith(b"data: [DONE]\n\n")
    await _settled(heddle)
    assert (await heddle.only_event()).output_tokens == OUTPUT


# --- keys -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_no_key_crosses_over(heddle: Serving, upstream: Upstream, path: str, header: str) -> None:
    upstream.answer = whole(_answer_json(path), headers={"x-echo": PROVIDER_KEY})
    async with httpx.AsyncClient(base_url=heddle.base_url, timeout=15) as http:
        value = ADMIN_KEY if header == "x-api-key" else f"Bearer {ADMIN_KEY}"
        answer = await http.post(path, json=_body(), headers={header: value, "cookie": f"k={ADMIN_KEY}"})
    assert answer.status_code == 200
    heard = upstream.only
    assert ADMIN_KEY not in f"{heard.headers}" + heard.body.decode()
    sent = heard.headers.get("x-api-key") or heard.headers["authorization"]
    assert sent == (PROVIDER_KEY if path == MESSAGES else f"Bearer {PROVIDER_KEY}")
    assert PROVIDER_KEY not in f"{answer.headers}"


@BOTH
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500])
async def test_a_providers_error_never_shows_its_key(
    heddle: Serving, upstream: Upstream, path: str, status: int
) -> None:
    complaint = json.dumps({"error": {"message": f"Incorrect API key provided: {PROVIDER_KEY}."}}).encode()
    upstream.answer = whole(complaint, status, headers={"x-echo": PROVIDER_KEY})
    answer = await heddle.http.post(path, json=_body())
    assert PROVIDER_KEY not in answer.text + f"{answer.headers}"
    assert answer.status_code == (502 if status in {401, 402, 403, 500} else status)


# --- failures before the first byte ---------------------------------------------------------------

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


@BOTH
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("answer", "status", "code"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES]
)
async def test_a_failure_is_a_status_and_costs_nothing(
    heddle: Serving, upstream: Upstream, path: str, streamed: bool, answer: Answer, status: int, code: str
) -> None:
    upstream.answer = answer
    got = await heddle.http.post(path, json=_body(stream=streamed))
    assert (got.status_code, got.json()["error"]["code"]) == (status, code)
    assert got.headers["content-type"] == "application/json"
    event = await heddle.only_event()
    assert (event.status, event.http_status, event.error_code) == ("error", status, code)
    assert (event.cost_nanos, await _spent(heddle)) == (0, 0)


@BOTH
@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_providers_complaint_reaches_the_caller(
    heddle: Serving, upstream: Upstream, path: str, status: int
) -> None:
    upstream.answer = whole(COMPLAINT, status)
    got = await heddle.http.post(path, json=_body())
    assert (got.status_code, got.content) == (status, COMPLAINT)
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.cost_nanos) == ("error", "provider_refused", 0)


@pytest.mark.parametrize("value", ["7", "Wed, 21 Oct 2026 07:28:00 GMT", "später"])
async def test_retry_after_is_passed_on(heddle: Serving, upstream: Upstream, value: str) -> None:
    upstream.answer = whole(b"{}", 429, headers={"retry-after": value})
    got = await heddle.http.post(MESSAGES, json=_body())
    assert got.status_code == 429
    assert got.headers.get("retry-after") == (value if value.isascii() else None)


@BOTH
async def test_a_provider_that_hangs_up_is_a_502(tmp_path: Path, path: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    fake = Provider("fake", {"anthropic": url, "openai-chat": url}, (PROVIDER_KEY,))
    async with listening, serving(tmp_path, {"fake": fake}, models=MODELS) as heddle:
        got = await heddle.http.post(path, json=_body())
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


@BOTH
@pytest.mark.parametrize(("answer", "code"), [u[1:] for u in UNUSABLE], ids=[u[0] for u in UNUSABLE])
async def test_an_unusable_answer_is_a_502(
    heddle: Serving, upstream: Upstream, path: str, answer: Answer, code: str
) -> None:
    upstream.answer = answer
    got = await heddle.http.post(path, json=_body())
    assert (got.status_code, got.json()["error"]["code"]) == (502, code)
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.cost_nanos) == ("error", code, 0)
    assert await _spent(heddle) == 0


@pytest.mark.parametrize("usage", [None, {}, "much", {"input_tokens": -5, "output_tokens": 10**30}])
async def test_counts_that_are_not_to_be_believed_are_estimated(
    heddle: Serving, upstream: Upstream, usage: Any
) -> None:
    raw = json.dumps({**json.loads(_answer_json(MESSAGES)), "usage": usage}).encode()
    upstream.answer = whole(raw)
    got = await heddle.http.post(MESSAGES, json=_body())
    assert got.content == raw
    event = await heddle.only_event()
    assert event.status == "ok"
    assert event.estimated is (usage != {})
    assert 0 <= event.cost_nanos == await _spent(heddle) < 10_000_000


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(first_byte_timeout_s=0.3, idle_timeout_s=0.3)
    monkeypatch.setattr("tests.gateway.inference.upstream.LIMITS", limits)


@BOTH
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_silent_provider_times_out(
    impatient: None, heddle: Serving, upstream: Upstream, path: str, streamed: bool
) -> None:
    upstream.answer = silence
    got = await heddle.http.post(path, json=_body(stream=streamed))
    assert (got.status_code, got.json()["error"]["code"]) == (504, "upstream_timeout")
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos) == ("error", 0)
    await asyncio.wait_for(upstream.dropped.wait(), 5)


# --- failures in the middle of a stream -----------------------------------------------------------


def _error_of(raw: bytes) -> dict[str, Any]:
    event = _events(raw)[-1]
    assert event.get("type", "error") == "error"
    error: dict[str, Any] = event["error"]
    return error


@BOTH
async def test_a_broken_stream_ends_in_an_error_and_is_billed_as_delivered(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = stream(*_frames(path)[:6], break_off=True)
    answer, got = await _post_stream(heddle, path, _body())
    assert answer.status_code == 200
    assert _error_of(got)["code"] == "upstream_broke_off"
    assert PROVIDER_KEY.encode() not in got
    await _settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code, event.estimated) == ("error", "upstream_broke_off", True)
    assert 0 < event.output_tokens < OUTPUT
    assert event.input_tokens > 0
    assert await _spent(heddle) == event.cost_nanos > 0


@BOTH
async def test_a_stream_that_merely_ends_too_early_is_broken_too(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = stream(*_frames(path)[:5])
    _, got = await _post_stream(heddle, path, _body())
    assert _error_of(got)["code"] == "upstream_broke_off"


async def test_an_error_event_stands_apart_from_a_frame_that_was_cut_off(
    heddle: Serving, upstream: Upstream
) -> None:
    frames = _frames(MESSAGES)[:5]
    upstream.answer = stream(*frames, b'event: content_block_delta\ndata: {"type":"content_', break_off=True)
    _, got = await _post_stream(heddle, MESSAGES, _body())
    assert _events(got)[-2] == {"cut_off": '{"type":"content_'}
    assert _error_of(got)["code"] == "upstream_broke_off"


@BOTH
async def test_a_stream_that_falls_silent_times_out(
    impatient: None, heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = stream(*_frames(path)[:5], hang_s=20)
    _, got = await _post_stream(heddle, path, _body())
    assert _error_of(got)["code"] == "upstream_timeout"
    await asyncio.wait_for(upstream.dropped.wait(), 5)
    await _settled(heddle)
    assert (await heddle.only_event()).error_code == "upstream_timeout"


@BOTH
async def test_a_providers_own_error_event_passes_and_ends_in_status_error(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    error = b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    frames = [*_frames(path)[:4], error]
    upstream.answer = stream(*frames)
    _, got = await _post_stream(heddle, path, _body(stream_options={"include_usage": True}))
    assert got == b"".join(frames)
    await _settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("error", "upstream_error_event")


@BOTH
async def test_junk_frames_pass_and_harm_nothing(heddle: Serving, upstream: Upstream, path: str) -> None:
    junk = [
        b"data: \xff\xfe\n\n",
        b'data: {"a":' + b"[" * 100_000 + b"\n\n",
        b": comment\n\n",
        b"data: 7\n\n",
        b"\n\n\n\n",
    ]
    frames = _frames(path)
    upstream.answer = stream(frames[0], *junk, *frames[1:], pace_s=0)
    _, got = await _post_stream(heddle, path, _body(stream_options={"include_usage": True}))
    assert got == b"".join([frames[0], *junk, *frames[1:]])
    await _settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.output_tokens) == ("ok", OUTPUT)


@BOTH
async def test_a_client_that_leaves_stops_the_provider_and_pays_for_what_it_got(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = stream(*_frames(path)[:6], hang_s=20)
    body = {**_body(), "stream": True}
    async with heddle.http.stream("POST", path, json=body) as answer:
        got = b""
        async for chunk in answer.aiter_raw():
            got += chunk
            if b"warp" in got:
                break
    await asyncio.wait_for(upstream.dropped.wait(), 5)
    await _settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.error_code) == ("cancelled", "client_disconnected")
    assert event.estimated
    assert await _spent(heddle) == event.cost_nanos > 0


# --- paying ---------------------------------------------------------------------------------------


@BOTH
async def test_a_short_wallet_lowers_max_tokens(upstream: Upstream, tmp_path: Path, path: str) -> None:
    upstream.answer = whole(_answer_json(path))
    async with heddle_before(upstream, tmp_path, starter_credit_usd="0.003") as heddle:
        got = await heddle.http.post(path, json=_body(max_tokens=900, odd=1.50))
        assert got.status_code == 200
        lowered = int(got.headers["x-heddle-max-tokens"])
        assert 1 <= lowered < 900
        assert json.loads(upstream.only.body) == {**_body(), "max_tokens": lowered, "odd": 1.5}
        assert (await heddle.only_event()).cost_nanos <= 3_000_000


async def test_an_empty_wallet_sends_nothing(upstream: Upstream, tmp_path: Path) -> None:
    async with heddle_before(upstream, tmp_path, starter_credit_usd=0) as heddle:
        got = await heddle.http.post(MESSAGES, json=_body())
        assert (got.status_code, got.json()["error"]["code"]) == (402, "wallet_empty")
        assert upstream.heard == []
        assert await heddle.usage_events() == []


# --- the caller's mistakes ------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"a": "\xff"}', None),
        (b'{"a":' + b"[" * 200_000, None),
        (b"{}", "messages"),
        (b'{"messages": [], "max_tokens": 1, "model": "fake-model"}', "messages"),
        (b'{"messages": [1], "max_tokens": 1}', "model"),
        (b'{"messages": [1], "max_tokens": 0, "model": "fake-model"}', "max_tokens"),
        (b'{"messages": [1], "max_tokens": true, "model": "fake-model"}', "max_tokens"),
        (b'{"messages": [1], "max_tokens": 1, "model": "fake-model", "stream": 1}', "stream"),
    ],
)
async def test_a_bad_body_is_a_400_that_names_the_field(
    heddle: Serving, upstream: Upstream, path: str, raw: bytes, param: str | None
) -> None:
    got = await heddle.http.post(path, content=raw)
    assert got.status_code == 400
    error = got.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error.get("param") == param
    assert error["code"] == ("invalid_request" if param else "invalid_json")
    assert ("request_id" in got.json()) is (path == MESSAGES)
    assert upstream.heard == []
    assert await heddle.usage_events() == []


async def test_a_body_that_is_too_large_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    async with heddle_before(upstream, tmp_path, max_request_bytes=2048) as heddle:
        got = await heddle.http.post(MESSAGES, json=_body(filler="x" * 4096))
        assert (got.status_code, got.json()["error"]["code"]) == (413, "too_large")
        assert upstream.heard == []
