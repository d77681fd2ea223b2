"""What passes through unchanged, what is kept back, and what the caller must do and pay."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.inference.passing import (
    CHAT,
    COST_NANOS,
    INPUT,
    MESSAGES,
    OUTPUT,
    PATHS,
    RESPONSES,
    answer_of,
    body_for,
    frames_of,
    in_words_of,
    post_stream,
    settled,
    spent,
)
from tests.gateway.inference.upstream import (
    PROVIDER_KEY,
    Upstream,
    heddle_before,
    stream,
    whole,
)
from tests.gateway.serving import ADMIN_KEY, Serving

EVERY = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with heddle_before(upstream, tmp_path) as running:
        yield running


# --- untouched --------------------------------------------------------------------------------------

ODD = (
    b'{ "model":"%b", "max_tokens":50,\n\t"messages":[{"role":"user","content":"h\\u00e9llo \xe2\x9c\x93"}],'
    b'"future":{"b":1.50,"a":[1e2,  -0.0,123456789012345678901234567890],"u":"\\u2713\\/"}%b}'
)


@EVERY
async def test_a_body_goes_up_byte_for_byte(heddle: Serving, upstream: Upstream, path: str) -> None:
    upstream.answer = whole(answer_of(path))
    raw = in_words_of(path, ODD % (b"fake-model", b""))
    answer = await heddle.http.post(path, content=raw)
    assert answer.status_code == 200
    assert upstream.only.body == raw
    assert upstream.only.path == path


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (MESSAGES, {"anthropic-beta": "new-thing-2027-01-01,other", "anthropic-version": "2099-01-01"}),
        (RESPONSES, {"openai-beta": "responses=v9"}),
    ],
)
async def test_headers_that_the_dialect_knows_go_up(
    heddle: Serving, upstream: Upstream, path: str, known: dict[str, str]
) -> None:
    upstream.answer = whole(answer_of(path))
    answer = await heddle.http.post(path, json=body_for(path), headers={**known, "x-odd": "1"})
    assert answer.status_code == 200
    heard = upstream.only.headers
    assert {name: heard.get(name) for name in known} == known
    assert "x-odd" not in heard


@EVERY
async def test_a_renamed_model_leaves_every_other_byte_alone(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    upstream.answer = whole(answer_of(path))
    assert (
        await heddle.http.post(path, content=in_words_of(path, ODD % (b"fake-alias", b"")))
    ).status_code == 200
    sent = upstream.only.body
    assert json.loads(sent)["model"] == "fake-1"
    for part in (
        b'{"b":1.50,"a":[1e2,  -0.0,123456789012345678901234567890],"u":"\\u2713\\/"}',
        b'[{"role":"user","content":"h\\u00e9llo \xe2\x9c\x93"}]',
    ):
        assert part in sent


@EVERY
async def test_an_answer_comes_back_byte_for_byte(heddle: Serving, upstream: Upstream, path: str) -> None:
    raw = b' {"novel": [1.50, "\\u2713"],\n' + answer_of(path)[1:] + b"\n"
    upstream.answer = whole(raw, headers={"x-ratelimit-secret": "1", "set-cookie": "a=b", "server": "them"})
    answer = await heddle.http.post(path, json=body_for(path))
    assert answer.content == raw
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-heddle-cost-micros"] == str(round(COST_NANOS / 1000))
    assert "x-ratelimit-secret" not in answer.headers
    assert "set-cookie" not in answer.headers
    event = await heddle.only_event()
    assert (event.input_tokens, event.output_tokens, event.estimated) == (INPUT, OUTPUT, False)
    assert await spent(heddle) == event.cost_nanos == COST_NANOS


@EVERY
async def test_a_stream_is_forwarded_as_it_comes(heddle: Serving, upstream: Upstream, path: str) -> None:
    frames = frames_of(path)
    upstream.answer = stream(*frames)
    wanted: dict[str, Any] = {"stream_options": {"include_usage": True}} if path == CHAT else {}
    body = body_for(path, stream=True, **wanted)
    raw = json.dumps(body).encode()
    async with heddle.http.stream("POST", path, content=raw) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        chunks = [chunk async for chunk in answer.aiter_raw()]
    assert upstream.only.body == raw
    assert b"".join(chunks) == b"".join(frames)
    assert len(chunks) > len(frames) / 2  # not gathered up before it was sent
    await settled(heddle)
    event = await heddle.only_event()
    assert (event.status, event.input_tokens, event.output_tokens) == ("ok", INPUT, OUTPUT)
    assert await spent(heddle) == COST_NANOS


@EVERY
async def test_a_stream_survives_any_cut(heddle: Serving, upstream: Upstream, path: str) -> None:
    expected = b"".join(frames_of(path))
    upstream.answer = stream(*(expected[at : at + 7] for at in range(0, len(expected), 7)), pace_s=0)
    _, got = await post_stream(heddle, path, body_for(path, stream_options={"include_usage": True}))
    assert got == expected
    await settled(heddle)
    assert (await heddle.only_event()).output_tokens == OUTPUT


async def test_usage_is_asked_for_and_hidden_from_who_did_not_ask(
    heddle: Serving, upstream: Upstream
) -> None:
    frames = frames_of(CHAT)
    upstream.answer = stream(*frames)
    _, got = await post_stream(heddle, CHAT, body_for(CHAT, stream_options={"include_obfuscation": False}))
    assert json.loads(upstream.only.body)["stream_options"] == {
        "include_obfuscation": False,
        "include_usage": True,
    }
    assert got == b"".join(frame for frame in frames if b'"choices":[]' not in frame)
    assert b"completion_tokens" not in got
    assert got.endswith(b"data: [DONE]\n\n")
    await settled(heddle)
    assert (await heddle.only_event()).output_tokens == OUTPUT


# --- keys -------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_no_key_crosses_over(heddle: Serving, upstream: Upstream, path: str, header: str) -> None:
    upstream.answer = whole(answer_of(path), headers={"x-echo": PROVIDER_KEY})
    async with httpx.AsyncClient(base_url=heddle.base_url, timeout=15) as http:
        value = ADMIN_KEY if header == "x-api-key" else f"Bearer {ADMIN_KEY}"
        answer = await http.post(
            path, json=body_for(path), headers={header: value, "cookie": f"k={ADMIN_KEY}"}
        )
    assert answer.status_code == 200
    heard = upstream.only
    assert ADMIN_KEY not in f"{heard.headers}" + heard.body.decode()
    sent = heard.headers.get("x-api-key") or heard.headers["authorization"]
    assert sent == (PROVIDER_KEY if path == MESSAGES else f"Bearer {PROVIDER_KEY}")
    assert PROVIDER_KEY not in f"{answer.headers}"


@EVERY
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500])
async def test_a_providers_error_never_shows_its_key(
    heddle: Serving, upstream: Upstream, path: str, status: int
) -> None:
    complaint = json.dumps({"error": {"message": f"Incorrect API key provided: {PROVIDER_KEY}."}}).encode()
    upstream.answer = whole(complaint, status, headers={"x-echo": PROVIDER_KEY})
    answer = await heddle.http.post(path, json=body_for(path))
    assert PROVIDER_KEY not in answer.text + f"{answer.headers}"
    assert answer.status_code == (502 if status in {401, 402, 403, 500} else status)


# --- paying -----------------------------------------------------------------------------------------


@EVERY
async def test_a_short_wallet_lowers_max_tokens(upstream: Upstream, tmp_path: Path, path: str) -> None:
    upstream.answer = whole(answer_of(path))
    async with heddle_before(upstream, tmp_path, starter_credit_usd="0.003") as heddle:
        got = await heddle.http.post(path, json=body_for(path, limit=900, odd=1.50))
        assert got.status_code == 200
        lowered = int(got.headers["x-heddle-max-tokens"])
        assert 1 <= lowered < 900
        assert json.loads(upstream.only.body) == body_for(path, limit=lowered, odd=1.5)
        assert (await heddle.only_event()).cost_nanos <= 3_000_000


async def test_an_empty_wallet_sends_nothing(upstream: Upstream, tmp_path: Path) -> None:
    async with heddle_before(upstream, tmp_path, starter_credit_usd=0) as heddle:
        got = await heddle.http.post(MESSAGES, json=body_for(MESSAGES))
        assert (got.status_code, got.json()["error"]["code"]) == (402, "wallet_empty")
        assert upstream.heard == []
        assert await heddle.usage_events() == []


# --- the caller's mistakes --------------------------------------------------------------------------


@EVERY
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
    got = await heddle.http.post(path, content=in_words_of(path, raw))
    assert got.status_code == 400
    error = got.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error.get("param") == (param and in_words_of(path, param.encode()).decode())
    assert error["code"] == ("invalid_request" if param else "invalid_json")
    assert ("request_id" in got.json()) is (path == MESSAGES)
    assert upstream.heard == []
    assert await heddle.usage_events() == []


async def test_a_body_that_is_too_large_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    async with heddle_before(upstream, tmp_path, max_request_bytes=2048) as heddle:
        got = await heddle.http.post(MESSAGES, json=body_for(MESSAGES, filler="x" * 4096))
        assert (got.status_code, got.json()["error"]["code"]) == (413, "too_large")
        assert upstream.heard == []
