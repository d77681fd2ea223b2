"""Input items into messages.

A message of the user or the system is one item. What the model said, thought and called between two of
those is one assistant message, and the outputs of calls that follow each other are one user message.

``_item`` in a block's or message's extra holds an item's other fields, ``content`` saying that it was a list.
"""

from typing import Any

from gateway.inference.dialects.carried import split_signature
from gateway.inference.dialects.neutral import (
    Block,
    Message,
    Refusal,
    Role,
    ServerBlock,
    Text,
    ToolResult,
    ToolUse,
)
from gateway.inference.dialects.openai_responses.blocks import decode_part
from gateway.inference.dialects.openai_responses.reading import NAME, Reader, extra, refuse
from gateway.inference.dialects.openai_responses.reasoning import decode_replayed
from kit.errors import InvalidRequest

_FROM_CLIENT = {
    "additional_tools",
    "apply_patch_call_output",
    "compaction_trigger",
    "computer_call_output",
    "configuration_update",
    "local_shell_call_output",
    "mcp_approval_response",
    "shell_call_output",
    "tool_search_output",
}
"""Items without a neutral form that the user's side says; all others are the model's."""

_ESSENTIAL = {"item_reference", "compaction"}
"""Items that stand for content which only OpenAI has or can read."""


class Conversation:
    """What items have been read so far."""

    def __init__(self) -> None:
        self.system: list[Text] = []
        self.messages: list[Message] = []
        self.essential: list[str] = []
        self._gathering: Role | None = None
        """Whose message the next item of that side belongs to."""

    def add(self, value: Any, path: str) -> None:
        """Raises InvalidRequest."""
        item = Reader(value, path)
        kind = item.peek("type")
        if kind is None and item.peek("role") is None and isinstance(item.peek("id"), str):
            kind = "item_reference"
        if kind == "message" or (kind is None and item.peek("role") is not None):
            self._message(item)
        elif kind == "reasoning":
            self._gather("assistant", [_reasoning(item)])
        elif kind in ("function_call", "custom_tool_call"):
            item.take("type")
            self._gather("assistant", [_call(item, custom=kind == "custom_tool_call")])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            item.take("type")
            self._gather("user", [_output(item, custom=kind == "custom_tool_call_output")])
        elif isinstance(kind, str):
            if kind in _ESSENTIAL:
                self.essential.append(f"{path} ({kind})")
            role: Role = "user" if kind in _FROM_CLIENT else "assistant"
            self._gather(role, [ServerBlock(dialect=NAME, data=item.fields())])
        else:
            refuse(item.at("type"), "a type of item")

    def _message(self, item: Reader) -> None:
        role = item.peek("role")
        if role not in ("user", "assistant", "system", "developer"):
            refuse(item.at("role"), "user, assistant, system or developer")
        content = _content(item, "output_text" if role == "assistant" else "input_text")
        if role in ("user", "assistant"):
            item.take("role")
        if role == "assistant":
            self._gather("assistant", _marked(content, item.fields(), self._before()))
        elif role == "user":
            self._single("user", content, item)
        elif not self.messages and content and all(isinstance(block, Text) for block in content):
            self._system(content, item)
        else:
            self._single("system", content, item)

    def _single(self, role: Role, content: list[Block], item: Reader) -> None:
        note = {"_item": item.fields()} if item.fields() else {}
        self.messages.append(Message(role=role, content=content, extra=extra(note)))
        self._gathering = None

    def _system(self, content: list[Block], item: Reader) -> None:
        for number, block in enumerate(content):
            if isinstance(block, Text):
                note = {"_continues": True} if number else {"_item": item.fields()}
                block.extra = extra((block.extra.fields if block.extra else {}) | note)
                self.system.append(block)

    def _gather(self, role: Role, blocks: list[Block]) -> None:
        if self._gathering == role:
            self.messages[-1].content += blocks
        else:
            self.messages.append(Message(role=role, content=blocks))
            self._gathering = role

    def _before(self) -> Block | None:
        if self._gathering == "assistant" and self.messages[-1].content:
            return self.messages[-1].content[-1]
        return None


def _content(item: Reader, natural: str) -> list[Block]:
    content = item.take("content")
    if isinstance(content, str):
        return [Text(text=content)]
    if not isinstance(content, list):
        refuse(item.at("content"), "a text or a list of parts")
    item.keep("content", "list")
    return [
        decode_part(part, f"{item.at('content')}[{number}]", natural) for number, part in enumerate(content)
    ]


def _marked(content: list[Block], fields: dict[str, Any], before: Block | None) -> list[Block]:
    """The first block notes what its item had; if that is nothing, only to be told from the one before."""
    first = content[0] if content else None
    if isinstance(first, Text | Refusal) and (fields or isinstance(before, Text | Refusal)):
        first.extra = extra((first.extra.fields if first.extra else {}) | {"_item": fields})
    return content


def _reasoning(item: Reader) -> Block:
    try:
        return decode_replayed(item.fields())
    except ValueError as error:
        name = item.at(str(error).partition(":")[0])
        raise InvalidRequest(f"{item.path}.{error}", param=name) from None


def _call(item: Reader, *, custom: bool) -> ToolUse:
    tool_id, signature = split_signature(item.text("call_id"))
    return ToolUse(
        id=tool_id,
        name=item.text("name"),
        arguments=item.text("input" if custom else "arguments"),
        signature=signature,
        item_id=item.maybe_text("id"),
        custom=custom,
        extra=item.rest(),
    )


def _output(item: Reader, *, custom: bool) -> ToolResult:
    tool_id, _ = split_signature(item.text("call_id"))
    output = item.take("output")
    if isinstance(output, str):
        content: list[Block] = [Text(text=output)] if output else []
    elif isinstance(output, list):
        item.keep("_output", "list")
        path = item.at("output")
        content = [decode_part(part, f"{path}[{n}]", "input_text") for n, part in enumerate(output)]
    else:
        refuse(item.at("output"), "a text or a list of parts")
    name = item.peek("name")
    return ToolResult(
        tool_use_id=tool_id,
        content=content,
        name=name if isinstance(name, str) else None,
        custom=custom,
        extra=item.rest(),
    )
