"""A history as a valid conversation, in Anthropic's form.

Providers refuse a ``tool_use`` that the very next message does not answer, an answer to nothing, empty
messages, blank texts, a repeated role, a thought with nothing after it; a crash, a cancelled turn or an
import can leave all of these behind. Source: Anthropic, Messages API, Tool use, Extended thinking.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from threads.models import Message

LOST_RESULT = "The outcome of this call is unknown: it was interrupted before its result arrived."
BEGINNING = "(The conversation begins with an answer.)"
"""The user's message where a history has none before the model's: it must come first."""

Block = dict[str, Any]
Piece = tuple[str, list[Block]]
"""A role and content blocks."""

_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
_SERVER_USES = frozenset({"server_tool_use", "mcp_tool_use"})
_USERS_ONLY = frozenset({"tool_result", "image", "document", "search_result"})


def as_blocks(content: Any) -> list[Block]:
    """Message content in block form; a plain text becomes one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def build_context(history: Iterable[Piece], *, plain_ids: bool = True) -> list[dict[str, Any]]:
    """The messages to send: the same for the same history, to the byte.

    Neighbours of one role are joined; unanswered calls get an error result, unasked answers go, and so does
    what has no place in its message. ``plain_ids``: tool ids that Anthropic's pattern refuses are replaced.
    """
    context: list[dict[str, Any]] = []
    ids = _Ids(plain=plain_ids)
    open_calls: list[tuple[str, str]] = []
    for role, blocks in _joined(history):
        if role == "user":
            blocks = _answers_first(blocks, open_calls)
            open_calls = []
        else:
            blocks, open_calls = ids.renamed(blocks)
            if not context:
                context.append({"role": "user", "content": [{"type": "text", "text": BEGINNING}]})
        if not blocks:
            continue
        if context and context[-1]["role"] == role:
            context[-1]["content"] += blocks
        else:
            context.append({"role": role, "content": blocks})
    if open_calls:
        context.append({"role": "user", "content": [_lost(sent) for _, sent in open_calls]})
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


def _joined(history: Iterable[Piece]) -> Iterable[Piece]:
    """Messages that say something, neighbours of one role as one."""
    waiting: Piece | None = None
    for role, content in history:
        blocks = _users(content) if role == "user" else _assistants(content)
        if not blocks:
            continue
        if waiting is not None and waiting[0] == role:
            waiting = (role, [*waiting[1], *blocks])
            continue
        if waiting is not None:
            yield waiting
        waiting = (role, blocks)
    if waiting is not None:
        yield waiting


def _users(blocks: Sequence[Block]) -> list[Block]:
    return [
        _with_plain_result(block)
        for block in blocks
        if not _blank(block) and block.get("type") not in _THOUGHTS and block.get("type") != "tool_use"
    ]


def _assistants(blocks: Sequence[Block]) -> list[Block]:
    """Without what only users say, calls without a name, tools of the provider that were cut off in the
    middle of their work, and thoughts that nothing followed."""
    paired = _paired(blocks)
    kept = [
        block
        for place, block in enumerate(blocks)
        if not _blank(block)
        and block.get("type") not in _USERS_ONLY
        and (place in paired or (block.get("type") not in _SERVER_USES and "tool_use_id" not in block))
        and (block.get("type") != "tool_use" or (block.get("id") and block.get("name")))
    ]
    while kept and kept[-1].get("type") in _THOUGHTS:
        kept.pop()
    return kept


def _paired(blocks: Sequence[Block]) -> set[int]:
    """Where the calls of tools that ran at the provider are, and their results."""
    found: set[int] = set()
    waiting: dict[Any, int] = {}
    for place, block in enumerate(blocks):
        if block.get("type") in _SERVER_USES:
            waiting[block.get("id")] = place
        elif block.get("type") not in _USERS_ONLY and block.get("tool_use_id") in waiting:
            found |= {place, waiting.pop(block["tool_use_id"])}
    return found


def _blank(block: Block) -> bool:
    return block.get("type") == "text" and not str(block.get("text") or "").strip()


def _with_plain_result(block: Block) -> Block:
    content = block.get("content")
    if block.get("type") != "tool_result" or not isinstance(content, list):
        return block
    if any(map(_blank, content)):
        return {**block, "content": [inner for inner in content if not _blank(inner)]}
    return block


class _Ids:
    """Keeps the ids of calls unique in a conversation, and in the form that providers take."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        self._used: set[str] = set()

    def renamed(self, blocks: list[Block]) -> tuple[list[Block], list[tuple[str, str]]]:
        """The blocks of an answer, and its calls as (the id they had, the id that is sent)."""
        calls: list[tuple[str, str]] = []
        for position, block in enumerate(blocks):
            if block.get("type") != "tool_use":
                continue
            given = str(block["id"])
            sent = self._free(given)
            calls.append((given, sent))
            if sent != block["id"]:
                blocks[position] = {**block, "id": sent}
        return blocks, calls

    def _free(self, given: str) -> str:
        fitting = given
        if self._plain and not _TOOL_ID.fullmatch(given):
            fitting = "call_" + hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()[:24]
        candidate, number = fitting, 2
        while candidate in self._used:
            candidate, number = f"{fitting[:56]}_{number}", number + 1
        self._used.add(candidate)
        return candidate


def _answers_first(blocks: list[Block], calls: list[tuple[str, str]]) -> list[Block]:
    """A user's message that answers ``calls``, each once, before it says anything else."""
    waiting: dict[str, list[str]] = {}
    for given, sent in calls:
        waiting.setdefault(given, []).append(sent)
    answers: list[Block] = []
    others: list[Block] = []
    for block in blocks:
        if block.get("type") != "tool_result":
            others.append(block)
            continue
        open_ids = waiting.get(str(block.get("tool_use_id")))
        if open_ids:
            sent = open_ids.pop(0)
            answers.append(block if block["tool_use_id"] == sent else {**block, "tool_use_id": sent})
    lost = {sent for open_ids in waiting.values() for sent in open_ids}
    answers += [_lost(sent) for _, sent in calls if sent in lost]
    return [*answers, *others]


def _lost(call: str) -> Block:
    return {"type": "tool_result", "tool_use_id": call, "content": LOST_RESULT, "is_error": True}
