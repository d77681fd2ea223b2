"""Tool results as function responses."""

from typing import Any

import msgspec

from gateway.inference.dialects.google.blocks import media_parts, plain_parts
from gateway.inference.dialects.google.calls import Call
from gateway.inference.dialects.google.drops import Drops
from gateway.inference.dialects.google.media import fits_result
from gateway.inference.dialects.google.model_names import is_third
from gateway.inference.dialects.google.parts import WHOLE_RESPONSE
from gateway.inference.dialects.google.reading import invalid, merged, own
from gateway.inference.dialects.neutral import (
    Audio,
    Document,
    Image,
    Text,
    ToolResult,
    Video,
)
from kit.json import NOT_JSON

Parts = list[dict[str, Any]]


def encode_result(
    block: ToolResult, call: Call | None, spot: str, drops: Drops
) -> tuple[dict[str, Any], Parts]:
    """The function response, and the parts for what it cannot hold, which must stand in a later content.

    From Gemini 3 on it holds images and PDFs itself (function calling guide: multimodal responses).
    Raises InvalidRequest if the function that it answers is unknown.
    """
    drops.cache(block.cache, spot)
    drops.foreign(block.extra, spot)
    name = call.name if call is not None else block.name
    if not name:
        raise invalid(f"{spot}.tool_use_id", "the id of an earlier tool call")
    texts: list[str] = []
    held: Parts = []
    beside: Parts = []
    for at, inner in enumerate(block.content):
        place = f"{spot}.content[{at}]"
        if isinstance(inner, Text):
            drops.cache(inner.cache, place)
            texts.append(inner.text)
        elif isinstance(inner, Image | Document | Audio | Video):
            for part in media_parts(inner, place, drops):
                holds = is_third(drops.target.model) and fits_result(part)
                (held if holds else beside).append(part)
        else:
            beside += plain_parts(inner, place, drops)
    response: dict[str, Any] = {"id": block.tool_use_id, "name": name, "response": _response(block, texts)}
    if call is not None and call.bare:
        del response["id"]
    if held:
        response["parts"] = held
    kept = own(block.extra)
    kept.pop(WHOLE_RESPONSE, None)
    if beside:
        beside.insert(0, {"text": f"Result of {name}:"})
    return merged({"functionResponse": response}, kept), beside


def _response(block: ToolResult, texts: list[str]) -> dict[str, Any]:
    text = "\n".join(texts)
    if WHOLE_RESPONSE in own(block.extra):
        try:
            found = msgspec.json.decode(text)
        except NOT_JSON:
            found = None
        if isinstance(found, dict):
            return found
    return {"error": text} if block.is_error else {"output": text}
