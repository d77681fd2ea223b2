"""Parts of a content and neutral blocks.

A thought signature must come back with its very part. A call's is in ``ToolUse.signature``, a thought's in
``Thinking.signature``. That of a text is a HiddenThinking, since clients of any dialect replay those: right
before the text, marked ``next:``, where the text has content; else, unmarked, where its own empty part was
(streams end with one). Signed parts that only Google knows (calls of its own tools, code that it ran) are
HiddenThinking as a whole, marked ``part:``; unsigned ones are ServerBlocks.
"""

from typing import Any

import msgspec

from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.google.calls import NO_ID, CallIds
from gateway.inference.dialects.google.media import decode_file, decode_inline
from gateway.inference.dialects.google.reading import Fields, extra, invalid
from gateway.inference.dialects.neutral import (
    Block,
    HiddenThinking,
    ServerBlock,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from kit.json import NOT_JSON

SIGNS_NEXT = "next:"
"""Signatures are base64, which has no colon."""
WHOLE_PART = "part:"
WHOLE_RESPONSE = "_wholeResponse"
"""Marks a result whose text is the whole ``response`` object, not its ``output`` or ``error``."""
NO_RESULT_ID = {"functionResponse": {"id": None}}


def decode_part(value: Any, path: str, ids: CallIds, origin: str = NAME) -> list[Block]:
    """Raises InvalidRequest."""
    fields = Fields(value, path)
    signature = fields.text("thoughtSignature")
    thought = fields.boolean("thought")
    text = fields.text("text")
    if text is not None:
        if thought:
            return [Thinking(text=text, origin=origin, signature=signature, extra=extra(fields.rest()))]
        return _text_blocks(text, signature, origin, fields.rest())
    if not thought:
        if (call := fields.object("functionCall")) is not None:
            inner = Fields(call, fields.path("functionCall"))
            return [_call(inner, signature, ids, fields.rest())]
        signed = {"thoughtSignature": signature} if signature else {}
        if (result := fields.object("functionResponse")) is not None:
            inner = Fields(result, fields.path("functionResponse"))
            return [_result(inner, ids, fields.rest() | signed)]
        if (inline := fields.object("inlineData")) is not None:
            inner = Fields(inline, fields.path("inlineData"))
            return [decode_inline(inner, fields.rest() | signed)]
        if (file := fields.object("fileData")) is not None:
            return [decode_file(Fields(file, fields.path("fileData")), fields.rest() | signed)]
    if signature is not None:
        return [HiddenThinking(data=WHOLE_PART + _json(dict(value), path), origin=origin)]
    return [ServerBlock(dialect=NAME, data=dict(value))]


def _text_blocks(text: str, signature: str | None, origin: str, rest: dict[str, Any]) -> list[Block]:
    if signature is None:
        return [Text(text=text, extra=extra(rest))]
    if not text:
        return [HiddenThinking(data=signature, origin=origin, extra=extra(rest))]
    return [HiddenThinking(data=SIGNS_NEXT + signature, origin=origin), Text(text=text, extra=extra(rest))]


def _call(fields: Fields, signature: str | None, ids: CallIds, rest: dict[str, Any]) -> ToolUse:
    name = fields.required_text("name")
    given = fields.text("id")
    arguments = fields.object("args") or {}
    if not given:
        rest = rest | NO_ID
    if left := fields.rest():
        rest = rest | {"functionCall": {**rest.get("functionCall", {}), **left}}
    return ToolUse(
        id=ids.of_call(name, given),
        name=name,
        arguments=_json(arguments, fields.path("args")),
        signature=signature,
        extra=extra(rest),
    )


def _result(fields: Fields, ids: CallIds, rest: dict[str, Any]) -> ToolResult:
    name = fields.required_text("name")
    given = fields.text("id")
    response = fields.object("response") or {}
    content: list[Block] = []
    for number, part in enumerate(fields.items("parts")):
        content += decode_part(part, f"{fields.path('parts')}[{number}]", ids)
    if not given:
        rest = rest | NO_RESULT_ID
    if left := fields.rest():
        rest = rest | {"functionResponse": {**rest.get("functionResponse", {}), **left}}
    text, is_error = _said(response)
    if text is None:
        text = _json(response, fields.path("response"))
        rest = rest | {WHOLE_RESPONSE: True}
    return ToolResult(
        tool_use_id=ids.of_result(name, given),
        content=[Text(text=text), *content],
        is_error=is_error,
        name=name,
        extra=extra(rest),
    )


def hidden_part(data: str) -> dict[str, Any] | None:
    """The part of a HiddenThinking that is not marked ``next:``; None if it was tampered with."""
    if not data.startswith(WHOLE_PART):
        return {"text": "", "thoughtSignature": data}
    try:
        found = msgspec.json.decode(data.removeprefix(WHOLE_PART))
    except NOT_JSON:
        return None
    return found if isinstance(found, dict) else None


def _json(value: dict[str, Any], path: str) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        raise invalid(path, "an object that is not nested so deeply") from None


def _said(response: dict[str, Any]) -> tuple[str | None, bool | None]:
    """The text of a response of the documented form, and whether it is an error."""
    if len(response) == 1:
        if isinstance(output := response.get("output"), str):
            return output, None
        if isinstance(error := response.get("error"), str):
            return error, True
    return None, None
