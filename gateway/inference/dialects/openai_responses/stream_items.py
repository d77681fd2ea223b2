"""The open items of a stream that is being decoded: each knows what of it was already given."""

from dataclasses import dataclass
from typing import Any, cast

from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Event,
    SignatureDelta,
    TextDelta,
)
from gateway.inference.dialects.neutral import Refusal, Text, Thinking
from gateway.inference.dialects.openai_responses.blocks import decode_annotation
from gateway.inference.dialects.openai_responses.output import (
    arguments_of,
    decode_call,
    decode_output_part,
    message_note,
    note,
    objects,
)
from gateway.inference.dialects.openai_responses.reading import extra
from gateway.inference.dialects.openai_responses.reasoning import (
    JOINT,
    Kind,
    decode_reasoning,
    parts_of,
    seal,
)

MAX_BLOCKS = 10_000


class TooManyBlocks(ValueError):
    """A provider's answer does not end."""


class Blocks:
    """Numbers the blocks of an answer, and remembers what decides its reason to stop."""

    def __init__(self) -> None:
        self._next = 0
        self._counted = 0
        self.called = False
        self.refused = False

    def next(self) -> int:
        self.count()
        self._next += 1
        return self._next - 1

    def count(self) -> None:
        """Raises TooManyBlocks."""
        self._counted += 1
        if self._counted > 3 * MAX_BLOCKS:
            raise TooManyBlocks(f"the provider's answer has more than {MAX_BLOCKS} parts")


@dataclass(slots=True)
class _Part:
    index: int
    block: Text | Refusal
    seen: int = 0
    citations: int = 0
    stopped: bool = False


class MessageItem:
    """Each part of a message is a block."""

    def __init__(self, blocks: Blocks, item: dict[str, Any]) -> None:
        self._blocks = blocks
        self._item = item
        self._parts: dict[int, _Part | None] = {}
        """None for a part that comes whole when it is done."""

    def see(self, kind: str, event: dict[str, Any]) -> list[Event]:
        number = event.get("content_index")
        place = number if type(number) is int else 0
        if kind == "response.content_part.added":
            return self._begin(place, event.get("part"))
        if kind == "response.content_part.done":
            return self._finish(place, event.get("part"))
        if kind == "response.output_text.delta":
            return self._more(place, "output_text", event.get("delta"), event.get("logprobs"))
        if kind == "response.refusal.delta":
            return self._more(place, "refusal", event.get("delta"))
        if kind == "response.output_text.done":
            return self._complete(place, event.get("text"))
        if kind == "response.refusal.done":
            return self._complete(place, event.get("refusal"))
        if kind == "response.output_text.annotation.added":
            return self._annotation(place, event.get("annotation"))
        return []

    def finish(self, item: dict[str, Any]) -> list[Event]:
        """The item is done, and this is all of it (nothing if the provider did not say)."""
        events: list[Event] = []
        content = item.get("content")
        for place, part in enumerate(content if isinstance(content, list) else ()):
            events += self._finish(place, part)
        for open_part in self._parts.values():
            if open_part is not None and not open_part.stopped:
                events.append(BlockStopped(index=open_part.index))
        return events

    def _begin(self, place: int, value: Any) -> list[Event]:
        if place in self._parts:
            return []
        block = decode_output_part(value)
        if not isinstance(block, Text | Refusal):
            self._parts[place] = None
            self._blocks.count()
            return []
        self._blocks.refused |= isinstance(block, Refusal)
        whole, block.text = block.text, ""
        if isinstance(block, Text):
            block.citations = None
        if not self._parts:
            note(block, message_note(self._item))
        part = self._parts[place] = _Part(self._blocks.next(), block)
        logprobs = value.get("logprobs")
        return [BlockStarted(index=part.index, block=block), *self._complete(place, whole, logprobs)]

    def _more(self, place: int, kind: str, delta: Any, logprobs: Any = None) -> list[Event]:
        if not isinstance(delta, str) or not delta:
            return []
        empty = {"type": kind, "text" if kind == "output_text" else "refusal": ""}
        events = self._begin(place, empty)
        part = self._parts[place]
        if part is None or part.stopped:
            return events
        part.seen += len(delta)
        return [*events, TextDelta(index=part.index, text=delta, logprobs=objects(logprobs) or None)]

    def _complete(self, place: int, text: Any, logprobs: Any = None) -> list[Event]:
        """What a whole text has beyond what was streamed of it."""
        part = self._parts.get(place)
        if part is None or part.stopped or not isinstance(text, str) or len(text) <= part.seen:
            return []
        missing, part.seen = text[part.seen :], len(text)
        return [TextDelta(index=part.index, text=missing, logprobs=objects(logprobs) or None)]

    def _annotation(self, place: int, annotation: Any) -> list[Event]:
        part = self._parts.get(place)
        if part is None or part.stopped or not isinstance(annotation, dict):
            return []
        part.citations += 1
        return [CitationDelta(index=part.index, citation=decode_annotation(annotation))]

    def _finish(self, place: int, value: Any) -> list[Event]:
        if not isinstance(value, dict):
            return []
        events = self._begin(place, value)
        part = self._parts[place]
        if part is None:
            self._parts[place] = _Part(self._blocks.next(), Text(text=""), stopped=True)
            index = cast(_Part, self._parts[place]).index
            whole = decode_output_part(value)
            return [*events, BlockStarted(index=index, block=whole), BlockStopped(index=index)]
        if part.stopped:
            return events
        events += self._complete(place, value.get("text" if isinstance(part.block, Text) else "refusal"))
        for annotation in objects(value.get("annotations"))[part.citations :]:
            events += self._annotation(place, annotation)
        part.stopped = True
        return [*events, BlockStopped(index=part.index)]


