"""A reply in the wire form of Google's generateContent."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.gateway.inference.wire.reply import Call, Reply, Thought, pieces


def whole(reply: Reply, model: str, digest: str) -> bytes:
    parts = [_thought(thought) for thought in reply.thoughts]
    if reply.text:
        parts.append({"text": reply.text, **_signed(reply.text_signature)})
    parts += [_call(call) for call in reply.calls]
    return msgspec.json.encode(_answer(reply, parts, model, digest, last=True))


def stream(reply: Reply, model: str, digest: str) -> Iterator[bytes]:
    """A text's signature comes last, in a part of its own."""
    parts: list[dict[str, Any]] = []
    for thought in reply.thoughts:
        parts += [_thought(Thought(piece)) for piece in pieces(thought.text)]
    parts += [{"text": piece} for piece in pieces(reply.text)]
    parts += [_call(call) for call in reply.calls]
    for part in parts:
        yield _event(_answer(reply, [part], model, digest, last=False))
    ending = {"text": "", **_signed(reply.text_signature)}
    yield _event(_answer(reply, [ending], model, digest, last=True))


def error(message: str) -> bytes:
    """The body of a refused request."""
    return msgspec.json.encode({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})


def stream_error(message: str) -> bytes:
    """A failure within a stream."""
    return _event({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})


def _answer(
    reply: Reply, parts: list[dict[str, Any]], model: str, digest: str, *, last: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = "MAX_TOKENS" if reply.truncated else "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(reply, last=last),
        "modelVersion": model,
        "responseId": f"sim{digest}",
    }


def _usage(reply: Reply, *, last: bool) -> dict[str, Any]:
    """Thoughts are counted beside the answer; while it streams, only its first token is."""
    answered = reply.output_tokens - reply.reasoning_tokens if last else 1
    thought = reply.reasoning_tokens if last else 0
    usage = {
        "promptTokenCount": reply.prompt_tokens,
        "candidatesTokenCount": answered,
        "totalTokenCount": reply.prompt_tokens + answered + thought,
    }
    if reply.cache_read_tokens:
        usage["cachedContentTokenCount"] = reply.cache_read_tokens
    if thought:
        usage["thoughtsTokenCount"] = thought
    return usage


def _thought(thought: Thought) -> dict[str, Any]:
    return {"text": thought.text, "thought": True}


def _call(call: Call) -> dict[str, Any]:
    arguments = msgspec.json.decode(call.arguments)
    function = {"name": call.name, "args": arguments} | ({"id": call.id} if call.id else {})
    return {"functionCall": function, **_signed(call.signature)}


def _signed(signature: str | None) -> dict[str, Any]:
    return {} if signature is None else {"thoughtSignature": signature}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: %s\r\n\r\n" % msgspec.json.encode(body)
