"""Items of an answer and the blocks that they are."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.inference.dialects.carried import with_signature
from gateway.inference.dialects.neutral import (
    Block,
    Citation,
    HiddenThinking,
    Image,
    Inline,
    Refusal,
    Request,
    ServerBlock,
    Text,
    Thinking,
    Tool,
    ToolUse,
)
from gateway.inference.dialects.openai_responses.blocks import decode_annotation, encode_annotation
from gateway.inference.dialects.openai_responses.reading import NAME, extra, own
from gateway.inference.dialects.openai_responses.reasoning import (
    decode_reasoning,
    encode_reasoning,
    wrapped,
)

Item = dict[str, Any]


def decode_output_item(item: Any, origin: str) -> list[Block]:
    """The blocks of one item. What is unknown or malformed is kept as it is."""
    if not isinstance(item, dict):
        return []
    kind = item.get("type")
    if kind == "message" and isinstance(item.get("content"), list):
        return _message(item)
    if kind in ("function_call", "custom_tool_call"):
        call = decode_call(item)
        if call is not None:
            call.arguments = arguments_of(call, item)
            return [call]
    if kind == "reasoning":
        try:
            return [decode_reasoning(item, origin)]
        except ValueError:
            pass
    return [ServerBlock(dialect=NAME, data=item)]


def decode_call(item: Mapping[str, Any]) -> ToolUse | None:
    """A call without its arguments; None if it is malformed."""
    call_id, name, item_id = item.get("call_id"), item.get("name"), item.get("id")
    if not isinstance(call_id, str) or not isinstance(name, str) or not isinstance(item_id, str | None):
        return None
    known = {"type", "id", "call_id", "name", "arguments", "input"}
    kept = {key: value for key, value in item.items() if key not in known and not _usual(key, value)}
    custom = item.get("type") == "custom_tool_call"
    return ToolUse(id=call_id, name=name, arguments="", item_id=item_id, custom=custom, extra=extra(kept))


def arguments_of(call: ToolUse, item: Mapping[str, Any]) -> str:
    """The arguments in a whole item; none at all are those of a call without parameters."""
    arguments = item.get("input" if call.custom else "arguments")
    text = arguments if isinstance(arguments, str) else ""
    return text if call.custom or text.strip() else "{}"


def _usual(name: str, value: Any) -> bool:
    return name == "status" and value in ("completed", "in_progress")


def message_note(item: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a message item that say something besides its text."""
    known = {"type", "role", "content"}
    return {name: value for name, value in item.items() if name not in known and not _usual(name, value)}


def decode_output_part(part: Any) -> Block:
    """A part of a message; an unknown one is a message item of its own."""
    if isinstance(part, dict) and part.get("type") == "output_text" and isinstance(part.get("text"), str):
        citations = [decode_annotation(entry) for entry in objects(part.get("annotations"))]
        known = {"type", "text", "annotations", "logprobs"}
        kept = {name: value for name, value in part.items() if name not in known}
        return Text(text=part["text"], citations=citations or None, extra=extra(kept))
    if isinstance(part, dict) and part.get("type") == "refusal" and isinstance(part.get("refusal"), str):
        kept = {name: value for name, value in part.items() if name not in ("type", "refusal")}
        return Refusal(text=part["refusal"], extra=extra(kept))
    return ServerBlock(dialect=NAME, data={"type": "message", "role": "assistant", "content": [part]})


def unknown_parts(block: Block) -> list[Any]:
    """The parts for a message in a block that ``decode_output_part`` made."""
    if isinstance(block, ServerBlock) and block.dialect == NAME and block.data.keys() == _UNKNOWN_PART:
        parts = block.data["content"]
        return parts if isinstance(parts, list) else []
    return []


_UNKNOWN_PART = {"type", "role", "content"}


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in what should be a list of them."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _message(item: Item) -> list[Block]:
    content = [decode_output_part(part) for part in item["content"]]
    if not content or isinstance(content[0], ServerBlock):
        return [ServerBlock(dialect=NAME, data=item)]
    note(content[0], message_note(item))
    return content


