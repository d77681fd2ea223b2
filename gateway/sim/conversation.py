"""Reading a request of either dialect into one form, as strictly as the vendors read it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MODELS = ("sim-small", "sim-large", "sim")


class Refused(Exception):
    """What a vendor would answer: a status, and an error type and message."""

    def __init__(self, status: int, type: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.type, self.message, self.code = status, type, message, code
        self.headers: dict[str, str] = {}


@dataclass
class Conversation:
    """A request, read: the newest question, what has been called since, what can be called."""

    model: str
    max_tokens: int | None
    stream: bool
    include_usage: bool
    system: str = ""
    question: str = ""
    rounds_done: int = 0
    results: list[tuple[str, str]] = field(default_factory=list)
    tools: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    size: int = 0
    """Bytes of everything the model would read; the base of its token counts."""


def read_anthropic(body: Mapping[str, Any], size: int) -> Conversation:
    """Raises Refused (400, 404) in Anthropic's words for what its API refuses."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad("messages: at least one message is required")
    limit = body.get("max_tokens")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise _bad("max_tokens: Field required")
    conversation = Conversation(
        model=_model(body),
        max_tokens=limit,
        stream=body.get("stream") is True,
        include_usage=True,
        system=_text(body.get("system", "")),
        size=size,
    )
    conversation.tools = _tools(body.get("tools"), lambda tool: tool.get("name"), "input_schema")
    open_calls: dict[str, str] = {}
    for number, message in enumerate(messages):
        role, blocks = _message(message, number, {"user", "assistant"})
        if role == "assistant":
            if open_calls:
                raise _bad(
                    f"messages.{number - 1}: tool_use ids without tool_result: {', '.join(open_calls)}"
                )
            open_calls = {
                _named(block, "id", number): _named(block, "name", number)
                for block in blocks
                if block.get("type") == "tool_use"
            }
            conversation.rounds_done += bool(open_calls)
        else:
            open_calls = _answered(conversation, blocks, open_calls, number)
    if open_calls:
        raise _bad(f"tool_use ids were found without tool_result blocks: {', '.join(open_calls)}")
    return conversation


def read_openai(body: Mapping[str, Any], size: int) -> Conversation:
    """Raises Refused (400, 404) for what the Chat Completions API refuses."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad("Missing required parameter: 'messages'.")
    options = body.get("stream_options")
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    conversation = Conversation(
        model=_model(body),
        max_tokens=limit if isinstance(limit, int) else None,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        size=size,
    )
    functions = [tool.get("function") for tool in _objects(body.get("tools"))]
    conversation.tools = _tools(functions, lambda function: function.get("name"), "parameters")
    open_calls: dict[str, str] = {}
    for number, message in enumerate(messages):
        role, blocks = _message(message, number, {"system", "developer", "user", "assistant", "tool"})
        if role == "tool":
            name = open_calls.pop(str(message.get("tool_call_id")), None)
            if name is None:
                raise _bad("messages with role 'tool' must answer a preceding message with 'tool_calls'.")
            conversation.results.append((name, _text(blocks)))
            continue
        if open_calls:
            raise _bad(f"no tool message answers the tool_call_ids {', '.join(open_calls)}")
        if role == "assistant":
            open_calls = {
                _named(call, "id", number): _named(call.get("function"), "name", number)
                for call in _objects(message.get("tool_calls"))
            }
            conversation.rounds_done += bool(open_calls)
        elif role == "user":
            _ask(conversation, _text(blocks))
        else:
            conversation.system += _text(blocks)
    if open_calls:
        raise _bad(f"no tool message answers the tool_call_ids {', '.join(open_calls)}")
    return conversation


def _answered(
    conversation: Conversation, blocks: list[dict[str, Any]], open_calls: dict[str, str], number: int
) -> dict[str, str]:
    for block in blocks:
        if block.get("type") != "tool_result":
            continue
        name = open_calls.pop(str(block.get("tool_use_id")), None)
        if name is None:
            raise _bad(f"messages.{number}: unexpected tool_use_id in a tool_result block")
        marker = "error: " if block.get("is_error") else ""
        conversation.results.append((name, marker + _text(block.get("content", ""))))
    if open_calls:
        raise _bad(f"messages.{number}: tool_use ids without tool_result: {', '.join(open_calls)}")
    said = _text([block for block in blocks if block.get("type") != "tool_result"])
    if said.strip():
        _ask(conversation, said)
    return {}


def _ask(conversation: Conversation, text: str) -> None:
    conversation.question = text
    conversation.rounds_done = 0
    conversation.results = []


def _message(message: Any, number: int, roles: set[str]) -> tuple[str, list[dict[str, Any]]]:
    if not isinstance(message, dict) or message.get("role") not in roles:
        raise _bad(f"messages.{number}.role: expected one of {', '.join(sorted(roles))}")
    content = message.get("content")
    if isinstance(content, list):
        if not content and message["role"] == "user":
            raise _bad(f"messages.{number}: content must not be empty")
        return message["role"], _objects(content)
    if content is not None and not isinstance(content, str):
        raise _bad(f"messages.{number}.content: expected a text or a list of blocks")
    return message["role"], [{"type": "text", "text": content or ""}]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _named(call: Any, field: str, number: int) -> str:
    value = call.get(field) if isinstance(call, dict) else None
    if not isinstance(value, str):
        raise _bad(f"messages.{number}: a tool call without its {field}")
    return value


def _tools(tools: Any, name_of: Any, schema: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        name = name_of(tool) if isinstance(tool, dict) else None
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
            raise _bad(f"tools.{number}.name: expected a name of 1 to 64 letters, digits, _ or -")
        if name in found:
            raise _bad("tools: Tool names must be unique.")
        described = tool.get(schema)
        found[name] = described if isinstance(described, dict) else {}
    return found


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str):
        raise _bad("model: Field required")
    if model not in MODELS:
        raise Refused(404, "not_found_error", f"model: {model}", "model_not_found")
    return model


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [block.get("text") for block in _objects(content)]
    return "\n".join(part for part in parts if part and isinstance(part, str))


def _bad(message: str) -> Refused:
    return Refused(400, "invalid_request_error", message)
