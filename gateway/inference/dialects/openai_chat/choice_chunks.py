"""One choice of a client's stream: events as the deltas that the clients' accumulators add up.

Lists within a delta (``tool_calls``, ``reasoning_details``, ``annotations``, ``images``) are added up by the
``index`` of their entries, so each entry has one.
"""

from dataclasses import dataclass
from typing import Any

from gateway.inference.dialects.carried import with_signature
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    AudioDelta,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    SignatureDelta,
    TextDelta,
)
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Citation,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.calls import google_signature
from gateway.inference.dialects.openai_chat.choice_encoding import REASONING_FIELD, encode_image
from gateway.inference.dialects.openai_chat.citations import encode_citation
from gateway.inference.dialects.openai_chat.client import Client, unwrapped
from gateway.inference.dialects.openai_chat.extras import DIALECT, form, is_own_origin, own_fields
from gateway.inference.dialects.openai_chat.thoughts import DETAILS, encode_detail

Delta = dict[str, Any]
BlockEvent = (
    BlockStarted | TextDelta | ArgumentsDelta | SignatureDelta | CitationDelta | AudioDelta | BlockStopped
)


@dataclass(slots=True, eq=False)
class _Growing:
    """A block that has started. A thought of another maker is gathered in it, since its signature goes out
    together with all of its text."""

    block: Block
    place: int = 0
    """The index within ``tool_calls`` or ``reasoning_details``."""
    started_at: int = 0
    """Characters of the answer's text before this block."""
    argued: bool = False
    signature: str | None = None
    wrapped: str | None = None
    """The JSON of a free-form call so far, whose text can be taken out only when it is whole."""


