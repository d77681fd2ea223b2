"""A reply in Anthropic's wire form."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.gateway.inference.wire.reply import Reply, Thought, pieces


def whole(reply: Reply, model: str, digest: str) -> bytes:
    content = [_thought(thought) for thought in reply.thoughts]
    content += [{"type": "text", "text": reply.text}] if reply.text else []
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": msgspec.json.decode(call.arguments)}
        for call in reply.calls
    ]
    return msgspec.json.encode(
        {
            "id": f"msg_sim{digest}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": _stop_reason(reply),
            "stop_sequence": None,
            "usage": _usage(reply, reply.output_tokens),
        }
    )


def stream(reply: Reply, model: str, digest: str) -> Iterator[bytes]:
    message: dict[str, Any] = {
        "id": f"msg_sim{digest}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(reply, 1),
    }
    yield _event({"type": "message_start", "message": message}) + _event({"type": "ping"})
    index = 0
    for thought in reply.thoughts:
        yield from _streamed_thought(index, thought)
        index += 1
    if reply.text:
        yield _start(index, {"type": "text", "text": ""})
        for piece in pieces(reply.text):
            yield _delta(index, {"type": "text_delta", "text": piece})
        yield _event({"type": "content_block_stop", "index": index})
        index += 1
    for call in reply.calls:
        yield _start(index, {"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
        for piece in pieces(call.arguments):
            yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
        yield _event({"type": "content_block_stop", "index": index})
        index += 1
    yield _event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": _stop_reason(reply), "stop_sequence": None},
            "usage": _usage(reply, reply.output_tokens),
        }
    )
    yield _event({"type": "message_stop"})


def _thought(thought: Thought) -> dict[str, Any]:
    if not thought.text:
        return {"type": "redacted_thinking", "data": thought.signature}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _streamed_thought(index: int, thought: Thought) -> Iterator[bytes]:
    if not thought.text:
        yield _start(index, _thought(thought))
    else:
        yield _start(index, {"type": "thinking", "thinking": "", "signature": ""})
        for piece in pieces(thought.text):
            yield _delta(index, {"type": "thinking_delta", "thinking": piece})
        yield _delta(index, {"type": "signature_delta", "signature": thought.signature})
    yield _event({"type": "content_block_stop", "index": index})


def _stop_reason(reply: Reply) -> str:
    if reply.calls:
        return "tool_use"
    return "max_tokens" if reply.truncated else "end_turn"


def _usage(reply: Reply, output_tokens: int) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "input_tokens": reply.input_tokens,
        "cache_creation_input_tokens": reply.cache_write_tokens,
        "cache_read_input_tokens": reply.cache_read_tokens,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }
    if reply.reasoning_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": reply.reasoning_tokens}
    return usage


def error(message: str) -> bytes:
    """The body of a refused request."""
    return msgspec.json.encode(
        {"type": "error", "error": {"type": "invalid_request_error", "message": message}, "request_id": "r"}
    )


def stream_error(message: str) -> bytes:
    """A failure within a stream."""
    return _event({"type": "error", "error": {"type": "overloaded_error", "message": message}})


def _start(index: int, block: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_delta", "index": index, "delta": delta})


def _event(event: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), msgspec.json.encode(event))
