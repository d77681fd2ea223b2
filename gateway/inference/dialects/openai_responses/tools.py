"""Tools and the choice among them."""

from collections.abc import Sequence
from typing import Any, Literal

from gateway.inference.dialects.neutral import ServerTool, Tool, ToolChoice
from gateway.inference.dialects.openai_responses.encoding import Encoding
from gateway.inference.dialects.openai_responses.reading import NAME, Reader, extra, refuse
from kit.errors import Unsupported

CUSTOM_SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
_KINDS = {"code_interpreter": "code_execution"}
_WORDS: dict[str, Literal["auto", "any", "none"]] = {"auto": "auto", "required": "any", "none": "none"}


def is_web_search(kind: Any) -> bool:
    """``web_search``, ``web_search_preview`` and both with a date."""
    return isinstance(kind, str) and kind.startswith("web_search")


def decode_tool(value: Any, path: str) -> Tool | ServerTool:
    """Raises InvalidRequest."""
    tool = Reader(value, path)
    kind = tool.peek("type")
    if kind == "function":
        tool.take("type")
        return Tool(
            name=tool.text("name"),
            description=tool.maybe_text("description"),
            schema=tool.maybe_object("parameters"),
            strict=tool.flag("strict"),
            extra=tool.rest(),
        )
    if kind == "custom":
        tool.take("type")
        return Tool(
            name=tool.text("name"),
            description=tool.maybe_text("description"),
            schema=CUSTOM_SCHEMA,
            custom=True,
            extra=tool.rest(),
        )
    if not isinstance(kind, str):
        refuse(tool.at("type"), "a type of tool")
    known = "web_search" if is_web_search(kind) else _KINDS.get(kind, kind)
    return ServerTool(dialect=NAME, kind=known, data=tool.fields())


def encode_tools(tools: Sequence[Tool | ServerTool], encoding: Encoding) -> list[dict[str, Any]]:
    """Raises Unsupported."""
    encoded = []
    for number, tool in enumerate(tools):
        place = f"tools[{number}]"
        if isinstance(tool, Tool):
            encoded.append(_encode_tool(tool, place, encoding))
            continue
        if tool.cache is not None:
            encoding.drop(f"{place}.cache")
        if tool.dialect == NAME:
            encoded.append(tool.data)
        elif tool.kind == "web_search":
            encoded.append(_encode_search(tool, place, encoding))
        elif tool.kind == "code_execution":
            encoded.append({"type": "code_interpreter", "container": {"type": "auto"}})
        else:
            encoding.drop(place)
    return encoded


def _encode_tool(tool: Tool, place: str, encoding: Encoding) -> dict[str, Any]:
    kept = _chat_format(tool) or encoding.kept(tool.extra, place)
    encoding.cache(tool.cache, kept, place)
    encoded: dict[str, Any] = {"type": "custom" if tool.custom else "function", "name": tool.name}
    if tool.description is not None:
        encoded["description"] = tool.description
    if not tool.custom:
        if tool.schema is not None or not encoding.own:
            encoded["parameters"] = tool.schema or {"type": "object", "properties": {}}
        if tool.strict is not None or not encoding.own:
            encoded["strict"] = tool.strict or False  # OpenAI takes a missing one for true
    return encoded | kept


def _chat_format(tool: Tool) -> dict[str, Any] | None:
    """The format of a tool of OpenAI Chat that takes text, whose grammar is one level deeper there."""
    if tool.extra is None or tool.extra.dialect != "openai-chat" or tool.extra.fields.keys() != {"format"}:
        return None
    given = tool.extra.fields["format"]
    grammar = given.get("grammar") if isinstance(given, dict) else None
    return {"format": {"type": "grammar", **grammar} if isinstance(grammar, dict) else given}


