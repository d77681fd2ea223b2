"""A provider's stream into events (docs: Streaming Messages)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.inference.dialects.anthropic.arguments import arguments_of, input_of
from gateway.inference.dialects.anthropic.citations import decode_citation
from gateway.inference.dialects.anthropic.responses import answered, kept, text_or_empty
from gateway.inference.dialects.anthropic.stops import decode_stop
from gateway.inference.dialects.anthropic.usage import decode_usage, unread
from gateway.inference.dialects.error_types import neutral_type
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Event,
    Failed,
    Finished,
    SignatureDelta,
    Started,
    TextDelta,
)
from gateway.inference.dialects.frames import MAX_PENDING_BYTES, FrameOverflow, FrameSplitter, data_lines
from gateway.inference.dialects.neutral import (
    Block,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from kit.errors import InvalidRequest
from kit.json import NOT_JSON

_MESSAGE = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
_PIECES: dict[str, tuple[str, type[Text] | type[Thinking] | type[ToolUse]]] = {
    "text_delta": ("text", Text),
    "thinking_delta": ("thinking", Thinking),
    "signature_delta": ("signature", Thinking),
    "input_json_delta": ("partial_json", ToolUse),
}
"""In which field of which delta more of a block is."""


@dataclass
class _Open:
    """A block that has not stopped. A server's block has no index yet: it is told whole when it stops."""

    block: Block
    index: int = -1
    given: dict[str, Any] = field(default_factory=dict)
    """The input that came with the start; it counts if no piece of input follows."""
    pieces: list[str] = field(default_factory=list)
    size: int = 0
    heard: bool = False


