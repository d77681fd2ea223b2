"""A stored message as the model at hand may read it, whichever model wrote it.

Thoughts are signed by their maker, citations and the results of tools that ran at a provider are sealed by
it; another one refuses them. Text, calls and results go to everybody.
"""

import base64
from collections.abc import Mapping
from typing import Any

from kit.errors import Unsupported
from kit.images import size_of
from threads.context.repair import Block, as_blocks
from threads.model_client import ModelFacts
from threads.models import Message

UNSEEN = "[{kind} left out: this model cannot see it]"
ELSEWHERE = "[{kind} left out: its file lies at another provider]"
HEAD_CHARS = 64 * 1024
"""Of an image's base64, a multiple of four: where its size is found."""
_MEDIA = {"image": "image", "document": "document"}
_FOR_ALL = {"text": ("text",), "tool_use": ("id", "name", "input")}


def portable(message: Message, facts: ModelFacts, *, current: bool) -> list[Block]:
    """The message's blocks for the model. ``current``: it is what the user says now, of which nothing may be
    left out. Raises Unsupported."""
    blocks = as_blocks(message.content)
    if message.role == "assistant":
        if message.provider is None or message.provider in facts.providers:
            return blocks
        return [
            {
                "type": block["type"],
                **{name: block[name] for name in _FOR_ALL[block["type"]] if name in block},
            }
            for block in blocks
            if block.get("type") in _FOR_ALL
        ]
    return [_users(block, facts, current=current) for block in blocks]


def _users(block: Block, facts: ModelFacts, *, current: bool) -> Block:
    kind = block.get("type")
    if kind == "tool_result" and isinstance(block.get("content"), list):
        inner = block["content"]
        shown = [_media(one, facts) for one in inner]
        return block if all(map(_same, inner, shown)) else {**block, "content": shown}
    if kind not in _MEDIA:
        return block
    shown_block = _media(block, facts)
    if current and shown_block is not block and not facts.vision:
        raise Unsupported(
            f"content: {', '.join(sorted(facts.models))} cannot see; send no {kind}, or use another model",
            param="content",
        )
    return block if current else shown_block


def _media(block: Block, facts: ModelFacts) -> Block:
    """The block, or a marker in the place of what the model cannot be shown."""
    kind = _MEDIA.get(str(block.get("type")))
    source = block.get("source")
    if kind is None or not isinstance(source, Mapping):
        return block
    marker = None
    if not facts.vision and not _is_text(source):
        marker = UNSEEN
    elif source.get("type") == "file" and not facts.native:
        marker = ELSEWHERE
    return block if marker is None else {"type": "text", "text": marker.format(kind=_described(kind, source))}


def _described(kind: str, source: Mapping[str, Any]) -> str:
    """An image in words: its type, size and bytes, as far as they are known."""
    data = source.get("data")
    if kind != "image" or source.get("type") != "base64" or not isinstance(data, str):
        return kind
    try:
        head = base64.b64decode(data[:HEAD_CHARS])
    except ValueError:
        return kind
    size = size_of(head)
    pixels = f" of {size.width} x {size.height} pixels" if size is not None else ""
    return f"image ({source.get('media_type')}{pixels}, {len(data) * 3 // 4} bytes)"


def _is_text(source: Mapping[str, Any]) -> bool:
    return source.get("type") in {"text", "content"} or str(source.get("media_type")).startswith("text/")


def _same(one: Any, other: Any) -> bool:
    return one is other


def calm_thinking(params: Mapping[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Changes of the turn's parameters: a tool round that was begun without a thought (by another model) is
    finished without; with manual thinking it would be refused (Anthropic, extended thinking with tools)."""
    thinking = params.get("thinking")
    if not isinstance(thinking, Mapping) or thinking.get("type") != "enabled":
        return {}
    opening: dict[str, Any] | None = None
    for message in messages:
        if message["role"] == "assistant":
            opening = opening or message
        elif any(block.get("type") != "tool_result" for block in message["content"]):
            opening = None
    if opening is None or opening["content"][0].get("type") in {"thinking", "redacted_thinking"}:
        return {}
    return {"thinking": {"type": "disabled"}}
