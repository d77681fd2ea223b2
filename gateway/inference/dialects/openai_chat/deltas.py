"""One choice of a stream: its deltas as blocks that start, grow and stop.

Text, thoughts and the like follow each other, so one ends where another begins. Tool calls stay open until
the choice ends, since pieces of several may come in turn.
"""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.events import (
    AudioDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Event,
    SignatureDelta,
    TextDelta,
)
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    HiddenThinking,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
)
from gateway.inference.dialects.openai_chat.call_deltas import CallReader
from gateway.inference.dialects.openai_chat.choice_decoding import decode_images
from gateway.inference.dialects.openai_chat.citations import decode_annotation
from gateway.inference.dialects.openai_chat.extras import DIALECT, extra
from gateway.inference.dialects.openai_chat.stops import decode_stop, encode_stop
from gateway.inference.dialects.openai_chat.thoughts import DETAILS, TEXT_FIELDS, decode_detail

_MAX_EXTRA_FIELDS = 64
_KNOWN = {"role", "content", "refusal", "annotations", "audio", "images", "tool_calls", "function_call"}
_KNOWN |= {DETAILS, *TEXT_FIELDS}


class ChoiceReader:
    """Feed the entries of ``choices`` that have this index."""

    def __init__(self, index: int, origin: str, seed: str) -> None:
        self.reason: str | None = None
        self._index = index
        self._origin = origin
        self._blocks = 0
        self._open: tuple[int, str] | None = None
        """The index of the block that grows, and what kind of it."""
        self._calls = CallReader(index, f"call_{seed}_{index}")
        self._refused = False
        self._rest: dict[str, Any] = {}

    def read(self, choice: Mapping[str, Any]) -> list[Event]:
        events: list[Event] = []
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.reason = reason
        for name, value in choice.items():
            usual = name in {"index", "delta", "finish_reason", "logprobs", "usage", "message"}
            if not usual and value is not None and len(self._rest) < _MAX_EXTRA_FIELDS:
                self._rest[name] = value
        delta = choice.get("delta")
        if isinstance(delta, dict):
            logprobs = choice.get("logprobs")
            self._thoughts(delta, events)
            self._content(delta, logprobs if isinstance(logprobs, dict) else {}, events)
            self._annotations(delta.get("annotations"), events)
            self._media(delta, events)
            self._tool_calls(delta, events)
            for name, value in delta.items():
                if name not in _KNOWN and isinstance(value, dict | list) and value:
                    self._whole(ServerBlock(dialect=DIALECT, data={name: value}), events)
        return events

    def finish(self) -> list[Event]:
        """The choice has ended: stop its blocks and say why."""
        events: list[Event] = []
        self._close(events)
        self._blocks = self._calls.finish(self._blocks, events)
        called = self._calls.any
        stop = decode_stop(self.reason, called=called, refused=self._refused)
        kept = dict(self._rest)
        if self.reason is not None and encode_stop(stop, called=called) != self.reason:
            kept["finish_reason"] = self.reason
        matched = kept.get("stop_reason")  # vLLM
        sequence = matched if isinstance(matched, str) and stop == "end_turn" else None
        if sequence is not None:
            stop = "stop_sequence"
            del kept["stop_reason"]
        events.append(
            ChoiceFinished(stop=stop, stop_sequence=sequence, choice=self._index, extra=extra(kept))
        )
        return events

    def _start(self, kind: str, block: Block, events: list[Event]) -> int:
        """The index of the block of this kind that is open, or that opens now."""
        if self._open is not None and self._open[1] == kind:
            return self._open[0]
        self._close(events)
        index = self._blocks
        self._blocks += 1
        self._open = (index, kind)
        events.append(BlockStarted(index=index, block=block, choice=self._index))
        return index

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(BlockStopped(index=self._open[0], choice=self._index))
            self._open = None

    def _whole(self, block: Block, events: list[Event]) -> None:
        self._close(events)
        self._start("whole", block, events)
        self._close(events)

    def _thoughts(self, delta: Mapping[str, Any], events: list[Event]) -> None:
        details = delta.get(DETAILS)
        told = False
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict):
                told = self._detail(detail, events) or told
        for name in TEXT_FIELDS:
            text = delta.get(name)
            if isinstance(text, str) and text and not told:
                self._thought(text, events)
                told = True

    def _thought(self, text: str, events: list[Event]) -> None:
        index = self._start("thinking", Thinking(text="", origin=self._origin), events)
        events.append(TextDelta(index=index, text=text, choice=self._index))

    def _detail(self, detail: dict[str, Any], events: list[Event]) -> bool:
        """One of ``reasoning_details``; True if it has the text that a plain field repeats."""
        unnumbered = {name: value for name, value in detail.items() if name != "index"}
        thought = decode_detail(unnumbered, self._origin)
        if isinstance(thought, HiddenThinking):
            self._whole(thought, events)
            return False
        if not thought.text and thought.signature is None:
            return False
        kind = f"thinking {detail.get('type')} {detail.get('index')}"
        begun = Thinking(text="", origin=thought.origin, extra=thought.extra)
        index = self._start(kind, begun, events)
        if thought.text:
            events.append(TextDelta(index=index, text=thought.text, choice=self._index))
        if thought.signature is not None:
            events.append(SignatureDelta(index=index, signature=thought.signature, choice=self._index))
        return bool(thought.text)

    def _content(self, delta: Mapping[str, Any], logprobs: dict[str, Any], events: list[Event]) -> None:
        content = delta.get("content")
        for part in content if isinstance(content, list) else ():
            self._part(part, events)
        tokens = _tokens(logprobs.get("content"))
        text = content if isinstance(content, str) else ""
        if text or tokens:
            thinks = self._open is not None and self._open[1].startswith("thinking")
            kind = self._open[1] if self._open is not None and thinks and not text else "text"
            index = self._start(kind, Text(text=""), events)
            events.append(TextDelta(index=index, text=text, choice=self._index, logprobs=tokens))
        refusal = delta.get("refusal")
        tokens = _tokens(logprobs.get("refusal"))
        if isinstance(refusal, str) and refusal:
            self._refused = True
            index = self._start("refusal", Refusal(text=""), events)
            events.append(TextDelta(index=index, text=refusal, choice=self._index, logprobs=tokens))

    def _part(self, part: Any, events: list[Event]) -> None:
        """Mistral's content in parts."""
        if not isinstance(part, dict):
            return
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            index = self._start("text", Text(text=""), events)
            events.append(TextDelta(index=index, text=part["text"], choice=self._index))
        elif part.get("type") == "thinking":
            chunks = part.get("thinking")
            texts = [chunks] if isinstance(chunks, str) else []
            for chunk in chunks if isinstance(chunks, list) else ():
                if isinstance(chunk, dict) and isinstance(chunk.get("text"), str):
                    texts.append(chunk["text"])
            if text := "".join(texts):
                self._thought(text, events)
        else:
            self._whole(ServerBlock(dialect=DIALECT, data={"content": [part]}), events)

    def _annotations(self, annotations: Any, events: list[Event]) -> None:
        for annotation in annotations if isinstance(annotations, list) else ():
            if isinstance(annotation, dict):
                index = self._start("text", Text(text=""), events)
                citation = decode_annotation(annotation)
                events.append(CitationDelta(index=index, citation=citation, choice=self._index))

    def _media(self, delta: Mapping[str, Any], events: list[Event]) -> None:
        audio = delta.get("audio")
        if isinstance(audio, dict):
            data, said = audio.get("data"), audio.get("transcript")
            rest = {n: v for n, v in audio.items() if n not in {"data", "transcript"} and v is not None}
            if set(rest) == {"expires_at"} and not data and not said:
                self._rest["audio"] = rest  # the last word on a sound, after its end
                return
            index = self._start("audio", Audio(data="", format="", extra=extra(rest)), events)
            data, said = data if isinstance(data, str) else "", said if isinstance(said, str) else ""
            if data or said:
                events.append(AudioDelta(index=index, data=data, transcript=said, choice=self._index))
        for image in decode_images(delta.get("images")):
            self._whole(image, events)

    def _tool_calls(self, delta: Mapping[str, Any], events: list[Event]) -> None:
        calls = delta.get("tool_calls")
        pieces = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            pieces.append({"index": 0, "function": legacy})
        if pieces:
            self._close(events)
        for piece in pieces:
            is_legacy = legacy is not None and piece.get("function") is legacy
            self._blocks = self._calls.read(piece, self._blocks, events, legacy=is_legacy)


def _tokens(given: Any) -> list[dict[str, Any]] | None:
    tokens = [token for token in given if isinstance(token, dict)] if isinstance(given, list) else []
    return tokens or None
