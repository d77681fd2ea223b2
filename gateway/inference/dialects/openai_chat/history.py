"""A conversation on its way to a provider: the neutral messages as ``messages`` of this dialect.

What this dialect cannot say in its place is said next to it: results of tools are messages of their own,
right after the calls; images and files in them go into a user message behind all results, with a line that
says which result they belong to; a failed result starts with a line that says so.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

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
from gateway.inference.dialects.openai_chat.calls import encode_call, provider_id
from gateway.inference.dialects.openai_chat.encoding import Encoding
from gateway.inference.dialects.openai_chat.extras import DIALECT, form, own_fields
from gateway.inference.dialects.openai_chat.parts import encode_cache, encode_parts
from gateway.inference.dialects.openai_chat.thoughts import (
    DETAILS,
    TEXT_FIELDS,
    accepted,
    encode_thoughts,
    is_part,
)

_FAILED = "The tool failed:"
_ACKNOWLEDGED = "OK"
"""Said by the model in between, where a provider refuses a user message right after results of tools."""
_EMPTY_THOUGHT = " "
"""For providers that want a thought with every call, where another model made the call (they refuse "")."""


def encode_messages(
    system: Sequence[Text], messages: Sequence[Message], encoding: Encoding
) -> list[dict[str, Any]]:
    """All of ``messages``. Raises Unsupported naming the block that has no place."""
    encoded = _encode_system(system, encoding)
    numbered = list(enumerate(messages))
    for role, run in groupby(numbered, key=lambda item: item[1].role):
        if role == "user":
            encoded += _encode_users(list(run), encoding)
            continue
        for index, message in run:
            place = f"messages[{index}]"
            if role == "assistant":
                encoded += _encode_assistant(message, place, encoding)
            else:
                encoded += _encode_plain(message, list(enumerate(message.content)), place, encoding)
    return encoded


def instruction(text: str, encoding: Encoding) -> dict[str, Any]:
    return {"role": encoding.quirks.system_role, "content": text}


def _encode_system(system: Sequence[Text], encoding: Encoding) -> list[dict[str, Any]]:
    """One message for each that a client of this dialect wrote; other dialects' instructions become one text,
    since many providers take neither several instructions nor lists."""
    encoded: list[dict[str, Any]] = []
    foreign: list[str] = []
    listed: dict[str, Any] = {}
    for index, text in enumerate(system):
        spelling = form(text.extra, "message")
        [part] = encode_parts(text, f"system[{index}]", encoding)
        if spelling is not None:
            listed = {"role": _role(spelling["role"], encoding), "content": [part], **spelling["rest"]}
            if not spelling["parts"]:
                listed["content"] = text.text
            encoded.append(listed)
        elif listed and isinstance(listed["content"], list):
            listed["content"].append(part)
        elif len(part) > 2:
            listed = {"role": encoding.quirks.system_role, "content": _text_parts([*foreign, part])}
            foreign = []
            encoded.append(listed)
        else:
            foreign.append(text.text)
    if foreign:
        encoded.append(instruction("\n\n".join(foreign), encoding))
    return encoded


def _text_parts(pieces: Iterable[str | dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": piece} if isinstance(piece, str) else piece for piece in pieces]


def _role(written: str, encoding: Encoding) -> str:
    """The client's own word, unless the provider knows only ``system``."""
    return written if encoding.quirks.system_role == "developer" else "system"


def _encode_users(run: list[tuple[int, Message]], encoding: Encoding) -> list[dict[str, Any]]:
    """User messages in a row, results of tools first: nothing may stand between calls and their results."""
    results: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for index, message in run:
        rest: list[tuple[int, Block]] = []
        for number, block in enumerate(message.content):
            if isinstance(block, ToolResult):
                place = f"messages[{index}].content[{number}]"
                result, media = _encode_result(block, place, encoding)
                results.append(result)
                shown += media
            else:
                rest.append((number, block))
        if rest or not message.content:
            others += _encode_plain(message, rest, f"messages[{index}]", encoding)
    if shown:
        others.insert(0, {"role": "user", "content": shown})
    if results and others and not encoding.quirks.user_after_tools:
        results.append({"role": "assistant", "content": _ACKNOWLEDGED})
    return results + others


def _encode_plain(
    message: Message, blocks: Sequence[tuple[int, Block]], place: str, encoding: Encoding
) -> list[dict[str, Any]]:
    """A message of the user or of instructions; none if nothing of it is left."""
    parts: list[dict[str, Any]] = []
    for number, block in blocks:
        parts += encode_parts(block, f"{place}.content[{number}]", encoding)
    listed = form(message.extra, "parts")
    if not parts and not listed:
        return []
    role = "user"
    if message.role == "system":
        role = "developer" if form(message.extra, "developer") else "system"
        role = _role(role, encoding)
    written: dict[str, Any] = {"role": role, "content": parts if listed else _simplest(parts)}
    return [_named(message, written)]