def note(block: Block, fields: dict[str, Any]) -> None:
    """Say on the first block of a message item what else the item has."""
    if isinstance(block, Text | Refusal):
        block.extra = extra((block.extra.fields if block.extra else {}) | {"_item": fields})


def begins_item(block: Block) -> bool:
    return "_item" in own(getattr(block, "extra", None))


class ItemMaker:
    """Makes the items of one answer; what has no id of its own gets one made of the answer's."""

    def __init__(self, request: Request, response_id: str) -> None:
        self._response_id = response_id
        self._custom = {tool.name for tool in request.tools if isinstance(tool, Tool) and tool.custom}

    def new_id(self, prefix: str, index: int) -> str:
        """At most 64 characters, the same every time."""
        digest = hashlib.sha256(f"{self._response_id} {index}".encode("utf-8", "replace")).hexdigest()
        return f"{prefix}_{digest[:48]}"

    def message(self, first: Block, index: int) -> Item:
        """An empty message item."""
        fields: Item = own(getattr(first, "extra", None)).get("_item", {})
        item: Item = {
            "id": self.new_id("msg", index),
            "type": "message",
            "status": "completed",
            "content": [],
        }
        return item | {"role": "assistant"} | fields

    def part(self, block: Text | Refusal, logprobs: list[Any] | None = None) -> Item:
        kept = {name: value for name, value in own(block.extra).items() if not name.startswith("_")}
        if isinstance(block, Refusal):
            return {"type": "refusal", "refusal": block.text, **kept}
        annotations = annotations_of(block.citations or (), len(block.text))
        return {
            "type": "output_text",
            "annotations": annotations,
            "logprobs": logprobs or [],
            "text": block.text,
            **kept,
        }

    def is_custom(self, block: ToolUse) -> bool:
        """Whether the client knows the tool as one that takes text."""
        return block.custom or block.name in self._custom

    def call(self, block: ToolUse, index: int) -> Item:
        custom = self.is_custom(block)
        kept = own(block.extra)
        kind, prefix = ("custom_tool_call", "ctc") if custom else ("function_call", "fc")
        item: Item = {
            "id": block.item_id or self.new_id(prefix, index),
            "type": kind,
            "status": "completed",
            "call_id": with_signature(block.id, block.signature),
            "name": block.name,
        }
        if custom:
            item["input"] = block.arguments if block.custom else _free_text(block.arguments)
        else:
            item["arguments"] = block.arguments if block.arguments.strip() else "{}"
        return item | kept

    def reasoning(self, block: Thinking | HiddenThinking, index: int) -> Item:
        made: Item = {"id": self.new_id("rs", index), "type": "reasoning", "summary": []}
        item = encode_reasoning(block)
        if item is not None:
            return made | item
        if block.origin == NAME and isinstance(block, Thinking):  # a seal that somebody has broken
            return made | {"summary": summary_of(block.text)}
        if isinstance(block, Thinking):
            made["summary"] = summary_of(block.text)
        return made | {"encrypted_content": wrapped(block)}

    def image(self, block: Image, index: int) -> Item | None:
        if not isinstance(block.source, Inline):
            return None
        return {
            "id": self.new_id("ig", index),
            "type": "image_generation_call",
            "status": "completed",
            "result": block.source.data,
        }


def summary_of(text: str) -> list[Item]:
    return [{"type": "summary_text", "text": text}] if text else []


def annotations_of(citations: Iterable[Citation], text_length: int) -> list[Item]:
    encoded = (encode_annotation(citation, text_length) for citation in citations)
    return [annotation for annotation in encoded if annotation is not None]


def _free_text(arguments: str) -> str:
    """What a model that knows only JSON wrote for a tool that takes text (see ``tools.CUSTOM_SCHEMA``)."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments
