"""Dialects that the simulated model reads and writes by translation: OpenAI Responses and Google.

A request becomes one of OpenAI Chat, which is read as any other; its answer is translated back. What only
the vendor itself could do (its own tools, what it thought before) is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.inference.dialects.codec import Codec, Target
from gateway.inference.dialects.google.codec import GoogleCodec
from gateway.inference.dialects.neutral import (
    Block,
    HiddenThinking,
    Message,
    Request,
    ServerBlock,
    Text,
    Thinking,
    Tool,
    Video,
)
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec
from gateway.inference.dialects.openai_responses.codec import OpenAIResponsesCodec
from gateway.sim import openai_answer, openai_request
from gateway.sim.conversation import Conversation, Refused
from gateway.sim.directives import Directives
from gateway.sim.reply import Reply
from kit.errors import HeddleError

_CHAT = OpenAIChatCodec()
_ORIGIN = "openai-chat/sim"
_UNKNOWN_HERE = (Thinking, HiddenThinking, ServerBlock)
_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_encode = msgspec.json.encode


class Translated:
    """One request of a dialect, and its answers (``exchange.Answers``)."""

    REQUEST_ID_HEADER = b"x-request-id"

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._request = Request(model="", messages=[])

    def read(
        self, body: Mapping[str, Any], *, model: str | None = None, stream: bool | None = None
    ) -> Conversation:
        """``model`` and ``stream``: where the body does not say them. Raises Refused."""
        try:
            request = self._codec.decode_request(body)
            if model is not None:
                request.model = model
            if stream is not None:
                request.stream = request.stream_usage = stream
            self._request = request
            plain = _plain(request)
            chat = _CHAT.encode_request(plain, Target("sim", request.model, _ORIGIN)).body
        except HeddleError as error:
            raise Refused(400, error.message, param=error.param) from None
        return openai_request.read_request(chat, stand_in=True)

    def error(self, refused: Refused, request_id: str) -> bytes:
        return openai_answer.error(refused, request_id)

    def stream_error(self) -> bytes:
        return openai_answer.stream_error()

    def model_list(self) -> bytes:
        return openai_answer.model_list()

    def whole(self, reply: Reply, conversation: Conversation, directives: Directives) -> bytes:
        answer = msgspec.json.decode(openai_answer.whole(reply, conversation, directives))
        response = _CHAT.decode_response(answer, _ORIGIN)
        return _encode(self._codec.encode_response(response, self._request))

    def stream(self, reply: Reply, conversation: Conversation, directives: Directives) -> Iterator[bytes]:
        decoder = _CHAT.stream_decoder(_ORIGIN)
        encoder = self._codec.stream_encoder(self._request)
        for chunk in openai_answer.stream(reply, conversation, directives):
            if shown := b"".join(map(encoder.feed, decoder.feed(chunk))):
                yield shown
        if shown := b"".join(map(encoder.feed, decoder.end())):
            yield shown


class Google(Translated):
    """Its errors have a form of their own (google.rpc.Status)."""

    def __init__(self) -> None:
        super().__init__(GoogleCodec())

    def error(self, refused: Refused, request_id: str) -> bytes:  # noqa: ARG002 - the dialects share a shape
        status = _GOOGLE_STATUS.get(refused.status, "UNKNOWN")
        return _encode({"error": {"code": refused.status, "message": refused.message, "status": status}})

    def stream_error(self) -> bytes:
        return b"data: " + self.error(Refused(500, "An internal error has occurred."), "") + b"\n\n"


class Responses(Translated):
    def __init__(self) -> None:
        super().__init__(OpenAIResponsesCodec())

    def stream_error(self) -> bytes:
        event = {"type": "error", "code": "server_error", "message": "The server had an error", "param": None}
        return b"event: error\ndata: " + _encode(event) + b"\n\n"


def _plain(request: Request) -> Request:
    """The request without what only its vendor understands."""
    messages = []
    for message in request.messages:
        content = [_shown(block) for block in message.content if not isinstance(block, _UNKNOWN_HERE)]
        if content:
            messages.append(Message(role=message.role, content=content, name=message.name))
    tools = [tool for tool in request.tools if isinstance(tool, Tool)]
    choice = request.tool_choice if tools else None
    return msgspec.structs.replace(request, messages=messages, tools=tools, tool_choice=choice, extra=None)


def _shown(block: Block) -> Block:
    return Text(text="[video]") if isinstance(block, Video) else block
