"""Webhook dispatch against a real server: signatures, retries, and every kind of bad answer."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from broker.webhook import MAX_RESPONSE_BYTES
from gateway.loopback import served
from tests.broker.conftest import Bench

Handler = Callable[[Request], Awaitable[Response]]


class Hook:
    """A webhook endpoint whose answers are scripted; it keeps what it was sent."""

    def __init__(self, *answers: Handler | Response) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def answer(self, request: Request) -> Response:
        self.requests.append((dict(request.headers), await request.body()))
        scripted = self.answers[min(len(self.requests), len(self.answers)) - 1]
        return scripted if isinstance(scripted, Response) else await scripted(request)


async def serve(bench: Bench, hook: Hook, **fields: Any) -> str:
    app = Starlette(routes=[Route("/hook", hook.answer, methods=["POST"])])
    url = await bench.stack.enter_async_context(served(lambda _: app))
    return await bench.webhook(f"{url}/hook", **fields)


async def test_a_call_carries_its_context_and_both_signatures(bench: Bench) -> None:
    hook = Hook(JSONResponse({"output": "grüße 你好"}))
    secret = await serve(bench, hook)
    result = await bench.result("hook", {"city": "Tromsø"})
    assert (result.output, result.is_error) == ("grüße 你好", False)
    assert result.content == [{"type": "text", "text": "grüße 你好"}]
    headers, body = hook.requests[0]
    call = json.loads(body)
    assert call["input"] == {"city": "Tromsø"}
    assert (call["thread_id"], call["turn_id"], call["metadata"]) == ("thread_1", "turn_1", {"plan": "pro"})
    assert set(call) == {
        "tool_use_id", "tool_id", "name", "input", "thread_id", "turn_id", "end_user_id", "metadata",
        "iteration", "created_at", "request_id",
    }  # fmt: skip
    stamp = headers["webhook-timestamp"]
    assert abs(time.time() - int(stamp)) < 60
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["x-qlaud-timestamp"] == stamp
    plain = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["x-qlaud-signature"] == plain
    assert secret not in str(headers)


async def test_5xx_and_429_are_retried_with_the_same_webhook_id(bench: Bench) -> None:
    hook = Hook(Response(status_code=500), Response(status_code=429), JSONResponse({"output": 1}))
    await serve(bench, hook)
    result = await bench.result("hook")
    assert (result.output, result.record["attempts"], result.record["status"]) == (1, 3, 200)
    assert len({headers["webhook-id"] for headers, _ in hook.requests}) == 1
    assert len({json.loads(body)["request_id"] for _, body in hook.requests}) == 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Response(b"<html>oops</html>"), "not JSON"),
        (Response(b""), "empty body"),
        (Response(b"\xff\xfe\x00"), "not JSON"),
        (Response(b"[" * 200_000), "not JSON"),
        (Response(status_code=500), "status 500"),
        (Response(status_code=404), "status 404"),
        (Response(status_code=302, headers={"location": "http://169.254.169.254/"}), "status 302"),
        (JSONResponse({"pending": True}, status_code=202), "202"),
    ],
)
async def test_a_bad_answer_is_an_error_for_the_model(bench: Bench, answer: Response, words: str) -> None:
    await serve(bench, Hook(answer))
    result = await bench.result("hook")
    assert result.is_error
    assert words in result.content[0]["text"]


@pytest.mark.parametrize(
    ("body", "output", "is_error"),
    [
        ({"output": {"a": 1}}, {"a": 1}, False),
        ({"output": None}, None, False),
        ({"output": "no", "is_error": True}, "no", True),
        ({"plain": 1}, {"plain": 1}, False),
        ([1, 2], [1, 2], False),
        ("text", "text", False),
    ],
)
async def test_answers_are_read_as_documented(bench: Bench, body: Any, output: Any, is_error: bool) -> None:
    await serve(bench, Hook(JSONResponse(body)))
    result = await bench.result("hook")
    assert (result.output, result.is_error) == (output, is_error)


async def test_50_megabytes_are_cut_off(bench: Bench) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(800):
            yield b"x" * 65_536

    async def huge(_request: Request) -> Response:
        return StreamingResponse(pieces(), media_type="application/json")

    await serve(bench, Hook(huge))
    result = await bench.result("hook")
    assert result.is_error
    assert str(MAX_RESPONSE_BYTES) in result.content[0]["text"]


async def test_a_long_output_reaches_the_model_shortened(bench: Bench) -> None:
    await serve(bench, Hook(JSONResponse({"output": "a" * 300_000 + "end"})))
    result = await bench.result("hook")
    text = result.content[0]["text"]
    assert len(text) < 110_000
    assert "left out" in text
    assert text.endswith("end")


async def test_a_slow_tool_is_given_up_within_its_time(bench: Bench) -> None:
    async def slow(_request: Request) -> Response:
        await asyncio.sleep(5)
        return JSONResponse({})

    hook = Hook(slow)
    await serve(bench, hook, timeout_ms=300)
    started = time.monotonic()
    result = await bench.result("hook")
    assert time.monotonic() - started < 2
    assert result.is_error
    assert "0.3 seconds" in result.content[0]["text"]
    assert len(hook.requests) == 1


@pytest.mark.parametrize(("idempotent", "attempts"), [(False, 1), (True, 3)])
async def test_a_lost_answer_is_only_asked_for_again_where_that_is_safe(
    bench: Bench, idempotent: bool, attempts: int
) -> None:
    seen = 0

    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await reader.readuntil(b"\r\n\r\n")
        seen += 1
        writer.close()

    server = await asyncio.start_server(vanish, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await bench.webhook(f"http://127.0.0.1:{port}/", idempotent=idempotent)
        result = await bench.result("hook")
    assert result.is_error
    assert "not known" in result.content[0]["text"]
    assert seen == attempts


async def test_a_tool_that_is_down_is_retried_and_reported(bench: Bench) -> None:
    await bench.webhook("http://127.0.0.1:9/")
    result = await bench.result("hook")
    assert "cannot be reached" in result.content[0]["text"]
    assert result.record["attempts"] == 3
    assert "127.0.0.1" in result.record["target"]


async def test_arguments_that_break_the_schema_are_not_sent(bench: Bench) -> None:
    hook = Hook(JSONResponse({}))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    await serve(bench, hook, input_schema=schema)
    result = await bench.result("hook", {"n": "many"})
    assert result.is_error
    assert "n: " in result.content[0]["text"]
    assert hook.requests == []


async def test_a_rotated_secret_signs_the_next_call(bench: Bench) -> None:
    hook = Hook(JSONResponse({}))
    old = await serve(bench, hook)
    tool = (await bench.broker.registry.all("acct_1"))[0]
    new = await bench.broker.registry.rotate_secret("acct_1", tool.id)
    await bench.result("hook")
    headers, body = hook.requests[0]
    signed = f"{headers['webhook-timestamp']}.".encode() + body
    by_new = hmac.new(new.encode(), signed, hashlib.sha256).hexdigest()
    assert new != old
    assert headers["x-qlaud-signature"] == by_new
