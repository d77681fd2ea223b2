"""Blocks as parts."""

from collections import deque
from typing import Any

from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.google.calls import arguments_of
from gateway.inference.dialects.google.drops import Drops
from gateway.inference.dialects.google.media import Media, encode_media
from gateway.inference.dialects.google.parts import SIGNS_NEXT, WHOLE_PART, hidden_part
from gateway.inference.dialects.google.reading import merged, own
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Document,
    HiddenThinking,
    Image,
    PlainText,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
    Video,
)


def model_parts(blocks: list[Block], place: str, drops: Drops) -> list[dict[str, Any]]:
    """Signatures go back to the texts they came with, also where a client's dialect moved them forward."""
    parts: list[dict[str, Any]] = []
    waiting: deque[str] = deque()
    late: list[dict[str, Any]] = []
    texts = [at for at, block in enumerate(blocks) if isinstance(block, Text)]
    for at, block in enumerate(blocks):
        spot = f"{place}.content[{at}]"
        if isinstance(block, HiddenThinking) and drops.is_own(block.origin):
            if block.data.startswith(SIGNS_NEXT):
                waiting.append(block.data.removeprefix(SIGNS_NEXT))
            else:
                part = hidden_part(block.data)
                moved = texts and at < texts[0] and not block.data.startswith(WHOLE_PART)
                if part is None:
                    drops.add(spot)
                else:
                    (late if moved else parts).append(merged(part, own(block.extra)))
            continue
        made = plain_parts(block, spot, drops)
        if isinstance(block, Text) and waiting:
            made[0]["thoughtSignature"] = waiting.popleft()
        parts += made
        if texts and at == texts[-1]:
            parts += late
    return parts + [{"text": "", "thoughtSignature": signature} for signature in waiting]


def plain_parts(block: Block, spot: str, drops: Drops, *, as_system: bool = False) -> list[dict[str, Any]]:
    if not isinstance(block, ServerBlock):
        drops.foreign(block.extra, spot)
    if isinstance(block, Text | Refusal):
        if isinstance(block, Text):
            drops.cache(block.cache, spot)
            if block.citations:
                drops.add(f"{spot}.citations")
        # Gemini knows instructions only at the start, so later ones are marked
        text = f"<system>\n{block.text}\n</system>" if as_system else block.text
        return [merged({"text": text}, own(block.extra))]
    if isinstance(block, Image | Document | Audio | Video):
        return media_parts(block, spot, drops)
    if isinstance(block, ToolUse):
        drops.cache(block.cache, spot)
        return [_call_part(block)]
    if isinstance(block, Thinking) and drops.is_own(block.origin):
        part: dict[str, Any] = {"text": block.text, "thought": True}
        if block.signature is not None:
            part["thoughtSignature"] = block.signature
        return [merged(part, own(block.extra))]
    if isinstance(block, ServerBlock) and block.dialect == NAME:
        return [block.data]
    drops.add(spot)
    return []


def media_parts(block: Media, spot: str, drops: Drops) -> list[dict[str, Any]]:
    """A document's context goes before it as text; titles and the like have no place."""
    if isinstance(block, Image | Document):
        drops.cache(block.cache, spot)
    if isinstance(block, Image) and block.detail not in (None, "auto"):
        drops.add(f"{spot}.detail")
    if isinstance(block, Audio) and not block.data:
        return [{"text": block.transcript or ""}]
    before: list[dict[str, Any]] = []
    if isinstance(block, Document):
        if block.title is not None:
            drops.add(f"{spot}.title")
        if block.citations:
            drops.add(f"{spot}.citations")
        if block.context:
            before = [{"text": block.context}]
        if isinstance(block.source, PlainText) and not block.source.text:
            return before
    return [*before, encode_media(block, spot, fetches=drops.target.quirks.image_urls)]


def _call_part(block: ToolUse) -> dict[str, Any]:
    call = {"id": block.id, "name": block.name, "args": arguments_of(block)}
    part: dict[str, Any] = {"functionCall": call}
    if block.signature is not None:
        part["thoughtSignature"] = block.signature
    return merged(part, own(block.extra))
