"""What the tests of the hot path share: one request and one answer in each dialect of clients."""

import asyncio
import json
from typing import Any

import httpx

from tests.gateway.inference.wire import anthropic as anthropic_wire
from tests.gateway.inference.wire import openai_chat as chat_wire
from tests.gateway.inference.wire import openai_responses as responses_wire
from tests.gateway.inference.wire.reply import Reply
from tests.gateway.serving import Serving

MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"
PATHS = (MESSAGES, CHAT, RESPONSES)
INPUT, OUTPUT = 100, 40
COST_NANOS = (INPUT * 1000 + OUTPUT * 5000) * 107 // 100
REPLY = Reply("Heddles lift the warp. " * 3, input_tokens=INPUT, output_tokens=OUTPUT)


def in_words_of(path: str, text: bytes) -> bytes:
    """A body or a field's name, written for ``/v1/messages``, as this path has it."""
    if path != RESPONSES:
        return text
    return text.replace(b"messages", b"input").replace(b"max_tokens", b"max_output_tokens")


def body_for(path: str, *, limit: int = 50, **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "hello"}]
    asked = {"model": "fake-model", "max_tokens": limit, "messages": said}
    fields: dict[str, Any] = json.loads(in_words_of(path, json.dumps(asked).encode()))
    return {**fields, **more}


def frames_of(path: str, *, include_usage: bool = True) -> list[bytes]:
    """``REPLY`` as a stream."""
    if path == MESSAGES:
        return list(anthropic_wire.stream(REPLY, "fake-model", "1"))
    if path == RESPONSES:
        return list(responses_wire.stream(REPLY, "fake-model", "1"))
    return list(chat_wire.stream(REPLY, "fake-model", "1", include_usage=include_usage))


def answer_of(path: str) -> bytes:
    """``REPLY`` as a whole."""
    if path == RESPONSES:
        return responses_wire.whole(REPLY, "fake-model", "1")
    if path == MESSAGES:
        return anthropic_wire.whole(REPLY, "fake-model", "1")
    return chat_wire.whole(REPLY, "fake-model", "1")


async def post_stream(heddle: Serving, path: str, body: dict[str, Any]) -> tuple[httpx.Response, bytes]:
    async with heddle.http.stream("POST", path, json={**body, "stream": True}) as answer:
        return answer, b"".join([chunk async for chunk in answer.aiter_raw()])


def events_in(raw: bytes) -> list[dict[str, Any]]:
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


def error_in(raw: bytes) -> dict[str, Any]:
    """The error that a stream ends in: beside its type in OpenAI's Responses, before the response that
    failed, else inside."""
    *before, event = events_in(raw)
    if event.get("type") == "response.failed":
        event = before[-1]
    assert event.get("type", "error") == "error", event
    error: dict[str, Any] = event.get("error", event)
    return error


async def settled(heddle: Serving) -> None:
    """Wait until the call under way has its usage row (a stream is settled after its last byte)."""
    for _ in range(500):
        if await heddle.usage_events():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the call was not settled within five seconds")


async def spent(heddle: Serving) -> int:
    return 5_000_000_000 - (await heddle.wallet()).balance_nanos