def _simplest(parts: list[dict[str, Any]]) -> Any:
    """A text alone as a text."""
    if len(parts) == 1 and set(parts[0]) == {"type", "text"}:
        return parts[0]["text"]
    return parts


def _named(message: Message, written: dict[str, Any]) -> dict[str, Any]:
    if message.name is not None:
        written["name"] = message.name
    return written | own_fields(message.extra)


def _encode_result(
    result: ToolResult, place: str, encoding: Encoding
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The tool message, and parts for the user message behind it."""
    texts: list[dict[str, Any]] = []
    media: list[dict[str, Any]] = []
    for number, block in enumerate(result.content):
        for part in encode_parts(block, f"{place}.content[{number}]", encoding):
            (texts if part.get("type") == "text" or _is_own(block) else media).append(part)
    tool_id = provider_id(result.tool_use_id, encoding)
    if media:
        texts.append({"type": "text", "text": "(The result's files are in the next user message.)"})
        media.insert(0, {"type": "text", "text": f"From the result of tool call {tool_id}:"})
    if result.is_error:
        texts.insert(0, {"type": "text", "text": _FAILED})
    plain = all(set(part) == {"type", "text"} for part in texts)
    content: Any = "\n".join(part["text"] for part in texts) if plain else texts
    if form(result.extra, "parts"):
        content = texts
    if form(result.extra, "legacy"):
        return {"role": "function", "name": result.name, "content": content}, media
    written: dict[str, Any] = {"role": "tool", "tool_call_id": tool_id, "content": content}
    if result.name is not None:
        written["name"] = result.name
    written |= encoding.keep(result.extra, place)
    encode_cache(result.cache, written, place, encoding)
    return written, media


def _is_own(block: Block) -> bool:
    return isinstance(block, ServerBlock) and block.dialect == DIALECT


def _encode_assistant(message: Message, place: str, encoding: Encoding) -> list[dict[str, Any]]:
    """None if nothing of it is left (it held only another model's thoughts)."""
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    thoughts: list[Thinking | HiddenThinking] = []
    fields: dict[str, Any] = {}
    field = encoding.quirks.reasoning_field
    for number, block in enumerate(message.content):
        at = f"{place}.content[{number}]"
        if isinstance(block, ToolUse):
            call = encode_call(block, at, encoding)
            if form(block.extra, "legacy"):
                fields["function_call"] = call["function"]
            else:
                calls.append(call)
        elif isinstance(block, Thinking | HiddenThinking):
            if not encoding.quirks.replays_reasoning or not accepted(block, encoding.target.origin):
                encoding.drop(at)
            elif isinstance(block, Thinking) and (is_part(block) or field == "content"):
                parts += encode_parts(block, at, encoding)
            else:
                thoughts.append(block)
        elif isinstance(block, Refusal) and not form(message.extra, "parts") and block.extra is None:
            fields["refusal"] = fields.get("refusal", "") + block.text
        elif isinstance(block, ServerBlock) and _is_own(block) and "type" not in block.data:
            fields |= block.data
        else:
            parts += encode_parts(block, at, encoding)
    if calls:
        fields["tool_calls"] = calls
    fields |= _thought_fields(message, thoughts, called=bool(calls), encoding=encoding)
    return _assistant_message(message, parts, fields)


def _thought_fields(
    message: Message, thoughts: list[Thinking | HiddenThinking], *, called: bool, encoding: Encoding
) -> dict[str, Any]:
    field = encoding.quirks.reasoning_field
    if not encoding.quirks.replays_reasoning:
        return {}
    named = None if field == "content" else field
    fields = encode_thoughts(thoughts, form(message.extra, "thoughts"), named)
    if called and not fields and field == "reasoning_content":
        return {field: _EMPTY_THOUGHT}
    return fields


def _assistant_message(
    message: Message, parts: list[dict[str, Any]], fields: dict[str, Any]
) -> list[dict[str, Any]]:
    content: Any = parts
    if not form(message.extra, "parts"):
        plain = all(set(part) == {"type", "text"} for part in parts)
        content = "".join(part["text"] for part in parts) if plain else parts
    if not parts:
        content = _no_content(message)
        if content is None and not fields:
            return []
    written = _named(message, {"role": "assistant", "content": content})
    for name in (*TEXT_FIELDS, DETAILS):  # only as the provider wants them
        written.pop(name, None)
    return [written | fields]


def _no_content(message: Message) -> Any:
    if form(message.extra, "empty"):
        return ""
    return [] if form(message.extra, "parts") else None
