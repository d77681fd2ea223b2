"""Tools that a request offers, and which of them the model shall call."""

from collections.abc import Mapping
from typing import Any, Literal

from gateway.inference.dialects.neutral import (
    Request,
    ServerTool,
    Tool,
    ToolChoice,
)
from gateway.inference.dialects.openai_chat.encoding import Encoding
from gateway.inference.dialects.openai_chat.extras import DIALECT, extra, form
from gateway.inference.dialects.openai_chat.parts import decode_cache, encode_cache
from gateway.inference.dialects.openai_chat.reading import Fields, wrong
from gateway.inference.dialects.openai_chat.schemas import strictness

_SERVER_KINDS = {
    "web_search": "web_search",
    "openrouter:web_search": "web_search",
    "browser_search": "web_search",
    "code_interpreter": "code_execution",
    "code_execution": "code_execution",
    "visit_website": "web_fetch",
}
_CUSTOM_SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""A custom tool's text as JSON arguments, for models that know only JSON."""
WEB_SEARCH = "web_search_options"


def decode_tools(body: Fields) -> list[Tool | ServerTool]:
    """``tools``, the older ``functions``, and ``web_search_options``."""
    tools = [_decode_tool(Fields(item, path)) for path, item in body.items("tools") or ()]
    for path, item in body.items("functions") or ():
        tools.append(_decode_function(Fields(item, path), Fields({}), legacy=True))
    options = body.raw_object(WEB_SEARCH)
    if options is not None:
        tools.append(ServerTool(dialect=DIALECT, kind="web_search", data={WEB_SEARCH: options}))
    return tools


def _decode_tool(tool: Fields) -> Tool | ServerTool:
    kind = tool.text("type") or "function"
    if kind == "function":
        return _decode_function(tool.required_object("function"), tool)
    if kind == "custom":
        return _decode_custom(tool.required_object("custom"), tool)
    data = {"type": kind, **tool.rest()}
    return ServerTool(dialect=DIALECT, kind=_SERVER_KINDS.get(kind, kind), data=data)


def _decode_function(function: Fields, tool: Fields, *, legacy: bool = False) -> Tool:
    name, description = _tool_name(function), function.text("description")
    schema, strict = function.raw_object("parameters"), function.flag("strict")
    cache = decode_cache(tool) or decode_cache(function)
    kept = extra(
        tool.rest(),
        legacy=legacy,
        no_parameters=schema is None,
        inner=function.rest() or None,
    )
    return Tool(
        name=name,
        description=description,
        schema=schema,
        strict=strict,
        cache=cache,
        extra=kept,
    )


def _decode_custom(custom: Fields, tool: Fields) -> Tool:
    name, description = _tool_name(custom), custom.text("description")
    given = custom.raw_object("format")
    kept = extra({**tool.rest(), "format": given} if given else tool.rest(), inner=custom.rest() or None)
    return Tool(
        name=name,
        description=description,
        schema=_CUSTOM_SCHEMA,
        custom=True,
        cache=decode_cache(tool),
        extra=kept,
    )


def _tool_name(tool: Fields) -> str:
    name = tool.required_text("name")
    if not name:
        raise wrong(tool.at("name"), "a name of at least one character")
    return name


def decode_choice(body: Fields) -> ToolChoice | None:
    """``tool_choice``, or the older ``function_call``."""
    choice = body.peek("tool_choice")
    if choice is None and body.peek("function_call") is not None:
        return _decode_function_call(body)
    body.take("tool_choice")
    if choice is None:
        return None
    path = body.at("tool_choice")
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise wrong(path, "none, auto, required, or an object")
        return ToolChoice(mode=_CHOICES[choice])
    wanted = Fields(choice, path)
    kind = wanted.required_text("type")
    if kind in {"function", "custom"}:
        name = wanted.required_object(kind).required_text("name")
        return ToolChoice(mode="tool", tool=name, extra=extra(wanted.rest()))
    if kind == "allowed_tools":
        return _decode_allowed(wanted.required_object("allowed_tools"))
    raise wrong(f"{path}.type", "function, custom or allowed_tools")


_CHOICES: dict[str, Literal["none", "auto", "any"]] = {
    "none": "none",
    "auto": "auto",
    "required": "any",
    "any": "any",
}


def _decode_allowed(allowed: Fields) -> ToolChoice:
    mode = allowed.required_text("mode")
    if mode not in {"auto", "required"}:
        raise wrong(allowed.at("mode"), "auto or required")
    names = []
    for path, item in allowed.items("tools") or ():
        tool = Fields(item, path)
        kind = tool.text("type") or "function"
        names.append(tool.required_object(kind).required_text("name"))
    return ToolChoice(mode="any" if mode == "required" else "auto", allowed=names)


def _decode_function_call(body: Fields) -> ToolChoice:
    choice = body.take("function_call")
    if isinstance(choice, str):
        if choice not in ("none", "auto"):
            raise wrong("function_call", "none, auto, or an object")
        return ToolChoice(mode=_CHOICES[choice])
    return ToolChoice(mode="tool", tool=Fields(choice, "function_call").required_text("name"))


