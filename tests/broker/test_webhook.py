"""Webhook tools, called at a real endpoint that checks, fails and misbehaves."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from broker.calls import AnswersLater, ToolResult, ToolScope
from broker.webhook import WebhookDispatcher
from kit.clock import ManualClock
from kit.outbound import OutboundPolicy
from tests.broker.webhook_peers import CALL, SCOPE, SECRET, answering, called, closing, endpoint, target


async def test_the_endpoint_gets_the_call_signed_twice(
    dispatcher: WebhookDispatcher, clock: ManualClock
) -> None:
    async with endpoint(answering({"output": {"celsius": 4}})) as (receiver, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert (result.output, result.is_error) == ({"celsius": 4}, False)
    assert result.content == [{"type": "text", "text": '{"celsius":4}'}]
    [(headers, body)] = receiver.received
    sent = json.loads(body)
    assert sent.pop("request_id")
    assert sent == {
        "tool_use_id": "toolu_1",
        "tool_id": "tool_1",
        "name": "get_weather",
        "input": {"city": "Oslo"},
        "thread_id": "thread-1",
        "turn_id": "turn_1",
        "end_user_id": "ada",
        "metadata": {"plan": "pro"},
        "iteration": 3,
        "created_at": 1_700_000_000_000,
    }
    stamp = str(clock.now_ms() // 1000)
    assert headers["webhook-timestamp"] == headers["x-qlaud-timestamp"] == stamp
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
    standard = hmac.new(b"0123456789abcdef0123456789abcdef", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(standard).decode()
    plain = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["x-qlaud-signature"] == plain


async def test_after_a_rotation_both_secrets_sign_the_new_one_first(
    dispatcher: WebhookDispatcher,
) -> None:
    old = "whsec_" + base64.b64encode(b"another secret of thirty-two byt").decode()
    async with endpoint(answering({"output": 1})) as (receiver, url):
        await called(dispatcher, target(url, old_secret=old), SCOPE, CALL)
    [(headers, body)] = receiver.received
    signatures = []
    for secret in (SECRET, old):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signatures.append("v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode())
    assert headers["webhook-signature"] == " ".join(signatures)
    plain = {"x-qlaud-signature": SECRET, "x-qlaud-signature-old": old}
    for header, secret in plain.items():
        signed = headers["x-qlaud-timestamp"].encode() + b"." + body
        assert headers[header] == hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


async def test_a_failing_endpoint_is_asked_again_with_the_same_id(dispatcher: WebhookDispatcher) -> None:
    async with endpoint(answering(Response("oops", 500), Response("busy", 429), {"output": "fine"})) as (
        receiver,
        url,
    ):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.output == "fine" and result.record["attempts"] == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1
    assert len({json.loads(body)["request_id"] for _, body in receiver.received}) == 3


async def test_another_call_has_another_id(dispatcher: WebhookDispatcher) -> None:
    elsewhere = ToolScope("acc_1", "ada", "thread-2", "turn_2")
    async with endpoint(answering({"output": 1})) as (receiver, url):
        for scope in (SCOPE, elsewhere, SCOPE):
            await called(dispatcher, target(url), scope, CALL)
    first, other, again = (headers["webhook-id"] for headers, _ in receiver.received)
    assert first == again != other


async def test_it_gives_up_after_three_attempts(dispatcher: WebhookDispatcher) -> None:
    async with endpoint(answering(Response("oops", 503))) as (receiver, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error and "status 503" in result.output["error"]
    assert len(receiver.received) == result.record["attempts"] == 3


@pytest.mark.parametrize("status", [301, 400, 401, 404, 422])
async def test_a_refusal_is_not_repeated(dispatcher: WebhookDispatcher, status: int) -> None:
    refusal = Response(status_code=status, headers={"location": "/elsewhere"})
    async with endpoint(answering(refusal)) as (receiver, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error and len(receiver.received) == 1
    assert result.record["status"] == status


async def test_a_longer_pause_is_kept_when_the_endpoint_asks_for_one(dispatcher: WebhookDispatcher) -> None:
    busy = Response(status_code=429, headers={"retry-after": "1"})
    async with endpoint(answering(busy, {"output": "fine"})) as (_, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.output == "fine" and result.record["latency_ms"] >= 1000


async def test_no_pause_goes_beyond_the_time_limit(dispatcher: WebhookDispatcher) -> None:
    busy = Response(status_code=503, headers={"retry-after": "3600"})
    async with endpoint(answering(busy)) as (receiver, url):
        result = await called(dispatcher, target(url, timeout_ms=1000), SCOPE, CALL)
    assert len(receiver.received) == 1 and result.record["status"] == 503


@pytest.mark.parametrize(
    ("answer", "output", "is_error"),
    [
        ({"output": None}, None, False),
        ({"output": "", "is_error": False}, "", False),
        ({"output": {"why": "no"}, "is_error": True}, {"why": "no"}, True),
        ({"celsius": 4}, {"celsius": 4}, False),
        ([1, 2], [1, 2], False),
        ("just text", "just text", False),
        ({"output": "a\x00b"}, "a\ufffdb", False),
    ],
)
async def test_the_forms_an_answer_may_have(
    dispatcher: WebhookDispatcher, answer: Any, output: Any, is_error: bool
) -> None:
    async with endpoint(answering(answer)) as (_, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert (result.output, result.is_error) == (output, is_error)
    assert all(block["text"] for block in result.content)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "an empty body"),
        (b"<html>It works!</html>", "not JSON"),
        (b'{"output": ', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
async def test_garbage_becomes_an_error_for_the_model(
    dispatcher: WebhookDispatcher, body: bytes, told: str
) -> None:
    async with endpoint(answering(Response(body))) as (_, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error and told in result.output["error"]


async def test_an_endpoint_that_answers_later_is_asked_once(dispatcher: WebhookDispatcher) -> None:
    async with endpoint(answering({"pending": True}, status=202)) as (receiver, url):
        result = await dispatcher.call(target(url), SCOPE, CALL)
    assert isinstance(result, AnswersLater)
    assert (result.tool_id, result.tool_name, result.record["status"]) == ("tool_1", "get_weather", "pending")
    assert len(receiver.received) == 1


async def test_an_accepted_answer_with_an_output_is_an_answer(dispatcher: WebhookDispatcher) -> None:
    async with endpoint(answering({"output": "done"}, status=202)) as (_, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert (result.output, result.is_error) == ("done", False)


async def test_fifty_megabytes_are_cut_off(dispatcher: WebhookDispatcher) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 52428800\r\n\r\n")
        with suppress(ConnectionError):
            while sent < 52_428_800:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error and "more than 8388608 bytes" in result.output["error"]
    assert sent < 20 * 1024 * 1024


async def test_a_compressed_flood_is_not_unpacked(dispatcher: WebhookDispatcher) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    async with endpoint(answering(Response(bomb, headers={"content-encoding": "gzip"}))) as (_, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error and result.record["status"] == "compressed"


async def test_a_large_output_reaches_the_model_shortened(dispatcher: WebhookDispatcher) -> None:
    async with endpoint(answering({"output": "a" * 150_000 + "b" * 150_000})) as (_, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    text = result.content[0]["text"]
    assert len(text) < 101_000 and text[0] == "a" and text[-1] == "b"
    assert "200000 characters left out" in text
    assert len(result.output) == 300_000


@pytest.mark.parametrize(
    ("body", "text", "is_error"),
    [
        (b'{"output": "' + b"a" * 2_000_000 + b'end"}', "a", False),
        (b'{"is_error": true, "output": [' + b"1," * 1_000_000 + b"2]}", "[", True),
        (b"[" + b"{}," * 1_000_000 + b"3]", "[", False),
        (b'{"other": "' + b"x" * 2_000_000 + b'"}', '{"other"', False),
    ],
)
async def test_a_huge_output_is_shown_cut_and_kept_whole(
    dispatcher: WebhookDispatcher, body: bytes, text: str, is_error: bool
) -> None:
    async with endpoint(answering(Response(body))) as (_, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error is is_error and result.record["cut"] is True
    assert result.output == result.content[0]["text"] and len(result.output) < 101_000
    assert result.output.startswith(text) and "characters left out" in result.output
    whole = json.loads(body)
    assert result.full is not None
    assert json.loads(result.full) == (whole["output"] if b'"output"' in body else whole)


@pytest.mark.parametrize("body", [b'{"output": "' + b"a" * 2_000_000, b'"' + b"\xff" * 2_000_000 + b'"'])
async def test_huge_garbage_is_an_error_like_any(dispatcher: WebhookDispatcher, body: bytes) -> None:
    async with endpoint(answering(Response(body))) as (_, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error and "not JSON" in result.output["error"] and result.full is None


async def test_a_slow_endpoint_is_left_at_the_time_limit(dispatcher: WebhookDispatcher) -> None:
    async def slow(_: Request, __: int) -> Response:
        await asyncio.sleep(5)
        return JSONResponse({})

    async with endpoint(slow) as (receiver, url):
        result = await called(dispatcher, target(url, timeout_ms=300), SCOPE, CALL)
        assert result.is_error and "0.3 seconds" in result.output["error"]
        assert "not known" in result.output["error"]
        assert len(receiver.received) == 1 and result.record["latency_ms"] < 2000


async def test_a_call_that_may_have_arrived_is_not_repeated(dispatcher: WebhookDispatcher) -> None:
    async with closing(answers_at=2) as (seen, url):
        result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error and "Whether it took effect is not known" in result.output["error"]
    assert len(seen) == 1


async def test_an_idempotent_tool_is_called_again_when_the_connection_breaks(
    dispatcher: WebhookDispatcher,
) -> None:
    async with closing(answers_at=2) as (seen, url):
        result = await called(dispatcher, target(url, idempotent=True), SCOPE, CALL)
    assert (result.output, len(seen)) == (1, 2)


async def test_an_endpoint_that_is_down_is_tried_again_then_told(dispatcher: WebhookDispatcher) -> None:
    async with closing(answers_at=1) as (_, url):
        pass
    result = await called(dispatcher, target(url), SCOPE, CALL)
    assert result.is_error and "cannot be reached" in result.output["error"]
    assert result.record["attempts"] == 3 and result.record["status"] == "unreachable"


async def test_a_private_address_is_not_called(clock: ManualClock) -> None:
    async with endpoint(answering({"output": 1})) as (receiver, url):
        strict = WebhookDispatcher(OutboundPolicy(), clock)
        result = await called(strict, target(url.replace("127.0.0.1", "localhost")), SCOPE, CALL)
        await strict.close()
    assert result.is_error and receiver.received == []


@pytest.mark.parametrize("url", ["https://a b/", "gopher://x/", "https://xn--/"])
async def test_an_impossible_url_is_an_error_result(dispatcher: WebhookDispatcher, url: str) -> None:
    result = await called(dispatcher, target(url), SCOPE, CALL)
    assert isinstance(result, ToolResult) and result.is_error


async def test_connections_are_reused(dispatcher: WebhookDispatcher) -> None:
    async with endpoint(answering({"output": 1})) as (receiver, url):
        for _ in range(5):
            await called(dispatcher, target(url), SCOPE, CALL)
        assert len(receiver.received) == 5 and len(receiver.sockets) == 1