class ChoiceWriter:
    """``write`` gives deltas, each with its logprobs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._legacy = client.legacy
        self._blocks: dict[int, _Growing] = {}
        self._text_length = 0
        self._places: dict[str, int] = {}
        self._waiting: list[_Growing] = []
        """Calls that have not been announced."""
        self.called = False
        self.called_legacy = False

    def write(self, event: BlockEvent) -> list[tuple[Delta, dict[str, Any] | None]]:
        begun = [] if isinstance(event, SignatureDelta) else self._announce()
        if isinstance(event, TextDelta):
            return [(delta, None) for delta in begun] + self._grow_text(event)
        return [(delta, None) for delta in begun + self._deltas(event)]

    def _deltas(self, event: BlockEvent) -> list[Delta]:
        if isinstance(event, BlockStarted):
            return self._start(event.index, event.block)
        growing = self._blocks.get(event.index)
        if growing is None:
            return []
        match event:
            case ArgumentsDelta():
                return self._argue(growing, event.text)
            case SignatureDelta():
                return self._sign(growing, event.signature)
            case CitationDelta():
                return self._cite(event.citation, growing)
            case AudioDelta():
                return _sound(event.data, event.transcript)
            case BlockStopped():
                return self._stop(self._blocks.pop(event.index))
        return []

    def flush(self) -> list[Delta]:
        """What blocks that were never stopped still hold."""
        deltas = self._announce()
        deltas += [delta for growing in self._blocks.values() for delta in self._stop(growing)]
        self._blocks.clear()
        return deltas

    def _next(self, name: str) -> int:
        place = self._places.get(name, 0)
        self._places[name] = place + 1
        return place

    def _start(self, index: int, block: Block) -> list[Delta]:
        growing = self._blocks[index] = _Growing(block, started_at=self._text_length)
        match block:
            case Text():
                self._text_length += len(block.text)
                shown = [{"content": block.text}] if block.text else []
                return shown + [
                    delta for item in block.citations or () for delta in self._cite(item, growing)
                ]
            case Refusal():
                return [{"refusal": block.text}] if block.text else []
            case Thinking():
                growing.place = self._next(DETAILS) if self._is_detailed(block) else -1
                whole, growing.block = block, _copy(block)
                deltas = self._think(growing, whole.text) if whole.text else []
                return deltas + (self._sign(growing, whole.signature) if whole.signature else [])
            case HiddenThinking():
                growing.place = self._next(DETAILS)
                return self._sign(growing, block.data) if block.data else []
            case ToolUse():
                self.called = True
                self._legacy = self._legacy or bool(form(block.extra, "legacy"))
                self.called_legacy = self._legacy
                growing.place, growing.signature = self._next("tool_calls"), block.signature
                growing.wrapped = "" if self._client.must_unwrap(block) else None
                self._waiting.append(growing)
                if not block.arguments:
                    return []
                return [*self._announce(), *self._argue(growing, block.arguments)]
        return self._show(block)

    def _show(self, block: Block) -> list[Delta]:
        """Blocks that come whole; what this dialect has no place for is left out."""
        match block:
            case Audio():
                named = own_fields(block.extra)
                return ([{"audio": named}] if named else []) + _sound(block.data, block.transcript or "")
            case Image() if isinstance(block.source, Inline | Linked):
                return [{"images": [{**encode_image(block), "index": self._next("images")}]}]
            case ServerBlock() if block.dialect == DIALECT:
                return [{"content": [block.data]}] if "type" in block.data else [block.data]
        return []

    def _grow_text(self, event: TextDelta) -> list[tuple[Delta, dict[str, Any] | None]]:
        growing = self._blocks.get(event.index)
        if growing is None:
            return []
        if isinstance(growing.block, Refusal):
            shown = {"content": None, "refusal": event.logprobs}
            return [({"refusal": event.text}, shown if event.logprobs else None)]
        logprobs = {"content": event.logprobs, "refusal": None} if event.logprobs else None
        if isinstance(growing.block, Thinking):
            deltas = self._think(growing, event.text) if event.text else [{"content": ""}]
        else:
            self._text_length += len(event.text)
            deltas = [{"content": event.text}]
        return [(delta, logprobs) for delta in deltas]

    def _is_detailed(self, thought: Thinking) -> bool:
        """Whether a provider of this dialect sent the thought in ``reasoning_details``."""
        return is_own_origin(thought.origin) and bool(own_fields(thought.extra))

    def _think(self, growing: _Growing, text: str) -> list[Delta]:
        thought = growing.block
        assert isinstance(thought, Thinking)
        delta: Delta = {REASONING_FIELD: text}
        if self._is_detailed(thought):
            piece = Thinking(text=text, origin=thought.origin, extra=thought.extra)
            delta |= _detail(piece, growing.place)
        else:
            thought.text += text
        return [delta]

    def _sign(self, growing: _Growing, signature: str) -> list[Delta]:
        block = growing.block
        if isinstance(block, ToolUse):
            growing.signature = signature
            return []
        if isinstance(block, HiddenThinking):
            whole = HiddenThinking(
                data=signature, origin=block.origin, item_id=block.item_id, extra=block.extra
            )
            return [_detail(whole, growing.place)]
        if not isinstance(block, Thinking):
            return []
        if growing.place < 0:
            growing.place = self._next(DETAILS)
        signed = Thinking(text=block.text, origin=block.origin, signature=signature, extra=block.extra)
        return [_detail(signed, growing.place)]

    def _announce(self) -> list[Delta]:
        """The beginnings of calls that waited one event for a signature; never out of the order of their
        indexes, which the SDK relies on."""
        deltas = [self._beginning(growing) for growing in self._waiting]
        self._waiting.clear()
        return deltas

    def _beginning(self, growing: _Growing) -> Delta:
        call = growing.block
        assert isinstance(call, ToolUse)
        if self._legacy:
            return {"function_call": {"name": call.name, "arguments": ""}}
        kept = own_fields(call.extra)
        signed = google_signature(kept.get("extra_content")) is not None
        tool_id = call.id if signed else with_signature(call.id, growing.signature)
        custom = call.custom or growing.wrapped is not None
        kind, said = ("custom", "input") if custom else ("function", "arguments")
        entry = {"index": growing.place, "id": tool_id, "type": kind, kind: {"name": call.name, said: ""}}
        return {"tool_calls": [{**entry, **kept}]}

    def _argue(self, growing: _Growing, text: str) -> list[Delta]:
        call = growing.block
        if not isinstance(call, ToolUse) or not text:
            return []
        growing.argued = True
        if growing.wrapped is not None:
            growing.wrapped += text
            return []
        if self._legacy:
            return [{"function_call": {"arguments": text}}]
        piece = {"custom": {"input": text}} if call.custom else {"function": {"arguments": text}}
        return [{"tool_calls": [{"index": growing.place, **piece}]}]

    def _cite(self, citation: Citation, growing: _Growing) -> list[Delta]:
        encoded = encode_citation(citation, growing.started_at, self._text_length)
        if encoded is None:
            return []
        return [{"annotations": [{**encoded, "index": self._next("annotations")}]}]

    def _stop(self, growing: _Growing) -> list[Delta]:
        """A call without arguments gets ``{}``, since clients parse them as JSON. A thought of another maker
        that had no signature is told again with its maker's name."""
        call = growing.block
        if isinstance(call, Thinking) and call.text and growing.place < 0 and not is_own_origin(call.origin):
            return self._sign(growing, "")
        if not isinstance(call, ToolUse):
            return []
        if growing.wrapped is not None:
            text = unwrapped(growing.wrapped)
            return [{"tool_calls": [{"index": growing.place, "custom": {"input": text}}]}]
        return [] if growing.argued or call.custom else self._argue(growing, "{}")


def _detail(thought: Thinking | HiddenThinking, place: int) -> Delta:
    return {DETAILS: [{"index": place, **encode_detail(thought, place)}]}


def _copy(thought: Thinking) -> Thinking:
    """The thought without what goes out at once."""
    return Thinking(text="", origin=thought.origin, extra=thought.extra)


def _sound(data: str, transcript: str) -> list[Delta]:
    audio = {name: value for name, value in (("data", data), ("transcript", transcript)) if value}
    return [{"audio": audio}] if audio else []
