"""Messages into input items, the inverse of ``input_decoding``."""

from collections.abc import Sequence
from typing import Any

from gateway.inference.dialects.carried import fitting_id
from gateway.inference.dialects.neutral import (
    Block,
    HiddenThinking,
    Message,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from gateway.inference.dialects.openai_responses.blocks import encode_part
from gateway.inference.dialects.openai_responses.encoding import Encoding
from gateway.inference.dialects.openai_responses.reading import NAME, own
from gateway.inference.dialects.openai_responses.reasoning import encode_reasoning

Item = dict[str, Any]

CALL_ID_LENGTH = 64
"""OpenAI refuses longer ones."""


def encode_system(texts: Sequence[Text], encoding: Encoding) -> tuple[str | None, list[Item]]:
    """The instructions, and the items of texts that were items before the conversation."""
    instructions: list[str] = []
    items: list[Item] = []
    for number, text in enumerate(texts):
        place = f"system[{number}]"
        kept = own(text.extra)
        if "_continues" in kept and items:
            items[-1]["content"] += encode_part(text, "input_text", place, encoding)
        elif "_item" in kept:
            fields = kept["_item"]
            if encoding.target.quirks.system_role == "system":
                fields = fields | {"role": "system"}
            items += _message(fields, [text], "input_text", [place], encoding)
        else:
            encoding.kept(text.extra, place)
            encoding.cache(text.cache, kept, place)
            instructions.append(text.text)
    return ("\n\n".join(instructions) if instructions else None), items


def encode_messages(messages: Sequence[Message], encoding: Encoding) -> list[Item]:
    """Raises Unsupported for what may not be left out."""
    encoding.custom_calls = {
        block.id
        for message in messages
        for block in message.content
        if isinstance(block, ToolUse) and block.custom
    }
    items: list[Item] = []
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        kept = encoding.kept(message.extra, place)
        if message.name is not None:
            encoding.drop(f"{place}.name")
        if message.role == "assistant":
            items += _assistant(message.content, place, encoding)
        else:
            role = "user" if message.role == "user" else encoding.target.quirks.system_role
            fields = {"role": role} | kept.get("_item", {})
            if role == "system":
                fields["role"] = role
            items += _from_client(message, fields, place, encoding)
    return items


def _from_client(message: Message, fields: Item, place: str, encoding: Encoding) -> list[Item]:
    """A message's item, split where outputs of calls stand."""
    items: list[Item] = []
    run: list[Block] = []
    places: list[str] = []
    for number, block in enumerate(message.content):
        here = f"{place}.content[{number}]"
        if isinstance(block, ToolResult) or (isinstance(block, ServerBlock) and block.dialect == NAME):
            if run:
                items += _message(fields, run, "input_text", places, encoding)
                run, places = [], []
            items += _output(block, here, encoding) if isinstance(block, ToolResult) else [block.data]
        else:
            run.append(block)
            places.append(here)
    if run or not message.content:
        items += _message(fields, run, "input_text", places, encoding)
    return items


def _message(
    fields: Item, blocks: Sequence[Block], natural: str, places: Sequence[str], encoding: Encoding
) -> list[Item]:
    """A message item; one plain text is its content as it is, unless it was a list. None if nothing of the
    blocks could be carried."""
    item = {name: value for name, value in fields.items() if name != "content"}
    parts = [
        part
        for block, place in zip(blocks, places, strict=True)
        for part in encode_part(block, natural, place, encoding)
    ]
    if blocks and not parts:
        return []
    if fields.get("content") != "list" and len(parts) == 1 and _plain(parts[0], natural):
        return [item | {"content": parts[0]["text"]}]
    return [item | {"content": parts}]


def _plain(part: Item, natural: str) -> bool:
    return (
        part["type"] == natural
        and part.keys() - {"type", "text"} <= {"annotations"}
        and not part.get("annotations")
    )


def _assistant(blocks: Sequence[Block], place: str, encoding: Encoding) -> list[Item]:
    items: list[Item] = []
    run: list[Block] = []
    places: list[str] = []

    def close() -> None:
        if run:
            fields = {"role": "assistant"} | own(_extra_of(run[0])).get("_item", {})
            items.extend(_message(fields, run, "output_text", places, encoding))
        run.clear()
        places.clear()

    for number, block in enumerate(blocks):
        here = f"{place}.content[{number}]"
        if isinstance(block, Text | Refusal):
            if "_item" in own(block.extra):
                close()
            run.append(block)
            places.append(here)
            continue
        close()
        items += _item(block, here, encoding)
    close()
    return items


def _extra_of(block: Block) -> Any:
    return getattr(block, "extra", None)


def _item(block: Block, place: str, encoding: Encoding) -> list[Item]:
    """The item of a block of the assistant's that is no part of a message."""
    if isinstance(block, Thinking | HiddenThinking):
        item = encode_reasoning(block, encoding.target.origin)
        if item is not None:
            return [item]
    elif isinstance(block, ToolUse):
        return [_call(block, place, encoding)]
    elif isinstance(block, ServerBlock) and block.dialect == NAME:
        return [block.data]
    elif isinstance(block, ToolResult):
        return _output(block, place, encoding)
    encoding.drop(place)
    return []


def _call(block: ToolUse, place: str, encoding: Encoding) -> Item:
    item: Item = {"type": "custom_tool_call" if block.custom else "function_call"}
    if block.item_id:
        item["id"] = block.item_id
    item |= {"call_id": _call_id(block.id, encoding), "name": block.name}
    if block.custom:
        item["input"] = block.arguments
    else:
        item["arguments"] = block.arguments if block.arguments.strip() else "{}"
    if block.signature is not None:
        encoding.drop(f"{place}.signature")
    kept = encoding.kept(block.extra, place)
    encoding.cache(block.cache, kept, place)
    return item | kept


def _output(block: ToolResult, place: str, encoding: Encoding) -> list[Item]:
    custom = block.custom or block.tool_use_id in encoding.custom_calls
    kept = encoding.kept(block.extra, place)
    as_list = kept.pop("_output", None) == "list"
    parts = [
        part
        for number, inner in enumerate(block.content)
        for part in encode_part(inner, "input_text", f"{place}.content[{number}]", encoding)
    ]
    output: Any = parts
    if not as_list and not parts:
        output = "The call failed." if block.is_error else ""
    elif not as_list and len(parts) == 1 and _plain(parts[0], "input_text"):
        output = parts[0]["text"]
    if block.is_error:
        encoding.drop(f"{place}.is_error")
    encoding.cache(block.cache, kept, place)
    return [
        {
            "type": "custom_tool_call_output" if custom else "function_call_output",
            "call_id": _call_id(block.tool_use_id, encoding),
            "output": output,
            **kept,
        }
    ]


def _call_id(tool_id: str, encoding: Encoding) -> str:
    length = encoding.target.quirks.tool_id_length
    if length is not None:
        return fitting_id(tool_id, pattern=rf"[A-Za-z0-9]{{{length}}}", max_length=length)
    return fitting_id(tool_id, pattern=r"[!-~]+", max_length=CALL_ID_LENGTH)
