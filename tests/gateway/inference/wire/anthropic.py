"""A reply in Anthropic's wire form."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.gateway.inference.wire.reply import Reply, pieces


def whole(reply: Reply, model: str, digest: str) -> bytes:
    content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
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


def _stop_reason(reply: Reply) -> str:
    if reply.calls:
        return "tool_use"
    return "max_tokens" if reply.truncated else "end_turn"


def _usage(reply: Reply, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": reply.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _start(index: int, block: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_delta", "index": index, "delta": delta})


def _event(event: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), msgspec.json.encode(event))
