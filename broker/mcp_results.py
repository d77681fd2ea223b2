"""MCP results as tool results: content blocks for the model, plain JSON for the developer."""

import base64
import binascii
from typing import Any

import mcp_types
import msgspec

from broker.calls import MAX_RESULT_CHARS, ToolResult, shorten, text_block
from kit.json import storable

MAX_BLOCKS = 100
MAX_IMAGES = 20
MAX_IMAGE_BYTES = 5 * 1024 * 1024
MAX_OUTPUT_BYTES = 1024 * 1024
SERVER_INFO = mcp_types.SERVER_INFO_META_KEY
"""The protocol's own stamp on every result, which says nothing about this one."""
IMAGE_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}


def to_result(result: mcp_types.CallToolResult, record: dict[str, Any], *, whole: bool = False) -> ToolResult:
    """Text, images and structured content become blocks; what models cannot read is described. With
    ``whole``, the client gets the result as it is as well."""
    blocks = [_block(item) for item in result.content[:MAX_BLOCKS]]
    left_out = len(result.content) - len(blocks)
    if left_out:
        blocks.append(text_block(f"[{left_out} more blocks left out]"))
    structured = storable(result.structured_content)
    if not blocks:
        blocks = [text_block("" if structured is None else msgspec.json.encode(structured).decode())]
    blocks = _fit(blocks)
    output = structured if structured is not None else _output(blocks)
    encoded = msgspec.json.encode(output)
    if structured is not None and len(encoded) > MAX_OUTPUT_BYTES:
        output = shorten(encoded.decode())
    record = {**record, "bytes": len(encoded)}
    told = _for_client(result, whole=whole)
    return ToolResult(output, blocks, bool(result.is_error), record, answered=True, for_client=told)


def _for_client(result: mcp_types.CallToolResult, *, whole: bool) -> dict[str, Any] | None:
    """The result as it is, for user interfaces (MCP Apps), or only its ``_meta``, which is for clients and
    never for models; nothing of it where it is too large."""
    meta = {name: value for name, value in (result.meta or {}).items() if name != SERVER_INFO}
    dumped: dict[str, Any] = {}
    if whole:
        dumped = result.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude={"result_type", "meta"}
        )
    if meta:
        dumped["_meta"] = meta
    if not dumped:
        return None
    if len(msgspec.json.encode(dumped)) > MAX_OUTPUT_BYTES:
        return {"left_out": f"larger than {MAX_OUTPUT_BYTES} bytes"}
    kept: dict[str, Any] = storable(dumped)
    return kept


def _block(item: Any) -> dict[str, Any]:
    if isinstance(item, mcp_types.TextContent):
        return _text(item.text)
    if isinstance(item, mcp_types.ImageContent):
        return _image(item.data, item.mime_type)
    if isinstance(item, mcp_types.AudioContent):
        return _text(f"[audio of type {item.mime_type}, which the model cannot hear]")
    if isinstance(item, mcp_types.ResourceLink):
        described = f": {item.description}" if item.description else ""
        return _text(f"[resource {item.name} at {item.uri}{described}]")
    if isinstance(item, mcp_types.EmbeddedResource):
        return _embedded(item.resource)
    return _text(f"[content of type {getattr(item, 'type', 'unknown')}]")


def _embedded(resource: Any) -> dict[str, Any]:
    if isinstance(resource, mcp_types.TextResourceContents):
        return _text(f"[resource {resource.uri}]\n{resource.text}")
    kind = resource.mime_type or "binary data"
    if kind.startswith("image/"):
        return _image(resource.blob, kind)
    return _text(f"[resource {resource.uri}, {kind}]")


def _image(data: str, declared: str) -> dict[str, Any]:
    """An image block whose type is what the bytes say: model APIs refuse a whole request otherwise."""
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return _text(f"[an image of type {declared} that cannot be decoded]")
    kind = next((kind for start, kind in IMAGE_SIGNATURES.items() if decoded.startswith(start)), None)
    if decoded[:4] == b"RIFF" and decoded[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        return _text(f"[an image of type {declared}, which the model cannot see]")
    if len(decoded) > MAX_IMAGE_BYTES:
        return _text(f"[an image of {len(decoded)} bytes, too large for the model]")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _text(text: str) -> dict[str, Any]:
    return text_block(storable(text))


def _fit(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most 100,000 characters of text in all, and 20 images."""
    room, images, fitting = MAX_RESULT_CHARS, 0, list[dict[str, Any]]()
    for block in blocks:
        if block["type"] == "image":
            images += 1
            fitting.append(block if images <= MAX_IMAGES else text_block("[an image too many]"))
            continue
        text = block["text"]
        if len(text) > room:
            text = shorten(text, max(room, 200))
        room = max(0, room - len(text))
        fitting.append({"type": "text", "text": text})
    return fitting


def _output(blocks: list[dict[str, Any]]) -> Any:
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return blocks[0]["text"]
    return blocks
