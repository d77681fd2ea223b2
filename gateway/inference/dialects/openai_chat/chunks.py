"""A client's stream: events as ``chat.completion.chunk`` frames."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.inference.dialects.error_types import openai_type
from gateway.inference.dialects.events import (
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.openai_chat.choice_chunks import ChoiceWriter
from gateway.inference.dialects.openai_chat.client import Client
from gateway.inference.dialects.openai_chat.extras import own_fields
from gateway.inference.dialects.openai_chat.stops import encode_stop
from gateway.inference.dialects.openai_chat.usage import encode_usage, merged

_DONE = b"data: [DONE]\n\n"
_REPEATED = ("system_fingerprint", "service_tier", "provider")
"""Fields beside the choices that stand in every chunk, not only in the first."""


class ChatStreamEncoder:
    """See ``codec.StreamEncoder``. Blocks may overlap: text goes out as it comes, calls by their index.
    ``created`` is 0 where the provider did not say when."""

    def __init__(self, request: Request) -> None:
        self._shows_usage = request.stream_usage
        self._client = Client.of(request)
        self._head: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._choices: dict[int, ChoiceWriter] = {}
        self._over = False

    def feed(self, event: Event) -> bytes:
        if self._over:
            return b""
        match event:
            case Started():
                return self._start(event)
            case Finished():
                self._over = True
                return self._usage(event) + _DONE
            case Failed():
                self._over = True
                return _error(event)
            case ChoiceFinished():
                return self._finish(event)
        writer, opening = self._writer(event.choice)
        deltas = writer.write(event)
        return opening + b"".join(self._chunk(event.choice, delta, logprobs) for delta, logprobs in deltas)

    def _start(self, event: Started) -> bytes:
        kept = own_fields(event.extra)
        self._head |= {"id": event.id, "created": event.created_s or 0, "model": event.model}
        self._head |= {name: kept[name] for name in _REPEATED if name in kept}
        once = {name: value for name, value in kept.items() if name not in _REPEATED}
        self._choices[0] = ChoiceWriter(self._client)
        return self._chunk(0, {"role": "assistant", "content": ""}, once=once)

    def _writer(self, choice: int) -> tuple[ChoiceWriter, bytes]:
        """The writer of a choice, and the chunks that open it and those before it if they are new: the SDK
        keeps choices in the order in which they come."""
        opening = b""
        for index in range(len(self._choices), choice + 1):
            self._choices[index] = ChoiceWriter(self._client)
            opening += self._chunk(index, {"role": "assistant", "content": ""})
        return self._choices[choice], opening

    def _finish(self, event: ChoiceFinished) -> bytes:
        writer, opening = self._writer(event.choice)
        kept = own_fields(event.extra)
        audio = kept.pop("audio", None)
        reason = encode_stop(event.stop, called=writer.called)
        if writer.called_legacy and reason == "tool_calls":
            reason = "function_call"
        if event.stop_sequence is not None:
            kept["stop_reason"] = event.stop_sequence
        ending = b"".join(self._chunk(event.choice, delta) for delta in writer.flush())
        ending += self._chunk(event.choice, {}, more={"finish_reason": reason, **kept})
        if audio is not None:
            ending += self._chunk(event.choice, {"audio": audio})
        return opening + ending

    def _usage(self, event: Finished) -> bytes:
        """The chunk that only a client that asked for usage gets."""
        kept = own_fields(event.extra)
        left = kept.pop("usage", {})
        if not self._shows_usage or (event.usage is None and not left and not kept):
            return b""
        body: dict[str, Any] = {**self._head, "choices": [], **kept}
        if event.usage is not None or left:
            body["usage"] = merged(encode_usage(event.usage) if event.usage else {}, left)
        return _frame(body)

    def _chunk(
        self,
        choice: int,
        delta: Mapping[str, Any],
        logprobs: Mapping[str, Any] | None = None,
        *,
        more: Mapping[str, Any] | None = None,
        once: Mapping[str, Any] | None = None,
    ) -> bytes:
        entry = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": None, **(more or {})}
        return _frame({**self._head, "choices": [entry], **(once or {})})


def _error(failed: Failed) -> bytes:
    kind, code = openai_type(failed.type)
    said = {"message": failed.message, "type": kind, "code": failed.code or code, "param": None}
    return _frame({"error": said})


def _frame(body: Mapping[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
