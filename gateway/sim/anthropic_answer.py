"""The simulated model's answers in Anthropic's bytes: whole, streamed, and as errors.

Source: recorded exchanges, and the API reference (Messages, Streaming Messages, Errors).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.sim.conversation import MODELS, Conversation, Refused
from gateway.sim.directives import Directives
from gateway.sim.reply import Call, Reply

REQUEST_ID_HEADER = b"request-id"
SIGNATURE = "c2ltdWxhdGVkLXNpZ25hdHVyZQ=="
CREATED = "2026-01-01T00:00:00Z"
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_encode = msgspec.json.encode
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def error(refused: Refused, request_id: str) -> bytes:
    fallback = "api_error" if refused.status >= 500 else "invalid_request_error"
    inner = {
        "type": refused.type or ERROR_TYPES.get(refused.status, fallback),
        "message": refused.message,
    }
    return _encode({"type": "error", "error": inner, "request_id": request_id})


def stream_error() -> bytes:
    """The event that a provider in trouble sends after its stream has begun."""
    inner = {"type": "overloaded_error", "message": "Overloaded"}
    return _event("error", {"type": "error", "error": inner})


def model_list() -> bytes:
    data = [
        {"type": "model", "id": name, "display_name": f"Simulated model ({name})", "created_at": CREATED}
        for name in MODELS
    ]
    return _encode({"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]})


def whole(reply: Reply, conversation: Conversation, directives: Directives) -> bytes:
    """The body of an answer that is not streamed."""
    content: list[dict[str, Any]] = []
    if reply.thinking:
        thought = "".join(reply.thinking)
        content.append({"type": "thinking", "thinking": thought, "signature": SIGNATURE})
    if reply.text:
        content.append({"type": "text", "text": "".join(reply.text)})
    for number, call in enumerate(reply.calls):
        content.append({**_tool_use(conversation, number, call), "input": _input(call)})
    usage = {**_input_usage(conversation, directives), "output_tokens": reply.output_tokens}
    message = _message(conversation, content, {**usage, "service_tier": "standard"})
    return _encode({**message, **_ending(reply)})


def stream(reply: Reply, conversation: Conversation, directives: Directives) -> Iterator[bytes]:
    """The events of a streamed answer."""
    usage = _input_usage(conversation, directives)
    message = _message(conversation, [], {**usage, "output_tokens": 1, "service_tier": "standard"})
    yield _event("message_start", {"type": "message_start", "message": message})
    index = 0
    if reply.thinking:
        yield _start(index, {"type": "thinking", "thinking": "", "signature": ""})
        yield _PING
        yield from _deltas(index, "thinking_delta", "thinking", reply.thinking)
        yield from _deltas(index, "signature_delta", "signature", [SIGNATURE])
        yield _block_stop(index)
        index += 1
    if reply.text:
        yield _start(index, {"type": "text", "text": ""})
        if index == 0:
            yield _PING
        yield from _deltas(index, "text_delta", "text", reply.text)
        yield _block_stop(index)
        index += 1
    for number, call in enumerate(reply.calls):
        yield _start(index, {**_tool_use(conversation, number, call), "input": {}})
        yield from _deltas(index, "input_json_delta", "partial_json", ["", *call.arguments])
        yield _block_stop(index)
        index += 1
    final = {**usage, "output_tokens": reply.output_tokens}
    final.pop("cache_creation")
    yield _event("message_delta", {"type": "message_delta", "delta": _ending(reply), "usage": final})
    yield _STOP


def _message(conversation: Conversation, content: list[Any], usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": conversation.model.id,
        "id": f"msg_sim{conversation.digest}",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def _tool_use(conversation: Conversation, number: int, call: Call) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_sim{conversation.digest}{number:02d}", "name": call.tool}


def _input(call: Call) -> msgspec.Raw:
    text = "".join(call.arguments).encode()
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:  # cut off by the token limit
        return msgspec.Raw(b"{}")
    return msgspec.Raw(text)


def _ending(reply: Reply) -> dict[str, Any]:
    if reply.cut_off:
        reason = "max_tokens"
    elif reply.calls:
        reason = "tool_use"
    else:
        reason = "stop_sequence" if reply.stopped_by is not None else "end_turn"
    return {"stop_reason": reason, "stop_sequence": reply.stopped_by, "stop_details": None}


def _input_usage(conversation: Conversation, directives: Directives) -> dict[str, Any]:
    """Anthropic counts what came from the cache, or went into it, apart from ``input_tokens``."""
    read = min(directives.cache_read, conversation.input_tokens)
    written = min(directives.cache_write, conversation.input_tokens - read)
    return {
        "input_tokens": conversation.input_tokens - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
    }


def _start(index: int, block: dict[str, Any]) -> bytes:
    return _event(
        "content_block_start", {"type": "content_block_start", "index": index, "content_block": block}
    )


def _deltas(index: int, kind: str, name: str, pieces: list[str]) -> Iterator[bytes]:
    head = (
        'event: content_block_delta\ndata: {"type":"content_block_delta",'
        f'"index":{index},"delta":{{"type":"{kind}","{name}":'
    ).encode()
    for piece in pieces:
        yield b"%s%s}}\n\n" % (head, _encode(piece))


def _block_stop(index: int) -> bytes:
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _encode(data))
