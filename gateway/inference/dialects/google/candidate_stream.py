"""One candidate of a stream as the events of one choice."""

from typing import Any

import msgspec

from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Event,
    SignatureDelta,
    TextDelta,
)
from gateway.inference.dialects.google.calls import CallIds
from gateway.inference.dialects.google.citations import passages
from gateway.inference.dialects.google.finish import reason_of, stop_of
from gateway.inference.dialects.google.logprobs import decode_logprobs
from gateway.inference.dialects.google.parts import SIGNS_NEXT, WHOLE_PART
from gateway.inference.dialects.google.reading import extra
from gateway.inference.dialects.google.responses import decode_blocks
from gateway.inference.dialects.neutral import (
    Block,
    HiddenThinking,
    Text,
    Thinking,
    ToolUse,
)

MAX_CITED_CHARACTERS = 4 * 1024 * 1024
"""Text beyond is delivered, but not searched for cited passages."""
MAX_CITATIONS = 10_000


class CandidateStream:
    """Joins texts and thoughts that follow one another, as the whole answer would have them.

    A signature that comes with the first piece of a text stands before it; one that comes later (streams of
    Gemini 3 end with one) stands after it. It is held back until the text's citations are known.
    """

    def __init__(self, number: int, origin: str, ids: CallIds) -> None:
        self._number = number
        self._origin = origin
        self._ids = ids
        self._next = 0
        self._open: Text | Thinking | None = None
        self._signed = False
        """Whether the open thought has its signature."""
        self._text = ""
        self._held: HiddenThinking | None = None
        self._cited: set[bytes] = set()
        self._logprobs: list[dict[str, Any]] | None = None
        """Those of the chunk at hand, until they went out with its text."""
        self._called = False
        self._reason: str | None = None
        self._rest: dict[str, Any] = {}

    @property
    def finished(self) -> bool:
        return self._reason is not None

    def feed(self, candidate: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        self._logprobs = decode_logprobs(candidate.get("logprobsResult"))
        for part in parts if isinstance(parts, list) else ():
            blocks = decode_blocks(part, self._origin, self._ids)
            if len(blocks) == 2 and isinstance(self._open, Text) and self._held is None:
                blocks.reverse()  # a signed text goes on with the open one, so its signature comes after
            for block in blocks:
                self._add(block, events)
        self._cite(candidate, events)
        if isinstance(candidate.get("finishReason"), str):
            self._reason = candidate["finishReason"]
        for name, value in candidate.items():
            if name not in ("content", "finishReason", "index", "logprobsResult") and value:
                self._rest[name] = value
        return events

    def finish(self) -> list[Event]:
        """What is left once the stream has ended."""
        events: list[Event] = []
        self._close(events)
        reason = self._reason or ""
        stop = stop_of(reason, calls=self._called)
        if reason_of(stop) != reason:
            self._rest["finishReason"] = reason
        events.append(ChoiceFinished(stop=stop, choice=self._number, extra=extra(self._rest)))
        return events

    def _add(self, block: Block, events: list[Event]) -> None:
        if isinstance(block, Text):
            self._more_text(block, events)
        elif isinstance(block, Thinking):
            self._more_thinking(block, events)
        elif isinstance(block, HiddenThinking):
            whole = block.data.startswith(WHOLE_PART)
            if isinstance(self._open, Text) and self._held is None and not whole:
                self._held = HiddenThinking(
                    data=block.data.removeprefix(SIGNS_NEXT), origin=block.origin, extra=block.extra
                )
            else:
                self._whole(block, events)
        elif isinstance(block, ToolUse):
            self._called = True
            self._call(block, events)
        else:
            self._whole(block, events)

    def _more_text(self, block: Text, events: list[Event]) -> None:
        if not block.text and block.extra is None:
            return
        if not isinstance(self._open, Text) or self._held is not None or block.extra is not None:
            self._close(events)
            self._open = Text(text="", extra=block.extra)
            self._start(self._open, events)
        index = self._next - 1
        logprobs, self._logprobs = self._logprobs, None
        events.append(TextDelta(index=index, text=block.text, choice=self._number, logprobs=logprobs))
        if len(self._text) < MAX_CITED_CHARACTERS:
            self._text += block.text

    def _more_thinking(self, block: Thinking, events: list[Event]) -> None:
        if not isinstance(self._open, Thinking) or self._signed or block.extra is not None:
            self._close(events)
            self._open = Thinking(text="", origin=block.origin, extra=block.extra)
            self._start(self._open, events)
        index = self._next - 1
        if block.text:
            events.append(TextDelta(index=index, text=block.text, choice=self._number))
        if block.signature is not None:
            self._signed = True
            events.append(SignatureDelta(index=index, signature=block.signature, choice=self._number))

    def _call(self, block: ToolUse, events: list[Event]) -> None:
        """A call comes whole, but its arguments go as a delta, as every encoder expects them."""
        self._close(events)
        self._start(msgspec.structs.replace(block, arguments=""), events)
        index = self._next - 1
        events.append(ArgumentsDelta(index=index, text=block.arguments, choice=self._number))
        events.append(BlockStopped(index=index, choice=self._number))

    def _whole(self, block: Block, events: list[Event]) -> None:
        self._close(events)
        self._start(block, events)
        events.append(BlockStopped(index=self._next - 1, choice=self._number))

    def _start(self, block: Block, events: list[Event]) -> None:
        events.append(BlockStarted(index=self._next, block=block, choice=self._number))
        self._next += 1

    def _close(self, events: list[Event]) -> None:
        """Stops the open block, and sends the signature that was held back for after it."""
        if self._open is not None:
            events.append(BlockStopped(index=self._next - 1, choice=self._number))
        held, self._open, self._held = self._held, None, None
        self._signed, self._text = False, ""
        if held is not None:
            self._whole(held, events)

    def _cite(self, candidate: dict[str, Any], events: list[Event]) -> None:
        """Metadata may come again and again with more in it; each citation goes out once."""
        if not isinstance(self._open, Text):
            return
        for passage in passages(candidate):
            for citation in passage.cited(passage.within(self._text)):
                key = msgspec.json.encode(citation.data)
                if key not in self._cited and len(self._cited) < MAX_CITATIONS:
                    self._cited.add(key)
                    index = self._next - 1
                    events.append(CitationDelta(index=index, citation=citation, choice=self._number))
