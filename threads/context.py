"""The messages that a model is sent: the thread's history, repaired where it would be refused."""

from collections.abc import Iterable, Sequence
from typing import Any

from threads.models import Message

LOST_RESULT = "The outcome of this call is unknown: it was interrupted before its result arrived."


def as_blocks(content: Any) -> list[dict[str, Any]]:
    """Message content in block form; a plain text becomes one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def build_context(history: Sequence[Message]) -> list[dict[str, Any]]:
    """The history as a valid conversation, in Anthropic's form.

    Providers refuse a ``tool_use`` that the very next message does not answer, an answer to nothing, empty
    messages and a repeated role; a crash or a cancelled turn can leave all of these behind. Unanswered
    calls get an error result, unasked answers go, neighbours of one role are joined.
    """
    context: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for message in history:
        blocks = as_blocks(message.content)
        if message.role == "user":
            blocks = _answers_first(blocks, open_calls)
            open_calls = []
        elif open_calls:
            context.append({"role": "user", "content": _lost(open_calls)})
            open_calls = []
        if not blocks:
            continue
        if message.role == "assistant":
            open_calls = [block["id"] for block in blocks if block.get("type") == "tool_use"]
        if context and context[-1]["role"] == message.role:
            context[-1] = {"role": message.role, "content": [*context[-1]["content"], *blocks]}
        else:
            context.append({"role": message.role, "content": blocks})
    if open_calls:
        context.append({"role": "user", "content": _lost(open_calls)})
    return context


def tool_use_ids(history: Iterable[Message]) -> set[str]:
    """Every tool_use id in the history."""
    return {
        block["id"]
        for message in history
        if message.role == "assistant"
        for block in as_blocks(message.content)
        if block.get("type") in {"tool_use", "server_tool_use"}
    }


def _answers_first(blocks: list[dict[str, Any]], open_calls: list[str]) -> list[dict[str, Any]]:
    answers = [
        block
        for block in blocks
        if block.get("type") == "tool_result" and block.get("tool_use_id") in open_calls
    ]
    answered = {block["tool_use_id"] for block in answers}
    lost = _lost([call for call in open_calls if call not in answered])
    return [*answers, *lost, *(block for block in blocks if block.get("type") != "tool_result")]


def _lost(calls: list[str]) -> list[dict[str, Any]]:
    return [
        {"type": "tool_result", "tool_use_id": call, "content": LOST_RESULT, "is_error": True}
        for call in calls
    ]