class CallItem:
    """A call, whose arguments are streamed."""

    def __init__(self, blocks: Blocks, item: dict[str, Any]) -> None:
        self._call = decode_call(item)
        self._item = item
        self._seen = 0
        self.known = self._call is not None
        if self.known:
            blocks.called = True
            self._index = blocks.next()

    def begin(self) -> list[Event]:
        return [] if self._call is None else [BlockStarted(index=self._index, block=self._call)]

    def see(self, kind: str, event: dict[str, Any]) -> list[Event]:
        delta = event.get("delta")
        if kind in _ARGUMENTS and isinstance(delta, str) and delta:
            self._seen += len(delta)
            return [ArgumentsDelta(index=self._index, text=delta)]
        return []

    def finish(self, item: dict[str, Any]) -> list[Event]:
        assert self._call is not None
        arguments = arguments_of(self._call, item)
        if not self._seen:
            missing = arguments
        else:
            said = item.get("input" if self._call.custom else "arguments")
            missing = said[self._seen :] if isinstance(said, str) else ""
        events: list[Event] = [ArgumentsDelta(index=self._index, text=missing)] if missing else []
        return [*events, BlockStopped(index=self._index)]


_ARGUMENTS = {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}


class ReasoningItem:
    """One Thinking of all its parts; a HiddenThinking, at its end, if there is nothing to read."""

    def __init__(self, blocks: Blocks, item: dict[str, Any], origin: str) -> None:
        self._blocks = blocks
        self._item = item
        self._origin = origin
        self._index: int | None = None
        self._part: tuple[Kind, int] | None = None
        self._lengths: list[tuple[Kind, int]] = []

    def see(self, kind: str, event: dict[str, Any]) -> list[Event]:
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_summary_part.added"):
            part = event.get("part")
            text = part.get("text") if isinstance(part, dict) else event.get("delta")
            return self._more("summary", event.get("summary_index"), text)
        if kind == "response.reasoning_text.delta":
            return self._more("content", event.get("content_index"), event.get("delta"))
        return []

    def finish(self, item: dict[str, Any]) -> list[Event]:
        if "id" not in item and "id" in self._item:
            item = {**item, "id": self._item["id"]}
        try:
            parts = parts_of(item)
            whole = decode_reasoning(item, self._origin)
        except ValueError:
            return [] if self._index is None else [BlockStopped(index=self._index)]
        if self._index is None and not parts:
            index = self._blocks.next()
            return [BlockStarted(index=index, block=whole), BlockStopped(index=index)]
        events: list[Event] = []
        for number, (kind, text) in enumerate(parts):
            if number >= len(self._lengths):
                events += self._more(kind, -1 - number, text)
        assert self._index is not None
        said = [(kind, len(text)) for kind, text in parts]
        in_order = [kind for kind, _ in self._lengths] == sorted((k for k, _ in self._lengths), reverse=True)
        if in_order and _total(said) == _total(self._lengths):
            self._lengths = said  # of the same text, the item knows best where its parts end
        signature = seal(item.get("id"), item.get("encrypted_content"), self._lengths)
        return [
            *events,
            SignatureDelta(index=self._index, signature=signature),
            BlockStopped(index=self._index),
        ]

    def _more(self, kind: Kind, number: Any, text: Any) -> list[Event]:
        if not isinstance(text, str):
            return []
        events: list[Event] = []
        if self._index is None:
            self._index = self._blocks.next()
            events.append(BlockStarted(index=self._index, block=self._empty(kind)))
        part = (kind, number if type(number) is int else 0)
        if part != self._part:
            self._blocks.count()
            if self._lengths:
                events.append(TextDelta(index=self._index, text=JOINT))
            self._lengths.append((kind, 0))
            self._part = part
        self._lengths[-1] = (kind, self._lengths[-1][1] + len(text))
        return [*events, TextDelta(index=self._index, text=text)] if text else events

    def _empty(self, kind: Kind) -> Thinking:
        """It notes what an encoder of this dialect must say at an item's start."""
        notes: dict[str, Any] = {"_content": True} if kind == "content" else {}
        if isinstance(self._item.get("id"), str):
            notes["_id"] = self._item["id"]
        return Thinking(text="", origin=self._origin, extra=extra(notes))


def _total(lengths: list[tuple[Kind, int]]) -> int:
    """The length of all parts with what stands between them."""
    return sum(length for _, length in lengths) + len(JOINT) * (len(lengths) - 1)
