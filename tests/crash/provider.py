"""The provider that outlives the processes: chat, embeddings, images and speech at prices that are easily
told, and an answer slow enough to die in."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.loopback import served

INPUT_TOKENS, WORDS = 100, 8
WORD = "weaving:"
PACE_S = 0.02
CALL_NANOS = INPUT_TOKENS * 1_000 + WORDS * 5_000
"""What a chat costs: 1 USD and 5 USD per million tokens."""
TOOL_ROUNDS = 2
"""How often a conversation with tools has all of them called before it ends."""


class Provider:
    """``asked`` counts requests, ``asked_by`` chats by their first message; ``on_request`` is awaited before
    one is answered."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.asked_by: Counter[str] = Counter()
        self.on_request: Callable[[], Awaitable[None]] | None = None

    def settings(self) -> dict[str, Any]:
        """What Heddle must know of it."""
        tokens = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "5", "max_output_tokens": 1_000}
        return {
            "providers": {
                "chatty": {"dialect": "anthropic", "base_url": self.url},
                "media": {"dialect": "openai-chat", "base_url": f"{self.url}/v1"},
            },
            "models": {
                "chat": {"provider": "chatty", **tokens},
                "embed": {"provider": "media", "input_usd_per_mtok": "1"},
                "say": {
                    "provider": "media",
                    "upstream_model": "tts-1",
                    "unit_usd": {"input_character": "0.0001"},
                },
                "draw": {"provider": "media", "upstream_model": "flux", "unit_usd": {"image": "0.04"}},
            },
            "max_tries": 1,
        }

    async def handle(self, request: Request) -> Response:
        body = await request.json()
        self.asked += 1
        if self.on_request is not None:
            await self.on_request()
        path = request.url.path
        if path == "/v1/embeddings":
            vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
            usage = {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS}
            return JSONResponse({"object": "list", "data": [vector], "model": "embed", "usage": usage})
        if path == "/v1/images/generations":
            return JSONResponse({"created": 1, "data": [{"b64_json": "AA=="}]})
        if path == "/v1/audio/speech":
            return StreamingResponse(_sound(), media_type="audio/mpeg")
        message = _message(body)
        self.asked_by[_subject(body)] += 1
        if not body.get("stream"):
            return JSONResponse(message)
        return StreamingResponse(_events(message), media_type="text/event-stream")


def _subject(body: dict[str, Any]) -> str:
    content = body["messages"][0]["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def text_of_round(number: int) -> str:
    """What the model says in its n-th answer: no two words of a conversation are the same."""
    return "".join(f"{WORD}{number}.{word} " for word in range(WORDS))


def _message(body: dict[str, Any]) -> dict[str, Any]:
    """Words; and calls of all tools, until they have been called often enough."""
    answered = sum(
        isinstance(message["content"], list)
        and any(block["type"] == "tool_result" for block in message["content"])
        for message in body["messages"]
    )
    number = answered + 1
    tools = body.get("tools", []) if number <= TOOL_ROUNDS else []
    given = {"subject": _subject(body), "round": number}
    calls = [
        {"type": "tool_use", "id": f"toolu_{number}_{place}", "name": tool["name"], "input": given}
        for place, tool in enumerate(tools)
    ]
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": text_of_round(number)}, *calls],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": WORDS},
    }


async def _events(message: dict[str, Any]) -> AsyncIterator[bytes]:
    for event in _stream_of(message):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        await asyncio.sleep(PACE_S)


def _stream_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    start = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    return [
        {"type": "message_start", "message": start},
        *(event for index, block in enumerate(message["content"]) for event in _block(index, block)),
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": WORDS}},
        {"type": "message_stop"},
    ]


def _block(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    if block["type"] == "text":
        begun, words = {**block, "text": ""}, block["text"].split(" ")[:-1]
        deltas = [{"type": "text_delta", "text": f"{word} "} for word in words]
    else:
        text = json.dumps(block["input"])
        begun, pieces = {**block, "input": {}}, [text[at : at + 20] for at in range(0, len(text), 20)]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


async def _sound() -> AsyncIterator[bytes]:
    for _ in range(WORDS):
        yield b"\0" * 512
        await asyncio.sleep(PACE_S)


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    found = Provider()
    app = Starlette(routes=[Route("/{path:path}", found.handle, methods=["POST"])])
    async with served(lambda _: app, lifespan=False) as url:
        found.url = url
        yield found
