"""A reply in the wire form of OpenAI's Chat Completions."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.gateway.inference.wire.reply import Reply, pieces

CREATED = 1_767_225_600


def whole(reply: Reply, model: str, digest: str) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.thoughts:
        message["reasoning_content"] = _thoughts(reply)
    if reply.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply)}
    return msgspec.json.encode(
        {
            "id": f"chatcmpl-sim{digest}",
            "object": "chat.completion",
            "created": CREATED,
            "model": model,
            "choices": [choice],
            "usage": _usage(reply),
            "system_fingerprint": "fp_sim",
        }
    )


def stream(reply: Reply, model: str, digest: str, *, include_usage: bool) -> Iterator[bytes]:
    head = {
        "id": f"chatcmpl-sim{digest}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "system_fingerprint": "fp_sim",
    }

    def chunk(delta: dict[str, Any] | None, finish_reason: str | None = None, usage: Any = None) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        body = {**head, "choices": choices}
        if include_usage:
            body["usage"] = usage
        return b"data: %s\n\n" % msgspec.json.encode(body)

    yield chunk({"role": "assistant", "content": "" if reply.text else None, "refusal": None})
    for piece in pieces(_thoughts(reply)):
        yield chunk({"reasoning_content": piece})
    for piece in pieces(reply.text):
        yield chunk({"content": piece})
    for index, call in enumerate(reply.calls):
        function = {"name": call.name, "arguments": ""}
        yield chunk(
            {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        )
        for piece in pieces(call.arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish_reason(reply))
    if include_usage:
        yield chunk(None, usage=_usage(reply))
    yield b"data: [DONE]\n\n"


def _finish_reason(reply: Reply) -> str:
    if reply.calls:
        return "tool_calls"
    return "length" if reply.truncated else "stop"


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.prompt_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens, "audio_tokens": 0},
    }


def _thoughts(reply: Reply) -> str:
    return "\n\n".join(thought.text for thought in reply.thoughts)


def error(message: str) -> bytes:
    """The body of a refused request."""
    return msgspec.json.encode(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    )


def stream_error(message: str) -> bytes:
    """A failure within a stream."""
    return b"data: %s\n\n" % msgspec.json.encode({"error": {"message": message, "type": "server_error"}})
