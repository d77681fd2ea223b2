"""What a tool call came to, as an MCP result."""

from typing import Any

import mcp_types

from broker.calls import ToolResult
from kit.errors import HeddleError
from kit.money import micros

COST = "heddle/cost_micros"
"""In a result's ``_meta``: what the call cost, in millionths of a USD, if its tool has a price."""


def to_mcp(result: ToolResult, cost_nanos: int | None = None) -> mcp_types.CallToolResult:
    """Blocks become content; an output that is an object goes with them as it is (what the revisions before
    2026-07-28 take for structured content)."""
    structured = result.output if result.answered and isinstance(result.output, dict) else None
    return mcp_types.CallToolResult(
        content=[_content(block) for block in result.content],
        structured_content=structured,
        is_error=result.is_error,
        _meta={COST: micros(cost_nanos)} if cost_nanos is not None else None,
    )


def refusal(error: HeddleError) -> mcp_types.CallToolResult:
    """What was not called, and why, for the model to act on."""
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(text=f"The tool was not called: {error.message} ({error.code})")],
        structured_content={
            "error": {
                **error.details,
                "status": error.status,
                "code": error.code,
                "message": error.message,
            }
        },
        is_error=True,
    )


def told(text: str) -> mcp_types.CallToolResult:
    """An error result that only says something."""
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(text=text)], is_error=True)


def _content(block: dict[str, Any]) -> mcp_types.TextContent | mcp_types.ImageContent:
    if block["type"] == "image":
        source = block["source"]
        return mcp_types.ImageContent(data=source["data"], mime_type=source["media_type"])
    return mcp_types.TextContent(text=block["text"])
