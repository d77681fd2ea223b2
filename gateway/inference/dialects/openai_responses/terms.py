"""What this dialect calls the fields of the neutral form, and which item of ``input`` a block was.

The neutral form sets instructions at the start apart, and makes one message of what the model said, thought
and called, and of the outputs of calls (see ``input_decoding``).
"""

from typing import Any

from gateway.inference.dialects.neutral import (
    Block,
    Extra,
    HiddenThinking,
    Message,
    Request,
    ServerBlock,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from gateway.inference.dialects.openai_responses.output import begins_item
from gateway.inference.dialects.openai_responses.reading import own
from gateway.inference.dialects.terms import Place, Terms

_CACHE = {"cache": "prompt_cache_breakpoint", "cache_control": "prompt_cache_breakpoint"}
TERMS = Terms(
    request={
        "max_tokens": "max_output_tokens",
        "parallel_tools": "parallel_tool_calls",
        "output": "text.format",
        "reasoning.enabled": "reasoning.effort",
        "reasoning.show": "reasoning.summary",
        "user": "safety_identifier",
        "logprobs": "include",
    },
    tool={"schema": "parameters", **_CACHE},
    block={"source": "", "title": "filename", "citations": "annotations", **_CACHE},
)


def client_name(name: str, request: Request) -> str:
    place = Place.of(name)
    if place is None:
        return TERMS.of(name)
    instructions, messages = _written(request)
    if place.among == "system":
        return TERMS.within(instructions[place.entry], place.field)
    blocks = messages[place.entry]
    if place.block is None:
        return TERMS.within(blocks[0].partition(".")[0] if blocks else "input", place.field)
    spot = blocks[place.block]
    if place.inner is not None:
        spot += "." + place.inner.replace("content", "output")
    return TERMS.within(spot, place.field)


def _written(request: Request) -> tuple[list[str], list[list[str]]]:
    """Where each instruction and each block of each message was."""
    items = _Items()
    instructions = [items.instruction(text) for text in request.system]
    return instructions, [items.message(message) for message in request.messages]


class _Items:
    """Counts the items of ``input`` that stand for what it is asked about, in order."""

    def __init__(self) -> None:
        self._count = 0
        self._part = 0
        self._item = ""

    def instruction(self, text: Text) -> str:
        note = own(text.extra)
        if "_item" not in note:
            return self._next_part() if "_continues" in note else "instructions"
        self._next()
        return self._next_part() if _was_list(text.extra) else f"{self._item}.content"

    def message(self, message: Message) -> list[str]:
        if "_input" in own(message.extra):
            return ["input"]
        if message.role == "assistant" or any(map(_is_item, message.content)):
            return self._gathered(message.content)
        self._next()
        if not _was_list(message.extra):
            return [f"{self._item}.content"]
        return [self._next_part() for _ in message.content]

    def _gathered(self, blocks: list[Block]) -> list[str]:
        spots = []
        in_message = False
        for block in blocks:
            whole = _is_item(block)
            begins = whole or not in_message or begins_item(block)
            if begins:
                self._next()
            bare = begins and isinstance(block, Text) and not _was_list(block.extra)
            spots.append(self._item if whole else f"{self._item}.content" if bare else self._next_part())
            in_message = not whole
        return spots

    def _next(self) -> None:
        self._item, self._part = f"input[{self._count}]", 0
        self._count += 1

    def _next_part(self) -> str:
        self._part += 1
        return f"{self._item}.content[{self._part - 1}]"


def _was_list(kept: Extra | None) -> bool:
    """Whether the content of an item, noted at its beginning, was a list and no bare text."""
    fields: dict[str, Any] = own(kept).get("_item", {})
    return fields.get("content") == "list"


def _is_item(block: Block) -> bool:
    """Whether a block is an item, and no part of a message."""
    if isinstance(block, ServerBlock):
        return True
    return isinstance(block, Thinking | HiddenThinking | ToolUse | ToolResult)
