"""What is written for one block of a stream after the other."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from gateway.inference.dialects.events import (
    ArgumentsDelta,
    AudioDelta,
    CitationDelta,
    Event,
    SignatureDelta,
    TextDelta,
)
from gateway.inference.dialects.neutral import (
    Citation,
    HiddenThinking,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from gateway.inference.dialects.openai_responses.blocks import encode_annotation
from gateway.inference.dialects.openai_responses.output import Item, ItemMaker
from gateway.inference.dialects.openai_responses.reading import NAME, own
from gateway.inference.dialects.openai_responses.reasoning import JOINT


class Frames:
    """The frames of a stream, numbered from ``first`` on."""

    def __init__(self, first: int = 0) -> None:
        self._number = first
        self._written: list[bytes] = []

    def emit(self, kind: str, fields: Mapping[str, Any]) -> None:
        event = {"type": kind, **fields, "sequence_number": self._number}
        self._number += 1
        data = msgspec.json.encode(event)
        self._written.append(b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n")

    def take(self) -> bytes:
        written, self._written = b"".join(self._written), []
        return written


class Writer(Protocol):
    """Writes one block."""

    def write(self, event: Event) -> None: ...

    def stop(self) -> Item | None:
        """The item of the block, if it is not a part of a message's."""
        ...


class MessageWriter:
    """A message item, open as long as its parts follow each other."""

    def __init__(self, frames: Frames, item: Item, place: int) -> None:
        self._frames = frames
        self.item = item
        self.place = place
        begun = item | {"status": "in_progress", "content": []}
        frames.emit("response.output_item.added", {"output_index": place, "item": begun})

    def add(self, part: Item) -> None:
        """A part that comes whole and of which no more is known."""
        fields = self.address(len(self.item["content"])) | {"part": part}
        self.item["content"].append(part)
        self._frames.emit("response.content_part.added", fields)
        self._frames.emit("response.content_part.done", fields)

    def address(self, content_index: int) -> dict[str, Any]:
        return {"item_id": self.item["id"], "output_index": self.place, "content_index": content_index}

    def close(self) -> Item:
        fields = {"output_index": self.place, "item": self.item}
        self._frames.emit("response.output_item.done", fields)
        return self.item


