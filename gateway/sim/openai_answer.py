"""The simulated model's answers in OpenAI's Chat Completions bytes: whole, streamed, and as errors.

Source: recorded exchanges, and the API reference (Chat, Streaming, Error codes).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.sim.conversation import MODELS, Conversation, Refused
from gateway.sim.directives import Directives
from gateway.sim.reply import Call, Reply

REQUEST_ID_HEADER = b"x-request-id"
CREATED = 1_767_225_600
"""2026-01-01, of every answer: answers to equal requests are equal."""
ERRORS = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    429: ("requests", "rate_limit_exceeded"),
}

_encode = msgspec.json.encode
_DONE = b"data: [DONE]\n\n"


def error(refused: Refused, request_id: str) -> bytes:  # noqa: ARG001 - the dialects share a shape
    kind, code = ERRORS.get(refused.status, ("invalid_request_error", None))
    if refused.status >= 500:
        kind, code = "server_error", None
    return _encode(
        {
            "error": {
                "message": refused.message,
                "type": refused.type or kind,
                "param": refused.param,
                "code": refused.code or code,
            }
        }
    )


def stream_error() -> bytes:
    """The chunk that a provider in trouble sends after its stream has begun."""
    message = "The server had an error while processing your request. Sorry about that!"
    return b"data: " + error(Refused(500, message), "") + b"\n\n"


def model_list() -> bytes:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "sim"} for name in MODELS]
    return _encode({"object": "list", "data": data})


def whole(reply: Reply, conversation: Conversation, directives: Directives) -> bytes:
    """The body of an answer that is not streamed; with ``n`` the same answer n times."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.text) or None, "refusal": None}
    if reply.calls:
        message["tool_calls"] = [
            {**_call(conversation, number, call), "type": "function"}
            for number, call in enumerate(reply.calls)
        ]
    message["annotations"] = []
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply)}
        for index in range(conversation.choices)
    ]
    return _encode(
        {
            "id": f"chatcmpl-sim{conversation.digest}",
            "object": "chat.completion",
            "created": CREATED,
            "model": conversation.model.id,
            "choices": choices,
            "usage": _usage(reply, conversation, directives),
            "service_tier": "default",
            "system_fingerprint": "fp_sim",
        }
    )


def stream(reply: Reply, conversation: Conversation, directives: Directives) -> Iterator[bytes]:
    """The chunks of a streamed answer; with ``n`` one choice after the other."""
    head = (
        f'data: {{"id":"chatcmpl-sim{conversation.digest}","object":"chat.completion.chunk",'
        f'"created":{CREATED},"model":"{conversation.model.id}","service_tier":"default",'
        '"system_fingerprint":"fp_sim","choices":'
    ).encode()
    tail = b',"usage":null}\n\n' if conversation.include_usage else b"}\n\n"
    for index in range(conversation.choices):
        before = b'%s[{"index":%d,"delta":' % (head, index)
        after = b',"logprobs":null,"finish_reason":null}]' + tail
        first = {"role": "assistant", "content": "" if reply.text else None, "refusal": None}
        yield before + _encode(first) + after
        for piece in reply.text:
            yield b'%s{"content":%s}%s' % (before, _encode(piece), after)
        for number, call in enumerate(reply.calls):
            opened = Call(call.tool, [])
            entry = {"index": number, **_call(conversation, number, opened), "type": "function"}
            yield b'%s{"tool_calls":[%s]}%s' % (before, _encode(entry), after)
            for piece in call.arguments:
                grown = b'{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}'
                yield b"%s%s%s" % (before, grown % (number, _encode(piece)), after)
        yield b'%s{},"logprobs":null,"finish_reason":"%s"}]%s' % (
            before,
            _finish_reason(reply).encode(),
            tail,
        )
    if conversation.include_usage:
        yield b'%s[],"usage":%s}\n\n' % (head, _encode(_usage(reply, conversation, directives)))
    yield _DONE


def _call(conversation: Conversation, number: int, call: Call) -> dict[str, Any]:
    function = {"name": call.tool, "arguments": "".join(call.arguments)}
    return {"id": f"call_sim{conversation.digest}{number:02d}", "function": function}


def _finish_reason(reply: Reply) -> str:
    if reply.cut_off:
        return "length"
    return "tool_calls" if reply.calls else "stop"


def _usage(reply: Reply, conversation: Conversation, directives: Directives) -> dict[str, Any]:
    """OpenAI counts what came from the cache as part of ``prompt_tokens``."""
    completion = reply.output_tokens * conversation.choices
    return {
        "prompt_tokens": conversation.input_tokens,
        "completion_tokens": completion,
        "total_tokens": conversation.input_tokens + completion,
        "prompt_tokens_details": {
            "cached_tokens": min(directives.cache_read, conversation.input_tokens),
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