class AnthropicStreamDecoder:
    """``origin`` is what the thoughts are marked with. An event that is no JSON or of no known type is
    passed over."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._frames = FrameSplitter()
        self._open: dict[int, _Open] = {}
        self._next_index = 0
        self._usage: dict[str, Any] = {}
        self._container: Any = None
        self._extra: dict[str, Any] = {}
        self._started = self._stopped = self._over = False

    def feed(self, data: bytes) -> list[Event]:
        if self._over:
            return []
        events: list[Event] = []
        try:
            for frame in self._frames.feed(data):
                events += self._frame(frame)
        except FrameOverflow as error:
            events += self._fail(str(error))
        return events

    def end(self) -> list[Event]:
        return [] if self._over else self._frame(self._frames.rest())

    def _frame(self, frame: bytes) -> list[Event]:
        if self._over or b"data:" not in frame:
            return []
        try:
            event = msgspec.json.decode(b"\n".join(data_lines(frame)))
        except NOT_JSON:
            return []
        return self._event(event) if isinstance(event, dict) else []

    def _event(self, event: dict[str, Any]) -> list[Event]:
        kind, index = event.get("type"), event.get("index")
        if kind == "error" or (kind is None and "error" in event):
            return self._error(event.get("error"))
        if kind == "message_start" and not self._started:
            return self._message_start(_mapping(event.get("message")))
        if not self._started:
            return []
        if kind == "message_delta":
            return self._message_delta(event)
        if kind == "message_stop":
            return self._message_stop()
        if not isinstance(index, int):
            return []
        if kind == "content_block_start":
            return self._block_start(index, event.get("content_block"))
        block = self._open.get(index)
        if block is None:
            return []
        if kind == "content_block_delta":
            return self._delta(block, _mapping(event.get("delta")))
        return self._block_stop(index) if kind == "content_block_stop" else []

    def _message_start(self, message: Mapping[str, Any]) -> list[Event]:
        self._started = True
        self._usage = dict(_mapping(message.get("usage")))
        self._container = message.get("container")
        usage = decode_usage(self._usage or None)
        left = {name: value for name, value in message.items() if name not in _MESSAGE}
        unread_usage = unread(self._usage, usage)
        if unread_usage:
            left["usage"] = unread_usage
        return [
            Started(
                id=text_or_empty(message.get("id")),
                model=text_or_empty(message.get("model")),
                usage=usage,
                extra=kept(left),
            )
        ]

    def _block_start(self, index: int, raw: Any) -> list[Event]:
        events = self._block_stop(index) if index in self._open else []
        block = answered(raw, self._origin)
        if block is None or self._stopped:
            return events
        opened = self._open[index] = _Open(block)
        if isinstance(block, ServerBlock):
            return events
        said: list[Event] = []
        opened.index = at = self._index()
        if isinstance(block, Text):
            said += [TextDelta(index=at, text=block.text)] if block.text else []
            said += [CitationDelta(index=at, citation=citation) for citation in block.citations or []]
            block.text = ""
            block.citations = None if block.citations is None else []
        elif isinstance(block, Thinking):
            said += [TextDelta(index=at, text=block.text)] if block.text else []
            said += [SignatureDelta(index=at, signature=block.signature)] if block.signature else []
            block.text, block.signature = "", None
        elif isinstance(block, ToolUse):
            opened.given, block.arguments = input_of(block.arguments), ""
        return [*events, BlockStarted(index=at, block=block), *said]

    def _delta(self, opened: _Open, delta: Mapping[str, Any]) -> list[Event]:
        block, at, kind = opened.block, opened.index, delta.get("type")
        if isinstance(block, ServerBlock):
            return self._server_delta(opened, block, delta)
        if kind == "citations_delta" and isinstance(block, Text):
            return _citation(at, delta.get("citation"))
        name, of = _PIECES.get(text_or_empty(kind), ("", Text))
        text = text_or_empty(delta.get(name))
        if not text or not isinstance(block, of):
            return []
        if kind == "signature_delta":
            return [SignatureDelta(index=at, signature=text)]
        if kind == "input_json_delta":
            opened.heard = True
            return [ArgumentsDelta(index=at, text=text)]
        return [TextDelta(index=at, text=text)]

    def _server_delta(self, opened: _Open, block: ServerBlock, delta: Mapping[str, Any]) -> list[Event]:
        if delta.get("type") == "input_json_delta":
            piece = text_or_empty(delta.get("partial_json"))
            opened.pieces.append(piece)
            opened.size += len(piece)
        elif delta.get("type") == "compaction_delta":
            block.data |= {name: value for name, value in delta.items() if name != "type"}
        if opened.size > MAX_PENDING_BYTES:
            return self._fail(f"an input of more than {MAX_PENDING_BYTES} characters")
        return []

    def _block_stop(self, index: int) -> list[Event]:
        opened = self._open.pop(index)
        events: list[Event] = []
        if isinstance(opened.block, ServerBlock):
            text = "".join(opened.pieces)
            if text.strip():
                opened.block.data["input"] = input_of(text)
            opened.index = self._index()
            events.append(BlockStarted(index=opened.index, block=opened.block))
        elif opened.given and not opened.heard:
            events.append(ArgumentsDelta(index=opened.index, text=arguments_of(opened.given)))
        return [*events, BlockStopped(index=opened.index)]

    def _message_delta(self, event: dict[str, Any]) -> list[Event]:
        raw = _mapping(event.get("usage"))
        self._usage |= {name: value for name, value in raw.items() if value is not None}
        self._extra = {name: value for name, value in event.items() if name not in {"type", "delta", "usage"}}
        unread_usage = unread(raw, decode_usage(self._usage))
        if unread_usage:
            self._extra["usage"] = unread_usage
        delta = dict(_mapping(event.get("delta")))
        self._container = self._container or delta.get("container")
        reason, sequence = delta.pop("stop_reason", None), delta.pop("stop_sequence", None)
        if reason is None or self._stopped:
            return []
        return self._finish_choice(reason, sequence, delta)

    def _finish_choice(self, reason: Any, sequence: Any, left: dict[str, Any]) -> list[Event]:
        events = [event for index in list(self._open) for event in self._block_stop(index)]
        self._stopped = True
        stop, unknown = decode_stop(reason)
        if unknown is not None:
            left["stop_reason"] = unknown
        finished = ChoiceFinished(
            stop=stop,
            stop_sequence=sequence if isinstance(sequence, str) else None,
            extra=kept(left),
        )
        return [*events, finished]

    def _message_stop(self) -> list[Event]:
        events = [] if self._stopped else self._finish_choice(None, None, {})
        self._over = True
        usage = decode_usage(self._usage or None, container=self._container)
        return [*events, Finished(usage=usage, extra=kept(self._extra))]

    def _error(self, error: Any) -> list[Event]:
        told = _mapping(error)
        code = told.get("code")
        return self._fail(
            text_or_empty(told.get("message")) or "the provider reports an error",
            neutral_type(told.get("type"), code),
            code if isinstance(code, str) else None,
        )

    def _fail(self, message: str, kind: str = "api_error", code: str | None = None) -> list[Event]:
        self._over = True
        self._open.clear()
        return [Failed(message=message, type=kind, code=code)]

    def _index(self) -> int:
        index, self._next_index = self._next_index, self._next_index + 1
        return index


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _citation(index: int, raw: Any) -> list[Event]:
    try:
        return [CitationDelta(index=index, citation=decode_citation(raw, "citation"))]
    except InvalidRequest:
        return []
