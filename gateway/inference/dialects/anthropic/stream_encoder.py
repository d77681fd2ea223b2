"""Events into a client's stream (docs: Streaming Messages).

A frame is an ``event:`` line, one ``data:`` line of compact JSON and an empty line. Only one block is open at
a time here: what belongs to a later block waits until the earlier ones have stopped.
"""

from typing import Any

import msgspec

from gateway.inference.dialects.anthropic.open_block import OpenBlock, open_block
from gateway.inference.dialects.anthropic.reading import own
from gateway.inference.dialects.anthropic.stops import encode_stop, refused
from gateway.inference.dialects.anthropic.usage import encode_usage
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    AudioDelta,
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
from gateway.inference.dialects.neutral import Refusal, Request, ToolUse

_Growth = TextDelta | ArgumentsDelta | SignatureDelta | CitationDelta | AudioDelta
_OfBlock = BlockStarted | BlockStopped | _Growth


def _frame(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


class AnthropicStreamEncoder:
    """Events of other choices than the first are passed over: clients of this dialect cannot ask for any."""

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._begun = self._over = False
        self._frames: list[bytes] = []
        """Of the event at hand."""
        self._index = 0
        """Of the open block, or of the next."""
        self._current: int | None = None
        """The neutral index of the open block."""
        self._block: OpenBlock | None = None
        """None for a block that is not shown."""
        self._shown = False
        self._waiting: dict[int, list[_OfBlock]] = {}
        self._choice: ChoiceFinished | None = None
        self._calls_tools = False
        self._refusal: list[str] = []
        self._refusing = False

    def feed(self, event: Event) -> bytes:
        if not self._over and not (isinstance(event, _OfBlock | ChoiceFinished) and event.choice != 0):
            self._take(event)
        frames, self._frames = self._frames, []
        return b"".join(frames)

    def _take(self, event: Event) -> None:
        if isinstance(event, Failed):
            self._fail(event)
            return
        if not self._begun:
            self._begin(event if isinstance(event, Started) else Started(id="", model=self._model))
        if isinstance(event, ChoiceFinished):
            self._choice = event
            self._stop_all()
        elif isinstance(event, Finished):
            self._finish(event)
        elif not isinstance(event, Started):
            self._of_block(event)
            self._take_waiting()

    def _emit(self, event: dict[str, Any]) -> None:
        self._frames.append(_frame(event))

    def _begin(self, event: Started) -> None:
        self._begun = True
        left = dict(own(event.extra))
        usage = {**encode_usage(event.usage), **left.pop("usage", {})}
        message = {
            "id": event.id,
            "type": "message",
            "role": "assistant",
            "model": event.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            **left,
            "usage": usage,
        }
        self._emit({"type": "message_start", "message": message})

    def _of_block(self, event: _OfBlock) -> None:
        if self._current is None and isinstance(event, BlockStarted):
            self._open(event)
        elif event.index != self._current:
            if isinstance(event, BlockStarted):
                self._waiting[event.index] = [event]
            elif event.index in self._waiting:
                self._waiting[event.index].append(event)
        elif isinstance(event, BlockStopped):
            self._close()
        elif not isinstance(event, BlockStarted) and self._block is not None:
            if self._refusing and isinstance(event, TextDelta):
                self._refusal.append(event.text)
            self._grow(self._block, self._block.more(event))

    def _take_waiting(self) -> None:
        while self._current is None and self._waiting:
            for event in self._waiting.pop(min(self._waiting)):
                self._of_block(event)

    def _open(self, event: BlockStarted) -> None:
        self._current, self._block, self._shown = event.index, open_block(event.block), False
        self._calls_tools = self._calls_tools or isinstance(event.block, ToolUse)
        self._refusing = isinstance(event.block, Refusal)
        if isinstance(event.block, Refusal):
            self._refusal.append(event.block.text)
        if self._block is not None:
            for body in self._block.before:
                self._whole(body)
            self._grow(self._block, self._block.first())

    def _grow(self, block: OpenBlock, deltas: list[dict[str, Any]]) -> None:
        if not self._shown and block.start is not None:
            self._shown = True
            self._start_block(block.start)
        for delta in deltas:
            self._emit({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> None:
        block, self._block, self._current = self._block, None, None
        if block is None:
            return
        if self._shown:
            self._grow(block, block.close())
            self._stop_block()
        for body in block.after():
            self._whole(body)

    def _stop_all(self) -> None:
        """The blocks that never stopped, too."""
        while self._current is not None or self._waiting:
            if self._current is not None:
                self._close()
            self._take_waiting()

    def _whole(self, body: dict[str, Any]) -> None:
        self._start_block(body)
        self._stop_block()

    def _start_block(self, body: dict[str, Any]) -> None:
        self._emit({"type": "content_block_start", "index": self._index, "content_block": body})

    def _stop_block(self) -> None:
        self._emit({"type": "content_block_stop", "index": self._index})
        self._index += 1

    def _finish(self, event: Finished) -> None:
        self._stop_all()
        self._over = True
        choice = self._choice or ChoiceFinished(stop="end_turn")
        words = "".join(self._refusal)
        delta = {
            "stop_reason": "refusal" if words else encode_stop(choice.stop, calls_tools=self._calls_tools),
            "stop_sequence": choice.stop_sequence,
            **({"stop_details": refused(words)} if words else {}),
            **own(choice.extra),
        }
        left = dict(own(event.extra))
        usage = {**encode_usage(event.usage), **left.pop("usage", {})}
        self._emit({"type": "message_delta", "delta": delta, "usage": usage, **left})
        self._emit({"type": "message_stop"})

    def _fail(self, event: Failed) -> None:
        self._over = True
        error = {"type": event.type, "message": event.message}
        if event.code is not None:
            error["code"] = event.code
        self._emit({"type": "error", "error": error})