def _encode_search(tool: ServerTool, place: str, encoding: Encoding) -> dict[str, Any]:
    encoded: dict[str, Any] = {"type": "web_search"}
    if tool.data.get("blocked_domains"):
        place = f"{place}.blocked_domains"
        raise Unsupported(f"{place}: this model's web search cannot leave sites out", param=place)
    if tool.data.get("allowed_domains"):
        encoded["filters"] = {"allowed_domains": tool.data["allowed_domains"]}
    for name in ("user_location", "search_context_size"):
        if tool.data.get(name):
            encoded[name] = tool.data[name]
    if tool.data.get("max_uses"):
        encoding.drop(f"{place}.max_uses")
    return encoded


def decode_choice(value: Any, path: str = "tool_choice") -> ToolChoice:
    """Raises InvalidRequest."""
    if isinstance(value, str):
        if value not in _WORDS:
            refuse(path, "auto, required, none or an object")
        return ToolChoice(mode=_WORDS[value])
    choice = Reader(value, path)
    kind = choice.peek("type")
    if kind in ("function", "custom"):
        name = choice.text("name")
        note = {"_choice": {"type": kind, "name": name}} if kind == "custom" else {}
        return ToolChoice(mode="tool", tool=name, extra=extra(note))
    if kind == "allowed_tools":
        return _decode_allowed(choice)
    if not isinstance(kind, str):
        refuse(choice.at("type"), "a type of choice")
    name = choice.peek("name") or choice.peek("server_label") or kind
    known = "web_search" if is_web_search(kind) else str(name)
    return ToolChoice(mode="tool", tool=known, extra=extra({"_choice": choice.fields()}))


def _decode_allowed(choice: Reader) -> ToolChoice:
    mode = choice.peek("mode")
    if mode not in ("auto", "required"):
        refuse(choice.at("mode"), "auto or required")
    tools = choice.maybe_list("tools") or []
    names = []
    for number, value in enumerate(tools):
        tool = Reader(value, f"{choice.at('tools')}[{number}]")
        named = tool.peek("name") or tool.peek("server_label") or tool.peek("type")
        if not isinstance(named, str):
            refuse(tool.at("name"), "a tool's name")
        names.append("web_search" if is_web_search(tool.peek("type")) else named)
    plain = tools == [{"type": "function", "name": name} for name in names]
    return ToolChoice(
        mode="any" if mode == "required" else "auto",
        allowed=names,
        extra=None if plain else extra({"_tools": tools}),
    )


def encode_choice(choice: ToolChoice, tools: Sequence[Tool | ServerTool], encoding: Encoding) -> Any:
    """Raises Unsupported for a tool that there is not on this side."""
    kept = encoding.kept(choice.extra, "tool_choice")
    if choice.mode == "tool":
        return kept.get("_choice") or _named(choice.tool or "", tools)
    if choice.allowed is not None and choice.mode != "none":
        return {
            "type": "allowed_tools",
            "mode": "required" if choice.mode == "any" else "auto",
            "tools": kept.get("_tools") or [_reference(name, tools) for name in choice.allowed],
        }
    return encoding.target.quirks.tool_choice_any if choice.mode == "any" else choice.mode


def _named(name: str, tools: Sequence[Tool | ServerTool]) -> dict[str, Any]:
    reference = _reference(name, tools)
    if "name" in reference:
        return reference
    return {"type": "allowed_tools", "mode": "required", "tools": [reference]}


def _reference(name: str, tools: Sequence[Tool | ServerTool]) -> dict[str, Any]:
    for tool in tools:
        if isinstance(tool, Tool) and tool.name == name:
            return {"type": "custom" if tool.custom else "function", "name": name}
        if isinstance(tool, ServerTool) and name in (tool.kind, tool.data.get("name")):
            if tool.kind in ("web_search", "code_execution"):
                return {"type": "code_interpreter" if tool.kind == "code_execution" else "web_search"}
            if tool.dialect != NAME:
                raise Unsupported(f"tool_choice: this model has no {name}", param="tool_choice")
            return {"type": tool.data["type"]} | _label(tool)
    return {"type": "function", "name": name}


def _label(tool: ServerTool) -> dict[str, Any]:
    """How a choice names an MCP server."""
    label = tool.data.get("server_label")
    return {"server_label": label} if label else {}
