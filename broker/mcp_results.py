"""MCP results as tool results: content blocks for the model, plain JSON for the developer."""

from typing import Any

import mcp_types
import msgspec

from broker.calls import ToolResult, shorten

IMAGE_TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp"}


def to_result(result: mcp_types.CallToolResult, record: dict[str, Any]) -> ToolResult:
    """Text, images and structured content become blocks; what models cannot read is described."""
    blocks = [_block(item) for item in result.content]
    if not blocks and result.structured_content is not None:
        blocks = [_text(msgspec.json.encode(result.structured_content).decode())]
    if not blocks:
        blocks = [_text("(no output)")]
    output = result.structured_content if result.structured_content is not None else _output(blocks)
    return ToolResult(output, blocks, bool(result.is_error), record)


def _block(item: Any) -> dict[str, Any]:
    if isinstance(item, mcp_types.TextContent):
        return _text(item.text)
    if isinstance(item, mcp_types.ImageContent):
        if item.mime_type in IMAGE_TYPES:
            source = {"type": "base64", "media_type": item.mime_type, "data": item.data}
            return {"type": "image", "source": source}
        return _text(f"[an image of type {item.mime_type}, which the model cannot see]")
    if isinstance(item, mcp_types.AudioContent):
        return _text(f"[audio of type {item.mime_type}, which the model cannot hear]")
    if isinstance(item, mcp_types.ResourceLink):
        return _text(f"[resource {item.name}: {item.uri}]")
    if isinstance(item, mcp_types.EmbeddedResource):
        resource = item.resource
        if isinstance(resource, mcp_types.TextResourceContents):
            return _text(f"[resource {resource.uri}]\n{resource.text}")
        return _text(f"[resource {resource.uri}, {resource.mime_type or 'binary data'}]")
    return _text(f"[content of type {getattr(item, 'type', 'unknown')}]")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": shorten(text)}


def _output(blocks: list[dict[str, Any]]) -> Any:
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return blocks[0]["text"]
    return blocks
