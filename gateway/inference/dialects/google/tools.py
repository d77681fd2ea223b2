"""Tools, Google's own and the caller's functions, and which of them a model may or must call."""

from typing import Any

from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.google.config import OPENAPI
from gateway.inference.dialects.google.drops import Drops
from gateway.inference.dialects.google.model_names import is_third
from gateway.inference.dialects.google.reading import Fields, camel, extra, invalid, merged, own
from gateway.inference.dialects.google.schemas import from_google, to_google
from gateway.inference.dialects.neutral import (
    Request,
    ServerTool,
    Tool,
    ToolChoice,
)
from kit.errors import Unsupported

_KINDS = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "urlContext": "web_fetch",
    "codeExecution": "code_execution",
}
_COUNTERPARTS = {"web_search": "googleSearch", "web_fetch": "urlContext", "code_execution": "codeExecution"}
_RESTRICTIONS = ("allowed_domains", "blocked_domains", "filters")
"""Options of other dialects' tools that forbid something, so that they may not be left out."""
_PLAIN = ("type", "name", "cache_control")
_MODES = {"AUTO": "auto", "ANY": "any", "NONE": "none", "VALIDATED": "auto"}


def decode_tools(values: list[Any], path: str) -> list[Tool | ServerTool]:
    """Raises InvalidRequest."""
    tools: list[Tool | ServerTool] = []
    for number, value in enumerate(values):
        fields = Fields(value, f"{path}[{number}]")
        for at, declared in enumerate(fields.items("functionDeclarations")):
            tools.append(_function(Fields(declared, f"{fields.path('functionDeclarations')}[{at}]")))
        for name, data in fields.rest().items():
            kind = _KINDS.get(camel(name), camel(name))
            tools.append(ServerTool(dialect=NAME, kind=kind, data={name: data}))
    return tools


def _function(fields: Fields) -> Tool:
    name = fields.required_text("name")
    description = fields.text("description")
    schema = fields.object("parametersJsonSchema")
    openapi = fields.object("parameters")
    kept = fields.rest()
    if schema is None and openapi is not None:
        schema = from_google(openapi)
        kept[OPENAPI] = True
    return Tool(name=name, description=description, schema=schema, extra=extra(kept))


def encode_tools(request: Request, drops: Drops) -> list[dict[str, Any]]:
    """All functions in one entry, each of Google's own tools in another. Raises Unsupported."""
    functions: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for number, tool in enumerate(request.tools):
        place = f"tools[{number}]"
        drops.cache(tool.cache, place)
        if isinstance(tool, ServerTool):
            entries.append(_server_tool(tool, place, drops))
            continue
        if not functions:
            entries.append({"functionDeclarations": functions})
        functions.append(_declaration(tool, place, drops))
    return entries


def _declaration(tool: Tool, place: str, drops: Drops) -> dict[str, Any]:
    drops.foreign(tool.extra, place)
    kept = own(tool.extra)
    openapi = kept.pop(OPENAPI, False) or drops.target.quirks.schema_subset == "google"
    declared: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        declared["description"] = tool.description
    if tool.schema is not None and openapi:
        adapted = to_google(tool.schema)
        declared["parameters"] = adapted.schema
        for lost in adapted.lost:
            drops.add(f"{place}.schema.{lost}")
    elif tool.schema is not None:
        declared["parametersJsonSchema"] = tool.schema
    return merged(declared, kept)


def _server_tool(tool: ServerTool, place: str, drops: Drops) -> dict[str, Any]:
    if tool.dialect == NAME:
        return tool.data
    counterpart = _COUNTERPARTS.get(tool.kind)
    if counterpart is None:
        raise Unsupported(f"{place}: Gemini has no tool of the kind {tool.kind}", param=place)
    for name, value in tool.data.items():
        container_files = isinstance(value, dict) and name == "container" and value.get("file_ids")
        if value and (name in _RESTRICTIONS or container_files):
            raise Unsupported(
                f"{place}.{name}: Gemini's {counterpart} has no such option", param=f"{place}.{name}"
            )
        if value is not None and name not in _PLAIN:
            drops.add(f"{place}.{name}")
    return {counterpart: {}}


def decode_choice(fields: Fields) -> ToolChoice | None:
    """From a ``functionCallingConfig``. Raises InvalidRequest."""
    mode = fields.text("mode")
    allowed = fields.texts("allowedFunctionNames")
    kept = fields.rest()
    if mode is None or mode == "MODE_UNSPECIFIED":
        return None if not kept else ToolChoice(mode="auto", extra=extra({**kept, "mode": mode}))
    if mode not in _MODES:
        raise invalid(fields.path("mode"), "AUTO, ANY, NONE or VALIDATED")
    if mode == "VALIDATED":
        kept["mode"] = mode
    if mode == "ANY" and len(allowed) == 1:
        return ToolChoice(mode="tool", tool=allowed[0], extra=extra(kept))
    if mode == "NONE":
        return ToolChoice(mode="none", extra=extra(kept))
    return ToolChoice(mode="any" if mode == "ANY" else "auto", allowed=allowed or None, extra=extra(kept))


def encode_tool_config(request: Request, drops: Drops) -> dict[str, Any]:
    """A ``toolConfig``, empty if there is nothing to say. Raises Unsupported."""
    if request.parallel_tools is False:
        drops.add("parallel_tools")
    functions = [tool for tool in request.tools if isinstance(tool, Tool)]
    config: dict[str, Any] = {}
    if calling := _calling(request.tool_choice, functions, drops):
        config["functionCallingConfig"] = calling
    if functions and len(functions) < len(request.tools) and is_third(drops.target.model):
        # both kinds together only work so (guide: Combine built-in tools and function calling)
        config["includeServerSideToolInvocations"] = True
    return merged(config, own(request.extra).get("toolConfig", {}))


def _calling(choice: ToolChoice | None, functions: list[Tool], drops: Drops) -> dict[str, Any]:
    strict = bool(functions) and all(tool.strict for tool in functions) and is_third(drops.target.model)
    for number, tool in enumerate(functions):
        if tool.strict and not strict:
            drops.add(f"tools[{number}].strict")
    if choice is None:
        return {"mode": "VALIDATED"} if strict else {}
    drops.foreign(choice.extra, "tool_choice")
    if not functions and not own(choice.extra):
        if choice.mode in ("any", "tool"):
            raise Unsupported("tool_choice: Gemini can be made to call functions only", param="tool_choice")
        return {}
    calling: dict[str, Any]
    if choice.mode == "tool":
        if choice.tool not in [tool.name for tool in functions]:
            raise Unsupported("tool_choice: Gemini can be made to call functions only", param="tool_choice")
        calling = {"mode": "ANY", "allowedFunctionNames": [choice.tool]}
    elif choice.mode == "none":
        calling = {"mode": "NONE"}
    else:
        free = "VALIDATED" if choice.allowed or strict else "AUTO"
        calling = {"mode": "ANY" if choice.mode == "any" else free}
        if choice.allowed:
            calling["allowedFunctionNames"] = choice.allowed
    return merged(calling, own(choice.extra))
