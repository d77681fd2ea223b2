"""Anthropic as a thread meets it: it streams what a script says, and has its prompt cache.

The cache is as Anthropic documents it: a prefix is remembered at each breakpoint if it has at least 1,024
tokens; a request reads the longest remembered prefix that ends at one of its breakpoints or at most 20 blocks
before one; what its last breakpoint covers beyond that is written. A token here is four characters of JSON.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

LEAST_TOKENS = 1_024
LOOK_BACK = 20
MOST_BREAKPOINTS = 4

Body = dict[str, Any]
Reply = list[dict[str, Any]] | int
"""Blocks of an answer, or the status of a refusal."""


class Cache:
    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def usage(self, body: Mapping[str, Any]) -> dict[str, int]:
        """The input's tokens: neither, read from the cache, written to it."""
        blocks = _prompt(body)
        prefixes: list[tuple[bytes, int]] = []
        digest, tokens = hashlib.sha256(), 0
        for block in blocks:
            text = msgspec.json.encode(_unmarked(block))
            digest.update(text)
            tokens += -(-len(text) // 4)
            prefixes.append((digest.digest(), tokens))
        marked = [place for place, block in enumerate(blocks) if block.get("cache_control")]
        assert len(marked) <= MOST_BREAKPOINTS
        near = {place - back for place in marked for back in range(LOOK_BACK) if place >= back}
        read = max((prefixes[place][1] for place in near if prefixes[place][0] in self._known), default=0)
        able = [prefixes[place] for place in marked if prefixes[place][1] >= LEAST_TOKENS]
        self._known |= {prefix for prefix, _ in able}
        written = max([read, *(size for _, size in able)]) - read
        return {
            "input_tokens": tokens - read - written,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
        }


class AnthropicWithCache:
    """An ASGI application. ``seen`` has the bodies of all requests, ``usages`` their input's tokens."""

    def __init__(self, reply: Callable[[Body], Reply]) -> None:
        self.reply = reply
        self.seen: list[Body] = []
        self.usages: list[dict[str, int]] = []
        self._cache = Cache()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw, more = raw + message.get("body", b""), message.get("more_body", False)
        body = msgspec.json.decode(raw)
        self.seen.append(body)
        reply = self.reply(body)
        if isinstance(reply, int):
            refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
            await _answer(send, reply, b"application/json", msgspec.json.encode(refusal))
            return
        usage = self._cache.usage(body)
        self.usages.append(usage)
        frames = b"".join(
            b"event: %s\ndata: %s\n\n" % (event["type"].encode(), msgspec.json.encode(event))
            for event in _events(body, reply, usage, len(self.seen))
        )
        await _answer(send, 200, b"text/event-stream", frames)

    @property
    def totals(self) -> dict[str, int]:
        return {name: sum(usage[name] for usage in self.usages) for name in self.usages[0]}


def _prompt(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All blocks, in the order in which a prompt is made of them."""
    system = body.get("system") or []
    blocks = [
        {"tool": _unmarked(tool), "cache_control": tool.get("cache_control")}
        for tool in body.get("tools", [])
    ]
    blocks += [{"type": "text", "text": system}] if isinstance(system, str) else system
    for message in body["messages"]:
        blocks += [{"role": message["role"], **block} for block in message["content"]]
    return blocks


def _unmarked(block: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != "cache_control"}


def _events(body: Body, reply: list[dict[str, Any]], usage: dict[str, int], number: int) -> list[Body]:
    head = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"]}
    start = {**head, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[Body] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(reply):
        text = block["type"] == "text"
        empty = {"type": "text", "text": ""} if text else {**block, "input": {}}
        delta = (
            {"type": "text_delta", "text": block["text"]}
            if text
            else {"type": "input_json_delta", "partial_json": msgspec.json.encode(block["input"]).decode()}
        )
        events += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    stop = "tool_use" if reply[-1]["type"] == "tool_use" else "end_turn"
    spent = -(-len(msgspec.json.encode(reply)) // 4)
    return [
        *events,
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": spent}},
        {"type": "message_stop"},
    ]


async def _answer(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