def encode_tools(request: Request, encoding: Encoding) -> dict[str, Any]:
    """The fields ``tools``, ``functions``, ``web_search_options``, ``tool_choice`` and
    ``parallel_tool_calls``. Raises Unsupported for a forced tool that the provider has not."""
    fields: dict[str, Any] = {}
    allowed = _filtered(request.tool_choice, encoding)
    for index, tool in enumerate(request.tools):
        place = f"tools[{index}]"
        if isinstance(tool, ServerTool):
            _add_server_tool(tool, fields, place, request, encoding)
        elif allowed is None or tool.name in allowed:
            written = encode_tool(tool, place, encoding)
            where = "functions" if form(tool.extra, "legacy") else "tools"
            fields.setdefault(where, []).append(written)
    _add_choice(request, fields, encoding)
    if request.parallel_tools is not None:
        if "tools" in fields:
            fields["parallel_tool_calls"] = request.parallel_tools
        else:
            encoding.drop("parallel_tools")
    return fields


def encode_tool(tool: Tool, place: str, encoding: Encoding) -> dict[str, Any]:
    inner: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        inner["description"] = tool.description
    kept = encoding.keep(tool.extra, place)
    custom = tool.custom and encoding.takes_custom_tools
    given_format = kept.pop("format", None) if tool.custom else None
    if custom:
        if given_format is not None:
            inner["format"] = given_format
        kind = "custom"
    else:
        if not form(tool.extra, "no_parameters"):
            any_arguments = {"type": "object", "properties": {}}
            inner["parameters"] = any_arguments if tool.schema is None else tool.schema
        strict = strictness(tool.strict, tool.schema, f"{place}.strict", encoding)
        if strict is not None:
            inner["strict"] = strict
        if given_format is not None:
            encoding.drop(f"{place}.format")
        kind = "function"
    inner |= form(tool.extra, "inner") or {}
    if form(tool.extra, "legacy"):
        return inner
    written = {"type": kind, kind: inner, **kept}
    if "cache_control" not in inner:
        encode_cache(tool.cache, written, place, encoding)
    return written


def _add_server_tool(
    tool: ServerTool, fields: dict[str, Any], place: str, request: Request, encoding: Encoding
) -> None:
    if tool.dialect == DIALECT:
        if WEB_SEARCH in tool.data:
            fields[WEB_SEARCH] = tool.data[WEB_SEARCH]
        else:
            fields.setdefault("tools", []).append(tool.data)
    elif tool.kind == "web_search":
        fields[WEB_SEARCH] = _web_search_options(tool.data, place, encoding)
    elif _is_forced(tool, request.tool_choice):
        raise encoding.refuse("tool_choice", f"has no {tool.kind} tool")
    else:
        encoding.drop(place)


def _is_forced(tool: ServerTool, choice: ToolChoice | None) -> bool:
    return choice is not None and choice.mode == "tool" and choice.tool in {tool.kind, tool.data.get("name")}


def _web_search_options(data: Mapping[str, Any], place: str, encoding: Encoding) -> dict[str, Any]:
    """Another dialect's web search. Its filters have no place here and would be missed."""
    for name in ("allowed_domains", "blocked_domains", "filters"):
        if data.get(name):
            raise encoding.refuse(f"{place}.{name}", "cannot limit a web search to sites")
    options: dict[str, Any] = {}
    location = data.get("user_location")
    if isinstance(location, dict):
        names = ("city", "country", "region", "timezone")
        approximate = {name: location[name] for name in names if location.get(name)}
        options["user_location"] = {"type": "approximate", "approximate": approximate}
    if data.get("search_context_size"):
        options["search_context_size"] = data["search_context_size"]
    if data.get("max_uses") is not None:
        encoding.drop(f"{place}.max_uses")
    return options


def _filtered(choice: ToolChoice | None, encoding: Encoding) -> set[str] | None:
    """The names to offer, where a provider lacks ``allowed_tools`` and so must not see the others."""
    if choice is None or choice.allowed is None or _has_allowed_tools(encoding):
        return None
    return set(choice.allowed)


def _has_allowed_tools(encoding: Encoding) -> bool:
    return (
        encoding.quirks.tool_choice_any == "required" and "allowed_tools" not in encoding.quirks.unsupported
    )


def _add_choice(request: Request, fields: dict[str, Any], encoding: Encoding) -> None:
    choice = request.tool_choice
    if choice is None:
        return
    if not fields.get("tools") and not fields.get("functions"):
        if choice.mode in {"any", "tool"}:
            raise encoding.refuse("tool_choice", "is offered none of the tools, but shall call one")
        encoding.drop("tool_choice")
        return
    customs = {tool.name for tool in request.tools if isinstance(tool, Tool) and tool.custom}
    customs = customs if encoding.takes_custom_tools else set()
    word = {"any": encoding.quirks.tool_choice_any}.get(choice.mode, choice.mode)
    value: Any = word
    if "functions" in fields:
        fields["function_call"] = {"name": choice.tool} if choice.mode == "tool" else word
        return
    if choice.mode == "tool":
        kind = "custom" if choice.tool in customs else "function"
        value = {"type": kind, kind: {"name": choice.tool}, **encoding.keep(choice.extra, "tool_choice")}
    elif choice.allowed is not None and _has_allowed_tools(encoding):
        tools = [_named("custom" if name in customs else "function", name) for name in choice.allowed]
        value = {"type": "allowed_tools", "allowed_tools": {"mode": word, "tools": tools}}
    fields["tool_choice"] = value


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, kind: {"name": name}}
