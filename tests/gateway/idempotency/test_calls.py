"""A model call with an idempotency key is made once and billed once, however often it is sent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from sqlmodel import select
from starlette.types import Send

from gateway.idempotency.models import IdempotencyRecord
from tests.gateway.inference.media import rig
from tests.gateway.inference.passing import (
    CHAT,
    COST_NANOS,
    MESSAGES,
    PATHS,
    answer_of,
    body_for,
    frames_of,
    spent,
)
from tests.gateway.inference.upstream import Answer, Upstream, heddle_before, stream, whole
from tests.gateway.serving import Serving


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with heddle_before(upstream, tmp_path) as running:
        yield running


async def post(
    heddle: Serving, path: str = MESSAGES, *, key: str = "order-7", secret: str | None = None, **fields: Any
) -> httpx.Response:
    headers = {"idempotency-key": key, **({"x-api-key": secret} if secret else {})}
    return await heddle.http.post(path, json=body_for(path, **fields), headers=headers)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def paid_once(heddle: Serving, upstream: Upstream) -> None:
    assert len(upstream.heard) == 1
    event = await heddle.only_event()
    assert (event.status, event.cost_nanos) == ("ok", COST_NANOS)
    assert await spent(heddle) == COST_NANOS


async def test_whoever_asks_again_gets_the_same_answer(heddle: Serving, upstream: Upstream) -> None:
    for path in PATHS:
        upstream.answer = whole(answer_of(path))
        first = await post(heddle, path, key=path)
        again = await post(heddle, path, key=path)
        assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert "idempotent-replayed" not in first.headers
        for name in ("content-type", "content-length", "x-heddle-cost-micros"):
            assert again.headers[name] == first.headers[name]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        other = await post(heddle, path, key=path, limit=51)
        assert error_of(other) == (409, "idempotency_mismatch")
        assert other.headers["x-should-retry"] == "false"
        assert ("type" in other.json()) == (path == MESSAGES)  # each client in its own form
    elsewhere = await post(heddle, CHAT, key=MESSAGES)
    assert error_of(elsewhere) == (409, "idempotency_mismatch")
    assert [heard.path for heard in upstream.heard] == list(PATHS)
    assert [event.cost_nanos for event in await heddle.usage_events()] == [COST_NANOS] * 3
    assert await spent(heddle) == COST_NANOS * 3


async def test_keys_of_others_and_other_keys_are_other_requests(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(answer_of(MESSAGES))
    ada, bob = [await heddle.mint(end_user_id=name) for name in ("ada", "bob")]
    for secret, key in ((ada["secret"], "1"), (bob["secret"], "1"), (ada["secret"], "2")):
        answer = await post(heddle, key=key, secret=secret)
        assert (answer.status_code, "idempotent-replayed" in answer.headers) == (200, False)
    assert len(upstream.heard) == len(await heddle.usage_events()) == 3


async def test_while_the_first_is_running_others_are_told_to_wait(
    heddle: Serving, upstream: Upstream
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def late(send: Send) -> None:
        asked.set()
        await go_on.wait()
        await whole(answer_of(CHAT))(send)

    upstream.answer = late
    first = asyncio.create_task(post(heddle, CHAT))
    await asked.wait()
    early = await post(heddle, CHAT)
    assert error_of(early) == (409, "idempotency_in_progress")
    assert early.headers["retry-after"] == "1"
    assert error_of(await post(heddle, CHAT, limit=51)) == (409, "idempotency_mismatch")
    go_on.set()
    assert (await first).content == (await post(heddle, CHAT)).content
    await paid_once(heddle, upstream)


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_that_its_client_left_is_heard_to_its_end_and_played_again(
    heddle: Serving, upstream: Upstream, path: str
) -> None:
    frames = frames_of(path)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def paused(send: Send) -> None:
        await stream(*frames[:4], pace_s=0)(_without_end(send))
        asked.set()
        await go_on.wait()
        for frame in frames[4:]:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    upstream.answer = paused
    body = body_for(path, stream=True)
    headers = {"idempotency-key": "order-7"}
    async with heddle.http.stream("POST", path, json=body, headers=headers) as leaving:
        heard = await anext(leaving.aiter_raw())
        await asked.wait()
    assert error_of(await post(heddle, path, stream=True)) == (409, "idempotency_in_progress")
    go_on.set()
    again = await replayed(heddle, path, stream=True)
    upstream.answer = stream(*frames)
    whole_stream = await post(heddle, path, key="another", stream=True)
    assert again.content == whole_stream.content
    assert again.content.startswith(heard)
    assert again.headers["content-type"] == whole_stream.headers["content-type"]
    assert not upstream.dropped.is_set()
    events = await heddle.usage_events()
    assert [(event.status, event.cost_nanos) for event in events] == [("ok", COST_NANOS)] * 2


def _without_end(send: Send) -> Send:
    async def forward(message: Any) -> None:
        if message["type"] == "http.response.start" or message.get("more_body"):
            await send(message)

    return forward


async def replayed(heddle: Serving, path: str, **fields: Any) -> httpx.Response:
    for _ in range(200):
        answer = await post(heddle, path, **fields)
        if answer.status_code != 409:
            assert answer.headers["idempotent-replayed"] == "true"
            return answer
        assert answer.json()["error"]["code"] == "idempotency_in_progress"
        await asyncio.sleep(0.02)
    raise AssertionError("the first request did not end")


async def test_what_was_refused_did_nothing_and_is_decided_anew(heddle: Serving, upstream: Upstream) -> None:
    refusals: list[tuple[Answer, int]] = [
        (whole(b'{"error":{"message":"busy"}}', 429), 429),
        (whole(b"{}", 500), 502),
        (whole(b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}', 400), 400),
    ]
    for answer, status in refusals:
        upstream.answer = answer
        assert (await post(heddle)).status_code == status
    assert error_of(await post(heddle, model="missing")) == (404, "model_not_found")
    assert error_of(await post(heddle, max_tokens=-1)) == (400, "invalid_request")
    poor = await heddle.mint(max_spend_usd=0)
    assert (await post(heddle, secret=poor["secret"])).status_code == 402
    await heddle.http.patch(f"/v1/keys/{poor['id']}", json={"max_spend_usd": 1})
    upstream.answer = whole(answer_of(MESSAGES))
    for secret in (heddle.admin_key, poor["secret"]):
        assert (await post(heddle, secret=secret)).status_code == 200
        assert (await post(heddle, secret=secret)).headers["idempotent-replayed"] == "true"


async def test_an_answer_that_is_too_large_is_not_made_again_either(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.answer = stream(*frames_of(MESSAGES))
    async with heddle_before(upstream, tmp_path, max_idempotent_answer_bytes=1024) as heddle:
        first = await post(heddle, stream=True)
        assert len(first.content) > 1024
        again = await post(heddle, stream=True)
        assert error_of(again) == (409, "idempotency_answer_not_kept")
        assert "1024 bytes" in again.json()["error"]["message"]
        await paid_once(heddle, upstream)


async def test_a_sound_that_broke_off_is_paid_for_and_not_made_again(tmp_path: Path) -> None:
    upstream = Upstream(stream(b"ID3-one", content_type="audio/mpeg", break_off=True))
    async with rig.media_heddle(upstream, tmp_path) as heddle:
        body = {"model": "say-each", "input": "Hello there", "voice": "alloy"}
        headers = {"idempotency-key": "k"}
        with pytest.raises(httpx.RemoteProtocolError):
            await heddle.http.post(rig.SPEECH, json=body, headers=headers)
        again = await heddle.http.post(rig.SPEECH, json=body, headers=headers)
        assert error_of(again) == (409, "idempotency_outcome_unknown")
        assert len(upstream.heard) == 1
        assert await spent(heddle) == (await heddle.only_event()).cost_nanos > 0


async def test_an_upload_is_known_whatever_its_boundary(tmp_path: Path) -> None:
    upstream = Upstream(rig.good(rig.TRANSCRIPTIONS))
    async with rig.media_heddle(upstream, tmp_path, max_upload_bytes=3_000_000) as heddle:

        async def upload(seconds: float, boundary: str) -> httpx.Response:
            files = {"file": ("said.wav", rig.sound(seconds), "audio/wav")}
            headers = {
                "idempotency-key": "k",
                "content-type": f"multipart/form-data; boundary={boundary}",
            }
            data = {"model": "hear-seconds"}
            return await heddle.http.post(rig.TRANSCRIPTIONS, data=data, files=files, headers=headers)

        first = await upload(60, "one")  # 1.9 MB: kept on disk meanwhile
        again = await upload(60, "another")
        assert (first.status_code, again.content) == (200, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert len(upstream.only.body) > 1_900_000
        assert error_of(await upload(61, "one")) == (409, "idempotency_mismatch")
        assert error_of(await upload(100, "one")) == (413, "too_large")


async def test_an_impatient_sdk_gets_its_answer_and_pays_once(heddle: Serving, upstream: Upstream) -> None:
    """It gives up, repeats the request by itself, hears that the first is running, and waits as told."""
    patient: dict[str, Any] = {"max_retries": 3, "timeout": 0.5}
    headers = {"Idempotency-Key": "sdk"}
    openai_url = f"{heddle.base_url}/v1"

    async def gpt() -> str | None:
        async with openai.AsyncOpenAI(base_url=openai_url, api_key=heddle.admin_key, **patient) as client:
            asked: Any = {**body_for(CHAT), "extra_headers": headers}
            answer = await client.chat.completions.create(**asked)
            return str(answer.choices[0].message.content)

    async def claude() -> str:
        key = (await heddle.mint())["secret"]
        async with anthropic.AsyncAnthropic(base_url=heddle.base_url, api_key=key, **patient) as client:
            asked: Any = {**body_for(MESSAGES), "extra_headers": headers}
            text = ""
            async with client.messages.stream(**asked) as events:
                async for piece in events.text_stream:
                    text += piece
            return text

    async def late(send: Send) -> None:
        path = upstream.heard[-1].path
        answer = stream(*frames_of(MESSAGES)) if path == MESSAGES else whole(answer_of(CHAT))
        await asyncio.sleep(0.8)
        await answer(send)

    upstream.answer = late
    assert (await gpt()) == (await claude()) != ""
    assert [heard.path for heard in upstream.heard] == [CHAT, MESSAGES]
    assert [event.cost_nanos for event in await heddle.usage_events()] == [COST_NANOS] * 2


async def test_what_went_wrong_with_the_header_is_said(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(answer_of(MESSAGES))
    for bad in (b"", b"k" * 256, b"tab\there", b"umlaut-\xe4"):
        request = heddle.http.build_request("POST", MESSAGES, json=body_for(MESSAGES))
        request.headers = httpx.Headers([*request.headers.raw, (b"idempotency-key", bad)])
        answer = await heddle.http.send(request)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "idempotency-key"), bad
    twice = heddle.http.build_request("POST", MESSAGES, json=body_for(MESSAGES))
    twice.headers = httpx.Headers(
        [*twice.headers.raw, (b"idempotency-key", b"a"), (b"Idempotency-Key", b"b")]
    )
    assert (await heddle.http.send(twice)).status_code == 400
    assert upstream.heard == []
    assert (await post(heddle, key="k" * 255)).status_code == 200
    listed = await heddle.http.get("/v1/keys", headers={"idempotency-key": ""})
    assert listed.status_code == 200  # it means nothing where nothing is made
    async with heddle.app.db.session() as session:
        assert len((await session.exec(select(IdempotencyRecord))).all()) == 1
