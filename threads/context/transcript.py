"""Messages as text, for a model that is to sum them up: whatever model wrote them, any other can read it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from broker.calls import UNTRUSTED
from threads.context.repair import Block, as_blocks
from threads.context.untrusted import marked_text
from threads.models import Message

MAX_RESULT_CHARS = 4_000
MAX_INPUT_CHARS = 2_000
_SPEAKERS = {"user": "User", "assistant": "Assistant"}


def transcript(messages: Sequence[Message]) -> str:
    """Who said what, in order; thoughts are left out, results of tools cut where they are long."""
    lines = [
        line
        for message in messages
        for block in as_blocks(message.content)
        if (line := _line(_SPEAKERS.get(message.role, message.role), block))
    ]
    return "\n\n".join(lines)


def clipped(text: str, chars: int) -> str:
    """The text with a hole in its middle if it is longer."""
    if len(text) <= chars:
        return text
    half = chars // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _line(speaker: str, block: Block) -> str:
    kind = block.get("type")
    if kind == "text":
        text = str(block.get("text") or "").strip()
        return f"{speaker}: {text}" if text else ""
    if kind == "tool_use":
        arguments = clipped(msgspec.json.encode(block.get("input")).decode(), MAX_INPUT_CHARS)
        return f"Assistant called {block.get('name')}: {arguments}"
    if kind == "tool_result":
        failed = " (failed)" if block.get("is_error") else ""
        text = clipped(_text(block.get("content")), MAX_RESULT_CHARS)
        return f"Result{failed}: {marked_text(text) if block.get(UNTRUSTED) is True else text}"
    if kind in {"thinking", "redacted_thinking"}:
        return ""
    title = block.get("title")
    return f"{speaker}: [{kind}{f': {title}' if title else ''}]"


def _text(content: Any) -> str:
    return "\n".join(
        str(block.get("text", "")) if block.get("type") == "text" else f"[{block.get('type')}]"
        for block in as_blocks(content or "")
    )
