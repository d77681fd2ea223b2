"""Content blocks of a request out of the neutral form."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from gateway.inference.dialects.anthropic.arguments import input_of
from gateway.inference.dialects.anthropic.decode_blocks import ABSENT, STRING
from gateway.inference.dialects.anthropic.reading import DIALECT, cache_control, own
from gateway.inference.dialects.codec import Target, left_out
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Document,
    Extra,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    PlainText,
    Refusal,
    ServerBlock,
    Source,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Uploaded,
    Video,
)
from kit.errors import Unsupported

_IMAGE_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


@dataclass
class Encoding:
    """Whom a request is for and what of it was left out so far."""

    target: Target
    dropped: list[str] = field(default_factory=list)

    def drop(self, path: str) -> None:
        self.dropped.append(path)

    def drop_foreign(self, extra: Extra | None, path: str = "") -> None:
        """Raises Unsupported for a field that may not be left out."""
        for name in left_out(extra, DIALECT):
            self.drop(f"{path}.{name}" if path else name)


def unsupported(path: str, why: str) -> Unsupported:
    return Unsupported(f"{path}: {why}", param=path)


def encode_block(block: Block, path: str, to: Encoding) -> dict[str, Any] | None:
    """None for what is left out (and noted). Raises Unsupported."""
    if isinstance(block, ServerBlock):
        if block.dialect == DIALECT:
            return block.data
        to.drop(path)
        return None
    to.drop_foreign(block.extra, path)
    if isinstance(block, Text):
        return _text(block, path, to)
    if isinstance(block, Refusal):
        return {"type": "text", "text": block.text} if block.text.strip() else None
    if isinstance(block, Thinking | HiddenThinking):
        return _thinking(block, path, to)
    if isinstance(block, ToolUse):
        if block.signature is not None:
            to.drop(f"{path}.signature")
        return _tool_use(block)
    if isinstance(block, ToolResult):
        return _tool_result(block, path, to)
    return _media(block, path, to)


def _text(block: Text, path: str, to: Encoding) -> dict[str, Any] | None:
    """The API refuses text that is empty or nothing but space; then it says nothing either."""
    if not block.text.strip():
        if block.text or block.cache:
            to.drop(path)
        return None
    body = {**own(block.extra), "type": "text", "text": block.text, **cache_control(block.cache)}
    if block.citations is not None:
        mine = [citation.data for citation in block.citations if citation.dialect == DIALECT]
        if len(mine) < len(block.citations):
            to.drop(f"{path}.citations")
        if mine or not block.citations:
            body["citations"] = mine
    return body


def _thinking(block: Thinking | HiddenThinking, path: str, to: Encoding) -> dict[str, Any] | None:
    """Only what this provider has signed comes back to it."""
    if block.origin not in {DIALECT, to.target.origin}:
        to.drop(path)
        return None
    if isinstance(block, HiddenThinking):
        return {**own(block.extra), "type": "redacted_thinking", "data": block.data}
    if block.signature is None:
        to.drop(path)
        return None
    return {
        **own(block.extra),
        "type": "thinking",
        "thinking": block.text,
        "signature": block.signature,
    }


def _tool_use(block: ToolUse) -> dict[str, Any]:
    return {
        **own(block.extra),
        "type": "tool_use",
        "id": block.id,
        "name": block.name,
        "input": input_of(block.arguments, custom=block.custom),
        **cache_control(block.cache),
    }


def _tool_result(block: ToolResult, path: str, to: Encoding) -> dict[str, Any]:
    kept = dict(own(block.extra))
    form = kept.pop("_content", None)
    body = {**kept, "type": "tool_result", "tool_use_id": block.tool_use_id, **cache_control(block.cache)}
    if block.is_error is not None:
        body["is_error"] = block.is_error
    blocks = encode_all(block.content, f"{path}.content", to)
    if blocks or form != ABSENT:
        body["content"] = as_content(blocks, form)
    return body


def encode_all(blocks: list[Block], path: str, to: Encoding) -> list[dict[str, Any]]:
    encoded = (encode_block(block, f"{path}[{number}]", to) for number, block in enumerate(blocks))
    return [body for body in encoded if body is not None]


def as_content(blocks: list[dict[str, Any]], form: str | None) -> str | list[dict[str, Any]]:
    """A bare string again where it was one."""
    if form == STRING:
        if not blocks:
            return ""
        if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
            return str(blocks[0]["text"])
    return blocks


def _media(block: Image | Document | Audio | Video, path: str, to: Encoding) -> dict[str, Any]:
    if isinstance(block, Audio | Video):
        raise unsupported(
            path, f"the Messages API takes no {'audio' if isinstance(block, Audio) else 'video'}"
        )
    kept = dict(own(block.extra))
    left = kept.pop("source", None)
    if isinstance(block, Image):
        if block.detail not in {None, "auto"}:
            to.drop(f"{path}.detail")
        source = _image_source(block.source, f"{path}.source", to)
        return {**kept, "type": "image", "source": {**(left or {}), **source}, **cache_control(block.cache)}
    body: dict[str, Any] = {**kept, "type": "document", **cache_control(block.cache)}
    if kept.get("type") == "search_result":
        body |= {"type": "search_result", "source": left}
    elif left and "type" in left:
        body["source"] = left
    else:
        body["source"] = {**(left or {}), **_document_source(block.source, f"{path}.source")}
    if block.title is not None:
        body["title"] = block.title
    if block.context is not None:
        body["context"] = block.context
    if block.citations is not None:
        body["citations"] = {"enabled": block.citations}
    return body


def _image_source(source: Source, path: str, to: Encoding) -> dict[str, Any]:
    if isinstance(source, Inline):
        if source.media_type not in _IMAGE_TYPES:
            raise unsupported(f"{path}.media_type", f"expected one of {', '.join(sorted(_IMAGE_TYPES))}")
        return {"type": "base64", "media_type": source.media_type, "data": source.data}
    if isinstance(source, PlainText):
        raise unsupported(path, "an image cannot be a text")
    if isinstance(source, Linked) and not to.target.quirks.image_urls:
        raise unsupported(path, "this provider fetches no images, send it in base64")
    return _elsewhere(source, path)


def _document_source(source: Source, path: str) -> dict[str, Any]:
    if isinstance(source, PlainText):
        return {"type": "text", "media_type": "text/plain", "data": source.text}
    if not isinstance(source, Inline):
        return _elsewhere(source, path)
    kind = source.media_type.partition(";")[0].strip().lower()
    if kind == "application/pdf":
        return {"type": "base64", "media_type": kind, "data": source.data}
    if not kind.startswith("text/") and kind not in {"application/json", "application/xml"}:
        raise unsupported(f"{path}.media_type", "the Messages API takes documents of PDF or text only")
    try:
        text = base64.b64decode(source.data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise unsupported(f"{path}.data", "expected base64 of UTF-8 text") from None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _elsewhere(source: Linked | Uploaded, path: str) -> dict[str, Any]:
    if isinstance(source, Linked):
        return {"type": "url", "url": source.url}
    if source.dialect != DIALECT:
        raise unsupported(path, f"the file {source.file_id} lies at another provider, send its bytes")
    return {"type": "file", "file_id": source.file_id}
