"""A model provider that costs next to nothing: fixed bytes over a bare asyncio protocol.

It answers any ``POST``: a JSON body of 1 KB; with ``"stream":true`` in the request a stream of 100 events;
with ``paced`` in the request the same stream with 5 ms between the events, each in a segment of its own;
with ``idle`` in the request the stream's first events, and then nothing until the other side hangs up;
with the tool ``bench_tool`` and no result of it, a call of that tool. The dialect follows the path.

It is that tool's webhook, too: ``POST /bench_tool`` gets a short output.
"""

import asyncio
import re
import sys
from collections.abc import Mapping
from typing import cast

import msgspec
import uvloop

BODY_BYTES = 1024
EVENTS = 100
PACE_S = 0.005
IDLE_EVENTS = 10
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
_LAST_CHUNK = b"0\r\n\r\n"


def _anthropic_whole() -> bytes:
    message = {
        "model": "claude-haiku-4-5", "id": "msg_bench", "type": "message", "role": "assistant",
        "content": [{"type": "text", "text": "@"}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 25, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                  "output_tokens": 200, "service_tier": "standard"},
    }  # fmt: skip
    return _grown(message)


def _openai_whole() -> bytes:
    completion = {
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_767_225_600, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "@", "refusal": None},
                     "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 25, "completion_tokens": 200, "total_tokens": 225,
                  "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}},
    }  # fmt: skip
    return _grown(completion)


def _grown(body: Mapping[str, object]) -> bytes:
    """The body as exactly BODY_BYTES of JSON: its ``@`` becomes text of the right length."""
    encoded = msgspec.json.encode(body)
    return encoded.replace(b"@", b"x" * (BODY_BYTES - len(encoded) + 1))


def _anthropic_events() -> list[bytes]:
    usage = {"input_tokens": 25, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    message: dict[str, object] = {
        "model": "claude-haiku-4-5", "id": "msg_bench", "type": "message", "role": "assistant", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1},
    }  # fmt: skip
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    datas: list[dict[str, object]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for number in range(EVENTS - 5):
        delta = {"type": "text_delta", "text": f" word{number:03d}"}
        datas.append({"type": "content_block_delta", "index": 0, "delta": delta})
    datas += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ending, "usage": {**usage, "output_tokens": 200}},
        {"type": "message_stop"},
    ]
    return [
        b"event: %s\ndata: %s\n\n" % (str(data["type"]).encode(), msgspec.json.encode(data)) for data in datas
    ]


def _anthropic_call() -> list[bytes]:
    usage = {"input_tokens": 25, "output_tokens": 20}
    message: dict[str, object] = {
        "model": "claude-haiku-4-5", "id": "msg_bench", "type": "message", "role": "assistant", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    ending = {"stop_reason": "tool_use", "stop_sequence": None}
    block = {"type": "tool_use", "id": "toolu_bench", "name": "bench_tool", "input": {}}
    datas: list[dict[str, object]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"at":"noon"}'},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ending, "usage": usage},
        {"type": "message_stop"},
    ]
    return [
        b"event: %s\ndata: %s\n\n" % (str(data["type"]).encode(), msgspec.json.encode(data)) for data in datas
    ]


def _openai_events() -> list[bytes]:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_767_225_600,
            "model": "gpt-4o-mini"}  # fmt: skip
    choices: list[list[dict[str, object]]] = [[{"index": 0, "delta": {"role": "assistant", "content": ""}}]]
    for number in range(EVENTS - 4):
        choices.append([{"index": 0, "delta": {"content": f" word{number:03d}"}, "finish_reason": None}])
    choices.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    chunks: list[dict[str, object]] = [{**head, "choices": choice, "usage": None} for choice in choices]
    usage = {"prompt_tokens": 25, "completion_tokens": 200, "total_tokens": 225}
    chunks.append({**head, "choices": [], "usage": usage})
    return [b"data: %s\n\n" % msgspec.json.encode(chunk) for chunk in chunks] + [b"data: [DONE]\n\n"]


def _whole_response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def _chunks(events: list[bytes]) -> list[bytes]:
    return [b"%x\r\n%s\r\n" % (len(event), event) for event in events]


class _Dialect:
    def __init__(self, whole: bytes, events: list[bytes]) -> None:
        assert len(events) == EVENTS
        self.whole = _whole_response(whole)
        self.chunks = _chunks(events)
        self.burst = b"".join([_STREAM_HEAD, *self.chunks, _LAST_CHUNK])


ANTHROPIC = _Dialect(_anthropic_whole(), _anthropic_events())
OPENAI = _Dialect(_openai_whole(), _openai_events())
TOOL_CALL = b"".join([_STREAM_HEAD, *_chunks(_anthropic_call()), _LAST_CHUNK])
TOOL_OUTPUT = _whole_response(b'{"output":"the weather is fine"}')


class FakeUpstream(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass of it

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(self._received, 0, head_end)
        end = head_end + 4 + (int(length.group(1)) if length is not None else 0)
        if len(self._received) < end:
            return
        request, self._received = self._received[:end], self._received[end:]
        self._answer(request)

    def _answer(self, request: bytes) -> None:
        dialect = OPENAI if b"/chat/completions" in request[:100] else ANTHROPIC
        if b"/bench_tool" in request[:100]:
            self._transport.write(TOOL_OUTPUT)
        elif b'"bench_tool"' in request and b'"tool_result"' not in request:
            self._transport.write(TOOL_CALL)
        elif b'"stream":true' not in request:
            self._transport.write(dialect.whole)
        elif b"idle" in request:
            self._transport.write(b"".join([_STREAM_HEAD, *dialect.chunks[:IDLE_EVENTS]]))
        elif b"paced" in request:
            self._transport.write(_STREAM_HEAD)
            self._pace(dialect, 0)
        else:
            self._transport.write(dialect.burst)

    def _pace(self, dialect: _Dialect, number: int) -> None:
        if self._transport.is_closing():
            return
        if number == EVENTS:
            self._transport.write(_LAST_CHUNK)
            return
        self._transport.write(dialect.chunks[number])
        asyncio.get_running_loop().call_later(PACE_S, self._pace, dialect, number + 1)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(FakeUpstream, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    sys.stdout.write(f"the fake upstream listens on http://{host}:{port}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
