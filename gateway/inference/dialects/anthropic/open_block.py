"""A content block of a client's stream while it grows: how it starts, its deltas, what follows it."""

from typing import Any

import msgspec

from gateway.inference.dialects.anthropic.answer_blocks import (
    carried_signature,
    encode_answer_block,
    hidden_thinking,
    signature_of_call,
)
from gateway.inference.dialects.anthropic.arguments import FREE_FORM
from gateway.inference.dialects.anthropic.citations import encode_citation
from gateway.inference.dialects.anthropic.reading import DIALECT, own
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    AudioDelta,
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
    ToolUse,
)

Delta = dict[str, Any]
_STREAMED_INPUT = {"server_tool_use", "mcp_tool_use"}


class OpenBlock:
    """A block that is whole as it starts, and what the others share."""

    def __init__(self, start: dict[str, Any] | None) -> None:
        self.start = start
        """None as long as nothing is known to start with."""
        self.before: list[dict[str, Any]] = []
        """Whole blocks that must come first."""

    def first(self) -> list[Delta]:
        """What the start already brought."""
        return []

    def more(self, event: Event) -> list[Delta]:  # noqa: ARG002 - most blocks grow
        return []

    def close(self) -> list[Delta]:
        return []

    def after(self) -> list[dict[str, Any]]:
        """Whole blocks that follow."""
        return []


class _Words(OpenBlock):
    """Text, a refusal, or what was said in sound."""

    def __init__(self, block: Text | Refusal | Audio) -> None:
        start: dict[str, Any] = {"type": "text", "text": "", **own(block.extra)}
        self._first: list[Delta] = []
        text = (block.transcript or "") if isinstance(block, Audio) else block.text
        if text:
            self._first.append({"type": "text_delta", "text": text})
        if isinstance(block, Text) and block.citations is not None:
            start["citations"] = []
            for citation in block.citations:
                self._first += _citation_delta(encode_citation(citation))
        super().__init__(start)

    def first(self) -> list[Delta]:
        return self._first

    def more(self, event: Event) -> list[Delta]:
        if isinstance(event, CitationDelta):
            return _citation_delta(encode_citation(event.citation))
        if isinstance(event, TextDelta):
            text = event.text
        else:
            text = event.transcript if isinstance(event, AudioDelta) else ""
        return [{"type": "text_delta", "text": text}] if text else []


class _Thought(OpenBlock):
    def __init__(self, block: Thinking) -> None:
        super().__init__({"type": "thinking", "thinking": "", "signature": "", **own(block.extra)})
        self._block = block
        self._signed = False

    def first(self) -> list[Delta]:
        text, signature = self._block.text, self._block.signature
        return [*self._said(text), *([self._sign(signature)] if signature else [])]

    def more(self, event: Event) -> list[Delta]:
        if isinstance(event, SignatureDelta):
            return [self._sign(event.signature)]
        return self._said(event.text) if isinstance(event, TextDelta) else []

    def close(self) -> list[Delta]:
        """Another maker's thought stays marked as such, even if it came unsigned."""
        return [] if self._signed or self._block.origin == DIALECT else [self._sign(None)]

    def _said(self, text: str) -> list[Delta]:
        return [{"type": "thinking_delta", "thinking": text}] if text else []

    def _sign(self, signature: str | None) -> Delta:
        self._signed = True
        return {"type": "signature_delta", "signature": carried_signature(self._block.origin, signature)}


class _HiddenThought(OpenBlock):
    """Its data may come late; it starts when they are there."""

    def __init__(self, block: HiddenThinking) -> None:
        super().__init__(None)
        self._block = block
        self._show()

    def more(self, event: Event) -> list[Delta]:
        if isinstance(event, SignatureDelta) and self.start is None:
            self._block = HiddenThinking(
                data=event.signature,
                origin=self._block.origin,
                item_id=self._block.item_id,
                extra=self._block.extra,
            )
            self._show()
        return []

    def _show(self) -> None:
        if self._block.data:
            self.start = hidden_thinking(self._block)


class _Call(OpenBlock):
    def __init__(self, block: ToolUse) -> None:
        super().__init__(
            {"type": "tool_use", "id": block.id, "name": block.name, "input": {}, **own(block.extra)}
        )
        self._block = block
        self._opened = False
        self._late: str | None = None
        self.before = signature_of_call(block)

    def first(self) -> list[Delta]:
        return self._arguments(self._block.arguments)

    def more(self, event: Event) -> list[Delta]:
        if isinstance(event, SignatureDelta) and self._block.signature is None:
            self._late = event.signature
        return self._arguments(event.text) if isinstance(event, ArgumentsDelta) else []

    def close(self) -> list[Delta]:
        if not self._block.custom:
            return []
        return [_input('"}' if self._opened else msgspec.json.encode({FREE_FORM: ""}).decode())]

    def after(self) -> list[dict[str, Any]]:
        if self._late is None:
            return []
        return signature_of_call(ToolUse(id=self._block.id, name="", arguments="", signature=self._late))

    def _arguments(self, text: str) -> list[Delta]:
        """A free-form call's text becomes the string in an object, escaped piece by piece."""
        if not text:
            return []
        if not self._block.custom:
            return [_input(text)]
        escaped = msgspec.json.encode(text).decode()[1:-1]
        opening = "" if self._opened else f'{{"{FREE_FORM}":"'
        self._opened = True
        return [_input(opening + escaped)]


class _Server(OpenBlock):
    def __init__(self, block: ServerBlock) -> None:
        data, self._first = dict(block.data), list[Delta]()
        given = data.get("input")
        if data.get("type") in _STREAMED_INPUT and isinstance(given, dict):
            data["input"] = {}
            self._first = [_input(msgspec.json.encode(given).decode())] if given else []
        elif data.get("type") == "compaction":
            delta: Delta = {"type": "compaction_delta", "content": data.pop("content", None)}
            if "encrypted_content" in data:
                delta["encrypted_content"] = data.pop("encrypted_content")
            data["content"] = None
            self._first = [delta]
        super().__init__(data)

    def first(self) -> list[Delta]:
        return self._first


def open_block(block: Block) -> OpenBlock | None:
    """None for what this dialect cannot show."""
    if isinstance(block, Text | Refusal | Audio):
        return _Words(block)
    if isinstance(block, Thinking):
        return _Thought(block)
    if isinstance(block, HiddenThinking):
        return _HiddenThought(block)
    if isinstance(block, ToolUse):
        return _Call(block)
    if isinstance(block, ServerBlock):
        return _Server(block) if block.dialect == DIALECT else None
    whole = encode_answer_block(block)
    return OpenBlock(whole[0]) if whole else None


def _input(text: str) -> Delta:
    return {"type": "input_json_delta", "partial_json": text}


def _citation_delta(citation: dict[str, Any] | None) -> list[Delta]:
    return [] if citation is None else [{"type": "citations_delta", "citation": citation}]
