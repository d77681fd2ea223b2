"""What is said of a tool to MCP clients."""

from typing import Any

from broker.tool import BoundTool
from broker.toolset import Toolset
from gateway.mcp_server.listing import listed


def shown(schema: dict[str, Any], **fields: Any) -> Any:
    tool = BoundTool("srv/a tool", "Does.", schema, fields.pop("retry_safe", False), None, **fields)
    (only,) = listed(Toolset.build([tool]))
    return only


def test_arguments_are_not_to_be_mirrored_in_headers_of_ours() -> None:
    """That is between us and the tool's own server. A property may have the keyword's name."""
    schema = {
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "x-mcp-header": {"type": "string"},
            "nested": {"anyOf": [{"type": "integer", "x-mcp-header": "Deep"}, {"type": "null"}]},
        },
        "required": ["region"],
    }
    assert shown(schema).input_schema == {
        "type": "object",
        "properties": {
            "region": {"type": "string"},
            "x-mcp-header": {"type": "string"},
            "nested": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["region"],
    }
    assert schema["properties"]["region"]["x-mcp-header"] == "Region"  # type: ignore[index]


def test_a_tool_has_its_servers_title_and_hints_under_its_developers_word() -> None:
    said = {"title": "A tool", "annotations": {"readOnlyHint": True, "idempotentHint": True}}
    tool = shown({}, details=said)
    assert (tool.title, tool.name.startswith("srv__a_tool")) == ("A tool", True)
    assert (tool.annotations.read_only_hint, tool.annotations.idempotent_hint) == (True, False)
    asked = shown({}, details=said, approval="first_use", retry_safe=True).annotations
    assert (asked.read_only_hint, asked.destructive_hint, asked.idempotent_hint) == (False, True, True)
    bare = shown({})
    assert bare.title == "srv/a tool" and bare.annotations.model_dump(exclude_none=True) == {}
