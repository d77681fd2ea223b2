"""``tools`` and ``tool_choice``, both ways."""

import re
from typing import Any

from gateway.inference.dialects.anthropic.arguments import FREE_FORM_SCHEMA
from gateway.inference.dialects.anthropic.encode_blocks import Encoding, unsupported
from gateway.inference.dialects.anthropic.reading import (
    DIALECT,
    Fields,
    cache_control,
    own,
    read_cache,
    wrong,
)
from gateway.inference.dialects.neutral import (
    Request,
    ServerTool,
    Tool,
    ToolChoice,
)

_KINDS = ("web_search", "web_fetch", "code_execution")
_NAME = re.compile("[a-zA-Z0-9_-]{1,128}")
_TYPES = {
    "web_search": "web_search_20250305",
    "web_fetch": "web_fetch_20250910",
    "code_execution": "code_execution_20250825",
}
"""The versions that every model of today takes, for tools that another dialect named."""


def decode_tools(body: Fields) -> list[Tool | ServerTool]:
    """Raises InvalidRequest."""
    return [_tool(Fields(entry, f"tools[{number}]")) for number, entry in enumerate(body.items("tools"))]


def _tool(fields: Fields) -> Tool | ServerTool:
    kind = fields.optional_text("type")
    if kind is not None and kind != "custom":
        matched = next((name for name in _KINDS if re.fullmatch(rf"{name}_\d+", kind)), kind)
        cache = read_cache(fields)
        return ServerTool(dialect=DIALECT, kind=matched, data={"type": kind, **fields.rest()}, cache=cache)
    schema = fields.object("input_schema")
    if schema is None:
        wrong(fields.place("input_schema"), "a JSON Schema object")
    return Tool(
        name=fields.name("name"),
        description=fields.optional_text("description"),
        schema=schema,
        strict=fields.flag("strict"),
        cache=read_cache(fields),
        extra=fields.extra(_type=kind),
    )


def decode_tool_choice(body: Fields) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether calls may be parallel. Raises InvalidRequest."""
    fields = body.fields("tool_choice")
    if fields is None:
        return None, None
    mode = fields.text("type")
    if mode not in ("auto", "any", "none", "tool"):
        wrong(fields.place("type"), "one of auto, any, tool, none")
    disabled = fields.flag("disable_parallel_tool_use")
    tool = fields.name("name") if mode == "tool" else None
    choice = ToolChoice(mode=mode, tool=tool, extra=fields.extra())  # type: ignore[arg-type]
    return choice, None if disabled is None else not disabled


def encode_tools(request: Request, to: Encoding) -> list[dict[str, Any]]:
    """Of the tools those that the choice allows. Raises Unsupported."""
    allowed = request.tool_choice.allowed if request.tool_choice else None
    tools = []
    for number, tool in enumerate(request.tools):
        path = f"tools[{number}]"
        if isinstance(tool, ServerTool):
            tools.append(_server_tool(tool, path, to))
        elif allowed is None or tool.name in allowed:
            tools.append(_client_tool(tool, path, to))
    return tools


def _client_tool(tool: Tool, path: str, to: Encoding) -> dict[str, Any]:
    if not _NAME.fullmatch(tool.name):
        raise unsupported(f"{path}.name", "the Messages API takes 1 to 128 letters, digits, _ and -")
    to.drop_foreign(tool.extra, path)
    kept = dict(own(tool.extra))
    kind = kept.pop("_type", None)
    schema = FREE_FORM_SCHEMA if tool.custom else {"type": "object", **(tool.schema or {})}
    body = {**kept, "name": tool.name, "input_schema": schema, **cache_control(tool.cache)}
    if kind is not None:
        body["type"] = kind
    if tool.description is not None:
        body["description"] = tool.description
    if tool.strict is not None:
        body["strict"] = tool.strict
    return body


def _server_tool(tool: ServerTool, path: str, to: Encoding) -> dict[str, Any]:
    if tool.dialect == DIALECT:
        return {**tool.data, **cache_control(tool.cache)}
    if tool.kind not in _TYPES:
        raise unsupported(path, f"the Messages API has no counterpart of the {tool.dialect} tool {tool.kind}")
    body: dict[str, Any] = {"type": _TYPES[tool.kind], "name": tool.kind, **cache_control(tool.cache)}
    for name, value in tool.data.items():
        if name == "type":
            continue
        if tool.kind == "web_search" and name == "filters" and isinstance(value, dict):
            body |= {
                domains: value[domains]
                for domains in ("allowed_domains", "blocked_domains")
                if domains in value
            }
        elif tool.kind == "web_search" and name == "user_location" and isinstance(value, dict):
            body["user_location"] = {"type": "approximate", **value.get("approximate", {}), **_flat(value)}
        elif value not in (None, {}):
            to.drop(f"{path}.{name}")
    return body


def _flat(location: dict[str, Any]) -> dict[str, Any]:
    return {name: location[name] for name in ("city", "region", "country", "timezone") if location.get(name)}


def encode_tool_choice(request: Request, to: Encoding) -> dict[str, Any] | None:
    choice, parallel = request.tool_choice, request.parallel_tools
    if not request.tools:
        if choice is not None:
            to.drop("tool_choice")
        return None
    if choice is None:
        return None if parallel is not False else {"type": "auto", "disable_parallel_tool_use": True}
    to.drop_foreign(choice.extra, "tool_choice")
    body: dict[str, Any] = {**own(choice.extra), "type": choice.mode}
    if choice.tool is not None:
        body["name"] = choice.tool
    if parallel is not None and choice.mode != "none":
        body["disable_parallel_tool_use"] = not parallel
    return body
