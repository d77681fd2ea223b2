"""MCP results as tool results: content blocks for the model, plain JSON for the developer."""

import base64
import binascii
from typing import Any

import mcp_types
import msgspec

from broker.calls import MAX_OUTPUT_BYTES, MAX_RESULT_CHARS, ToolResult, shorten, text_block
from kit.images import media_type_of, size_of
from kit.json import storable

MAX_BLOCKS = 100
MAX_IMAGES = 20
MAX_IMAGE_CHARS = 5 * 1024 * 1024
"""Of an image's base64. Anthropic takes no more (platform.claude.com, "Vision"): the request is refused."""
MAX_IMAGE_SIDE = 8_000
"""Pixels; the same."""
SERVER_INFO = mcp_types.SERVER_INFO_META_KEY
"""The protocol's own stamp on every result, which says nothing about this one."""


def to_result(result: mcp_types.CallToolResult, record: dict[str, Any], *, whole: bool = False) -> ToolResult:
    """Text, images and structured content become blocks; what models cannot read is described.

    If anything is left out, cut or only described, ``full`` is the result as the server gave it.
    With ``whole``, the client's event has the result as it is as well.
    """
    reading = _Reading()
    blocks = reading.blocks(result.content)
    structured = storable(result.structured_content)
    if not blocks:
        blocks = [text_block("" if structured is None else msgspec.json.encode(structured).decode())]
    blocks = reading.fitted(blocks)
    output = structured if structured is not None else _output(blocks)
    encoded = msgspec.json.encode(output)
    if structured is not None and len(encoded) > MAX_OUTPUT_BYTES:
        output, reading.is_whole = shorten(encoded.decode()), False
    full = None if reading.is_whole else _as_given(result)
    record = {**record, "bytes": len(encoded if full is None else full)}
    if full is not None:
        record["cut"] = True
    told = _for_client(result, whole=whole)
    is_error = bool(result.is_error)
    return ToolResult(
        output, blocks, is_error, record, answered=True, full=full, for_client=told, given=result
    )


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


class _Reading:
    """Reads content; ``is_whole`` until something of it is not in the blocks."""

    def __init__(self) -> None:
        self.is_whole = True

    def blocks(self, content: list[Any]) -> list[dict[str, Any]]:
        blocks = [self._block(item) for item in content[:MAX_BLOCKS]]
        if left_out := len(content) - len(blocks):
            blocks.append(self._instead(f"[{left_out} more blocks left out]"))
        return blocks

    def fitted(self, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """At most 100,000 characters of text in all, and 20 images."""
        room, images, fitting = MAX_RESULT_CHARS, 0, list[dict[str, Any]]()
        for block in blocks:
            if block["type"] == "image":
                images += 1
                fitting.append(block if images <= MAX_IMAGES else self._instead("[an image too many]"))
                continue
            text = block["text"]
            if len(text) > room:
                text, self.is_whole = shorten(text, max(room, 200)), False
            room = max(0, room - len(text))
            fitting.append({"type": "text", "text": text})
        return fitting

    def _instead(self, description: str) -> dict[str, Any]:
        """In the place of what a model cannot be shown."""
        self.is_whole = False
        return self._text(description)

    def _text(self, text: str) -> dict[str, Any]:
        if len(text) > MAX_RESULT_CHARS:
            self.is_whole = False
        return text_block(storable(text))

    def _block(self, item: Any) -> dict[str, Any]:
        if isinstance(item, mcp_types.TextContent):
            return self._text(item.text)
        if isinstance(item, mcp_types.ImageContent):
            return self._image(item.data, item.mime_type)
        if isinstance(item, mcp_types.AudioContent):
            return self._instead(f"[audio of type {item.mime_type}, which the model cannot hear]")
        if isinstance(item, mcp_types.ResourceLink):
            described = f": {item.description}" if item.description else ""
            return self._text(f"[resource {item.name} at {item.uri}{described}]")
        if isinstance(item, mcp_types.EmbeddedResource):
            return self._embedded(item.resource)
        return self._instead(f"[content of type {getattr(item, 'type', 'unknown')}]")

    def _embedded(self, resource: Any) -> dict[str, Any]:
        if isinstance(resource, mcp_types.TextResourceContents):
            return self._text(f"[resource {resource.uri}]\n{resource.text}")
        kind = resource.mime_type or "binary data"
        if kind.startswith("image/"):
            return self._image(resource.blob, kind)
        return self._instead(f"[resource {resource.uri}, {kind}]")

    def _image(self, data: str, declared: str) -> dict[str, Any]:
        """An image block whose type is what the bytes say: model APIs refuse a whole request otherwise, and
        every later one of its thread."""
        try:
            decoded = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            return self._instead(f"[an image of type {declared} that cannot be decoded]")
        kind, size = media_type_of(decoded), size_of(decoded)
        if kind is None:
            return self._instead(f"[an image of type {declared}, which the model cannot see]")
        if len(data) > MAX_IMAGE_CHARS:
            return self._instead(f"[an image of {len(decoded)} bytes, too large for the model]")
        if size is not None and max(size) > MAX_IMAGE_SIDE:
            return self._instead(
                f"[an image of {size.width} x {size.height} pixels, too large for the model]"
            )
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _as_given(result: mcp_types.CallToolResult) -> bytes:
    given = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return msgspec.json.encode(storable(given))


def _output(blocks: list[dict[str, Any]]) -> Any:
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return blocks[0]["text"]
    return blocks