class PartWriter:
    """A text or a refusal in a message."""

    def __init__(
        self, frames: Frames, message: MessageWriter, block: Text | Refusal, make: ItemMaker
    ) -> None:
        self._frames = frames
        self._message = message
        self._block = block
        self._make = make
        self._pieces: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._citations: list[Citation] = []
        self._kind = "refusal" if isinstance(block, Refusal) else "output_text"
        self._address = message.address(len(message.item["content"]))
        empty = Text(text="") if isinstance(block, Text) else Refusal(text="")
        frames.emit("response.content_part.added", self._address | {"part": make.part(empty)})
        if block.text:
            self._text(block.text, None)
        for citation in (block.citations or ()) if isinstance(block, Text) else ():
            self._cite(citation)

    def write(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self._text(event.text, event.logprobs)
        elif isinstance(event, AudioDelta) and event.transcript:
            self._text(event.transcript, None)
        elif isinstance(event, CitationDelta):
            self._cite(event.citation)

    def stop(self) -> None:
        text = "".join(self._pieces)
        block = replace(self._block, text=text)
        if isinstance(block, Text):
            block.citations = self._citations
        part = self._make.part(block, self._logprobs)
        said = (
            {"text": text, "logprobs": self._logprobs} if self._kind == "output_text" else {"refusal": text}
        )
        self._frames.emit(f"response.{self._kind}.done", self._address | said)
        self._frames.emit("response.content_part.done", self._address | {"part": part})
        self._message.item["content"].append(part)

    def _text(self, text: str, logprobs: list[dict[str, Any]] | None) -> None:
        self._pieces.append(text)
        fields: dict[str, Any] = self._address | {"delta": text}
        if self._kind == "output_text":
            self._logprobs += logprobs or ()
            fields["logprobs"] = logprobs or []
        self._frames.emit(f"response.{self._kind}.delta", fields)

    def _cite(self, citation: Citation) -> None:
        annotation = encode_annotation(citation, sum(map(len, self._pieces)))
        if annotation is None or self._kind == "refusal":
            return
        number = len(self._citations)
        self._citations.append(citation)
        fields = self._address | {"annotation_index": number, "annotation": annotation}
        self._frames.emit("response.output_text.annotation.added", fields)


class CallWriter:
    """A call. It is announced with its first arguments, since its id also holds a signature that may come
    after its start."""

    def __init__(self, frames: Frames, place: int, block: ToolUse, make: ItemMaker, index: int) -> None:
        self._frames = frames
        self._place = place
        self._block = replace(block, arguments="")
        self._make = make
        self._index = index
        self._arguments = [block.arguments] if block.arguments else []
        self._told = 0
        self._address: dict[str, Any] | None = None
        self._field = "input" if make.is_custom(block) else "arguments"
        self._translated = make.is_custom(block) and not block.custom
        """Its JSON must be whole before its text can be told."""

    def write(self, event: Event) -> None:
        if isinstance(event, SignatureDelta) and self._address is None:
            self._block.signature = event.signature
        elif isinstance(event, ArgumentsDelta):
            self._arguments.append(event.text)
            if not self._translated:
                self._tell()

    def stop(self) -> Item:
        if not self._translated:
            self._tell()
        address = self._announce()
        self._block.arguments = "".join(self._arguments)
        item = self._make.call(self._block, self._index)
        whole = item[self._field]
        if self._translated or whole != self._block.arguments:
            self._frames.emit(_CALL_EVENTS[self._field] + "delta", address | {"delta": whole})
        self._frames.emit(_CALL_EVENTS[self._field] + "done", address | {self._field: whole})
        self._frames.emit("response.output_item.done", {"output_index": self._place, "item": item})
        return item

    def _announce(self) -> dict[str, Any]:
        if self._address is None:
            item = self._make.call(self._block, self._index) | {"status": "in_progress", self._field: ""}
            self._address = {"item_id": item["id"], "output_index": self._place}
            self._frames.emit("response.output_item.added", {"output_index": self._place, "item": item})
        return self._address

    def _tell(self) -> None:
        if not self._told and self._field == "arguments" and not "".join(self._arguments).strip():
            return  # if no more comes, this is a call without arguments
        for text in self._arguments[self._told :]:
            fields = self._announce() | {"delta": text}
            self._frames.emit(_CALL_EVENTS[self._field] + "delta", fields)
        self._told = len(self._arguments)


_CALL_EVENTS = {
    "input": "response.custom_tool_call_input.",
    "arguments": "response.function_call_arguments.",
}


class ReasoningWriter:
    """A reasoning item. The thoughts of other makers are its summary."""

    def __init__(
        self, frames: Frames, place: int, block: Thinking | HiddenThinking, make: ItemMaker, index: int
    ) -> None:
        self._frames = frames
        self._place = place
        self._block = block
        self._make = make
        self._index = index
        notes = own(block.extra)
        known = block.item_id if isinstance(block, HiddenThinking) and block.origin == NAME else None
        self._id = notes.get("_id") or known or make.new_id("rs", index)
        self._content = "_content" in notes
        self._text: list[str] = []
        self._part: list[str] | None = None
        self._parts = 0
        begun: Item = {"id": self._id, "type": "reasoning", "status": "in_progress", "summary": []}
        frames.emit("response.output_item.added", {"output_index": place, "item": begun})
        if isinstance(block, Thinking) and block.text:
            self._more(block.text)

    def write(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self._more(event.text)
        elif isinstance(event, SignatureDelta) and isinstance(self._block, Thinking):
            self._block = replace(self._block, signature=event.signature)
        elif isinstance(event, SignatureDelta) and isinstance(self._block, HiddenThinking):
            self._block = replace(self._block, data=event.signature)

    def stop(self) -> Item:
        self._end_part()
        if isinstance(self._block, Thinking):
            self._block = replace(self._block, text="".join(self._text))
        item = self._make.reasoning(self._block, self._index) | {"id": self._id}
        self._frames.emit("response.output_item.done", {"output_index": self._place, "item": item})
        return item

    def _more(self, text: str) -> None:
        self._text.append(text)
        part = self._part if self._part is not None else self._begin_part()
        if text == JOINT and self._block.origin == NAME:
            self._end_part()
            self._begin_part()
            return
        part.append(text)
        kind = "reasoning_text" if self._content else "reasoning_summary_text"
        self._frames.emit(f"response.{kind}.delta", self._address() | {"delta": text})

    def _begin_part(self) -> list[str]:
        self._part = []
        self._emit_part("added", "")
        return self._part

    def _end_part(self) -> None:
        if self._part is None:
            return
        text = "".join(self._part)
        kind = "reasoning_text" if self._content else "reasoning_summary_text"
        self._frames.emit(f"response.{kind}.done", self._address() | {"text": text})
        self._emit_part("done", text)
        self._part = None
        self._parts += 1

    def _emit_part(self, change: str, text: str) -> None:
        kind = "content_part" if self._content else "reasoning_summary_part"
        part = {"type": "reasoning_text" if self._content else "summary_text", "text": text}
        self._frames.emit(f"response.{kind}.{change}", self._address() | {"part": part})

    def _address(self) -> dict[str, Any]:
        number = {"content_index" if self._content else "summary_index": self._parts}
        return {"item_id": self._id, "output_index": self._place} | number


class WholeWriter:
    """An item that has no pieces."""

    def __init__(self, frames: Frames, place: int, item: Item) -> None:
        self._item = item
        fields = {"output_index": place, "item": item}
        frames.emit("response.output_item.added", fields)
        frames.emit("response.output_item.done", fields)

    def write(self, event: Event) -> None:
        """Nothing can come."""

    def stop(self) -> Item:
        return self._item
