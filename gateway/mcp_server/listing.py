"""The tools of an account as an MCP server lists them."""

from typing import Any

import mcp_types
from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS

from broker.tool import BoundTool
from broker.toolset import Toolset

MIRRORED = "x-mcp-header"
"""Has a client repeat an argument in an HTTP header (2026-07-28). It concerns the server that wrote it."""


def listed(toolset: Toolset, version: str = LATEST_MODERN_VERSION) -> list[mcp_types.Tool]:
    """Every tool under its model-safe name, in the same order each time, as the revision has tools."""
    return [_tool(name, tool, version) for name, tool in toolset.tools.items()]


def output_schema(tool: BoundTool, version: str) -> dict[str, Any] | None:
    """What the tool's structured results are promised to be: objects, before 2026-07-28."""
    schema: dict[str, Any] | None = tool.details.get("output_schema")
    if schema is None or version in MODERN_PROTOCOL_VERSIONS:
        return schema
    return schema if schema.get("type") == "object" else None


def _tool(name: str, tool: BoundTool, version: str) -> mcp_types.Tool:
    return mcp_types.Tool(
        name=name,
        title=str(tool.details.get("title") or tool.display_name),
        description=tool.description,
        input_schema={"type": "object", **_without_mirroring(tool.input_schema)},
        output_schema=output_schema(tool, version),
        annotations=_annotations(tool),
    )


def _annotations(tool: BoundTool) -> mcp_types.ToolAnnotations:
    """What its server says of it, under what its developer says: what a turn would ask about first is
    called destructive, so that clients ask."""
    said = tool.details.get("annotations") or {}
    hints = mcp_types.ToolAnnotations.model_validate(said)
    developers = {}
    if tool.retry_safe or hints.idempotent_hint:
        developers["idempotent_hint"] = tool.retry_safe
    if tool.approval != "never":
        developers |= {"destructive_hint": True, "read_only_hint": False}
    return hints.model_copy(update=developers)


def _without_mirroring(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: _without_mirroring(part)
            for name, part in schema.items()
            if not (name == MIRRORED and isinstance(part, str))
        }
    if isinstance(schema, list):
        return [_without_mirroring(part) for part in schema]
    return schema
