"""Events as a stream of GenerateContentResponse chunks."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.billing.prices import TokenUsage
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
from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.google.finish import error_body, reason_of
from gateway.inference.dialects.google.logprobs import encode_logprobs
from gateway.inference.dialects.google.parts import SIGNS_NEXT
from gateway.inference.dialects.google.reading import merged, own
from gateway.inference.dialects.google.responses import answer_parts
from gateway.inference.dialects.google.usage import write_usage
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    HiddenThinking,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)

_BlockEvent = (
    BlockStarted | TextDelta | ArgumentsDelta | SignatureDelta | CitationDelta | AudioDelta | BlockStopped
)
Chunk = dict[str, Any]


class GoogleStreamEncoder:
    """See ``codec.StreamEncoder``."""

    def __init__(self) -> None:
        self._around: Chunk = {}
        self._usage: TokenUsage | None = None
        self._choices: dict[int, _Choice] = {}
        self._last: list[Chunk] = []
        """The candidates' last words, which wait for the usage that goes with them."""

    def feed(self, event: Event) -> bytes:
        if isinstance(event, Started):
            self._around = {"modelVersion": event.model, "responseId": event.id}
            self._usage = event.usage
            return b""
        if isinstance(event, Failed):
            return _frame(error_body(event))
        if isinstance(event, ChoiceFinished):
            self._last.append(self._finished(event))
            return b""
        if isinstance(event, Finished):
            return self._end(event)
        choice = self._choices.setdefault(event.choice, _Choice())
        return b"".join(self._chunk(event.choice, part) for part in choice.feed(event))

    def _chunk(self, choice: int, fields: Chunk) -> bytes:
        """``fields`` is a part, or a part with the log probabilities of its text."""
        logprobs = fields.pop("logprobsResult", None)
        candidate: Chunk = {"content": {"parts": [fields], "role": "model"}, "index": choice}
        if logprobs is not None:
            candidate["logprobsResult"] = logprobs
        usage = {} if self._usage is None else {"usageMetadata": write_usage(self._usage, {})}
        return _frame({"candidates": [candidate], **usage, **self._around})

    def _finished(self, event: ChoiceFinished) -> Chunk:
        candidate: Chunk = {"finishReason": reason_of(event.stop), "index": event.choice}
        signature = self._choices[event.choice].next if event.choice in self._choices else None
        if signature is not None:
            candidate["content"] = {"parts": [{"text": "", "thoughtSignature": signature}], "role": "model"}
        return merged(candidate, own(event.extra))

    def _end(self, event: Finished) -> bytes:
        kept = own(event.extra)
        rest = kept.pop("usageMetadata", {})
        body: Chunk = {"candidates": self._last, **self._around, **kept}
        if event.usage is not None:
            body["usageMetadata"] = write_usage(event.usage, rest)
        return _frame(body)


@dataclass
class _Open:
    block: Block
    arguments: list[str] = field(default_factory=list)
    audio: list[str] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    waiting: list[_BlockEvent] = field(default_factory=list)
    """Events of a block that must wait for the one before it."""
    said: bool = False


@dataclass
class _Choice:
    """Puts overlapping blocks in order: only the first that is open speaks, the others wait."""

    open: dict[int, _Open] = field(default_factory=dict)
    next: str | None = None
    """The signature of the text that follows."""

    def feed(self, event: _BlockEvent) -> list[Chunk]:
        if isinstance(event, BlockStarted):
            self.open[event.index] = _Open(event.block)
        if event.index not in self.open:
            return []
        if next(iter(self.open)) != event.index:
            self.open[event.index].waiting.append(event)
            return []
        parts = self._speak(event)
        while isinstance(event, BlockStopped) and self.open:
            following = next(iter(self.open.values()))
            waiting, following.waiting = following.waiting, []
            for event in waiting:
                parts += self._speak(event)
            if not waiting:
                break
        return parts

    def _speak(self, event: _BlockEvent) -> list[Chunk]:
        current = self.open[event.index]
        if isinstance(event, BlockStopped):
            del self.open[event.index]
            return self._whole(current)
        if isinstance(event, BlockStarted):
            return self._begin(current)
        if isinstance(event, TextDelta):
            return self._text(current, event)
        if isinstance(event, SignatureDelta):
            return self._signature(current, event.signature)
        if isinstance(event, ArgumentsDelta):
            current.arguments.append(event.text)
        elif isinstance(event, AudioDelta):
            current.audio.append(event.data)
            current.transcript.append(event.transcript)
        return []

    def _begin(self, current: _Open) -> list[Chunk]:
        block = current.block
        if isinstance(block, HiddenThinking) and block.data.startswith(SIGNS_NEXT):
            self.next = block.data.removeprefix(SIGNS_NEXT)
        elif isinstance(block, Text | Refusal | Thinking) and block.text:
            return self._signed_text(block)
        return []

    def _text(self, current: _Open, event: TextDelta) -> list[Chunk]:
        block = current.block
        if not isinstance(block, Text | Refusal | Thinking):
            return []
        said = msgspec.structs.replace(block, text=event.text)
        if isinstance(said, Thinking):
            said = msgspec.structs.replace(said, signature=None)
        if current.said:
            said = msgspec.structs.replace(said, extra=None)
        current.said = True
        parts = self._signed_text(said)
        if event.logprobs is not None:
            parts[0]["logprobsResult"] = encode_logprobs(event.logprobs)
        return parts

    def _signed_text(self, block: Text | Refusal | Thinking) -> list[Chunk]:
        parts = answer_parts([block])
        if self.next is not None and not isinstance(block, Thinking):
            parts[0]["thoughtSignature"], self.next = self.next, None
        return parts

    def _signature(self, current: _Open, signature: str) -> list[Chunk]:
        block = current.block
        if isinstance(block, Thinking) and block.origin == NAME:
            return [{"text": "", "thought": True, "thoughtSignature": signature}]
        if isinstance(block, ToolUse | HiddenThinking):
            changed = {"signature": signature} if isinstance(block, ToolUse) else {"data": signature}
            current.block = msgspec.structs.replace(block, **changed)
            return self._begin(current)
        return []

    def _whole(self, current: _Open) -> list[Chunk]:
        """What can only be told once a block has stopped."""
        block = current.block
        if isinstance(block, Text | Refusal | Thinking):
            return []
        if isinstance(block, HiddenThinking) and block.data.startswith(SIGNS_NEXT):
            return []
        if isinstance(block, ToolUse) and current.arguments:
            block = msgspec.structs.replace(block, arguments="".join(current.arguments))
        if isinstance(block, Audio) and (current.audio or current.transcript):
            block = msgspec.structs.replace(
                block,
                data=block.data + "".join(current.audio),
                transcript=(block.transcript or "") + "".join(current.transcript) or None,
            )
        return answer_parts([block])


def _frame(body: Chunk) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\r\n\r\n"
