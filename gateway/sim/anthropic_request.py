"""Reading an Anthropic Messages request, refusing what its API refuses in its words.

Source: the API reference (Messages, Errors, Tool use) and recorded answers.
"""

from collections.abc import Mapping
from typing import Any

from gateway.sim.conversation import (
    TOOL_NAME,
    Conversation,
    Refused,
    ToolOutput,
    find_model,
    is_count,
    list_in,
    text_of,
)

MEDIA = ("image", "document")
THINKING_ON = ("enabled", "adaptive")


def read_request(body: Mapping[str, Any], *, counting: bool = False, stand_in: bool = False) -> Conversation:
    """The conversation in a request body. Raises Refused (400, 404).

    ``counting``: for ``count_tokens``, which needs no ``max_tokens``.
    """
    name = body.get("model")
    if not isinstance(name, str):
        raise _bad("model: Field required")
    model = find_model(name, stand_in=stand_in)
    if model is None:
        raise Refused(404, f"model: {name}")
    max_tokens = model.max_output_tokens if counting else body.get("max_tokens")
    if max_tokens is None:
        raise _bad("max_tokens: Field required")
    if not is_count(max_tokens):
        raise _bad("max_tokens: Input should be a valid integer greater than or equal to 1")
    if max_tokens > model.max_output_tokens:
        raise _bad(
            f"max_tokens: {max_tokens} > {model.max_output_tokens}, which is the maximum allowed number of "
            f"output tokens for {model.id}"
        )
    conversation = Conversation(
        model=model,
        max_tokens=max_tokens,
        stream=body.get("stream") is True,
        system=text_of(body.get("system")),
        stop=tuple(text for text in list_in(body, "stop_sequences") if isinstance(text, str) and text),
        thinking=_thinking(body.get("thinking"), max_tokens),
        answer_schema=_answer_schema(body),
    )
    _read_tools(conversation, body)
    media_bytes = _read_messages(conversation, body.get("messages"))
    conversation.weigh(body["messages"], body.get("tools"), media_bytes)
    if conversation.input_tokens > model.context_window:
        raise _bad(f"prompt is too long: {conversation.input_tokens} tokens > {model.context_window} maximum")
    return conversation


def _read_tools(conversation: Conversation, body: Mapping[str, Any]) -> None:
    for number, tool in enumerate(list_in(body, "tools")):
        place = f"tools.{number}"
        if not isinstance(tool, Mapping):
            raise _bad(f"{place}: Input should be a valid dictionary")
        if "input_schema" not in tool and tool.get("type") not in (None, "custom"):
            continue  # a server tool, which this model never uses
        name, schema = tool.get("name"), tool.get("input_schema")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            raise _bad(f"{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if not isinstance(schema, Mapping):
            raise _bad(f"{place}.custom.input_schema: Field required")
        if schema.get("type") != "object":
            raise _bad(f"{place}.custom.input_schema.type: Input should be 'object'")
        if name in conversation.tools:
            raise _bad("tools: Tool names must be unique.")
        conversation.tools[name] = schema
    choice = body.get("tool_choice")
    if not isinstance(choice, Mapping):
        return
    if not body.get("tools"):
        raise _bad("tool_choice may only be specified while providing tools.")
    kind = choice.get("type")
    if kind not in ("auto", "any", "none", "tool"):
        raise _bad("tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool'")
    name = str(choice.get("name"))
    if kind == "tool" and name not in conversation.tools:
        raise _bad(f"tool_choice: Tool '{name}' not found in provided tools")
    conversation.tool_choice = f"tool:{name}" if kind == "tool" else str(kind)
    conversation.parallel_calls = choice.get("disable_parallel_tool_use") is not True


def _read_messages(conversation: Conversation, messages: Any) -> int:
    """Take in the messages; returns the bytes of the media in them."""
    if messages is None:
        raise _bad("messages: Field required")
    if not isinstance(messages, list) or not messages:
        raise _bad("messages: at least one message is required")
    open_calls: dict[str, str] = {}
    seen_calls: set[str] = set()
    media_bytes = 0
    for number, message in enumerate(messages):
        role = _role(message, number)
        blocks = _blocks(message, number, last=number == len(messages) - 1)
        media_bytes += _count_media(conversation, blocks)
        if role == "user":
            _answer_calls(conversation, blocks, open_calls, number)
            open_calls = {}
            continue
        if open_calls:
            raise _unanswered(open_calls, number - 1)
        open_calls = _calls(blocks, number, seen_calls)
        conversation.rounds_done += bool(open_calls)
    if open_calls:
        raise _unanswered(open_calls, len(messages) - 1)
    return media_bytes


def _role(message: Any, number: int) -> str:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role == "system":
        raise _bad(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
            'not "system" as an input message role.'
        )
    if role not in ("user", "assistant"):
        raise _bad(f"messages.{number}.role: Input should be 'user' or 'assistant'")
    if number == 0 and role != "user":
        raise _bad('messages: first message must use the "user" role')
    return str(role)


def _blocks(message: Mapping[str, Any], number: int, *, last: bool) -> list[Mapping[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        if not content and not (last and message["role"] == "assistant"):
            raise _bad(f"messages.{number}: all messages must have non-empty content")
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise _bad(f"messages.{number}.content: Field required")
    if not content and not (last and message["role"] == "assistant"):
        raise _bad(f"messages.{number}: all messages must have non-empty content")
    for place, block in enumerate(content):
        kind = block.get("type") if isinstance(block, Mapping) else None
        if not isinstance(kind, str):
            raise _bad(f"messages.{number}.content.{place}.type: Field required")
        if kind == "text" and not isinstance(block.get("text"), str):
            raise _bad(f"messages.{number}.content.{place}.text.text: Field required")
        if kind == "text" and not block["text"]:
            raise _bad("messages: text content blocks must be non-empty")
        if kind == "text" and message["role"] == "user" and not block["text"].strip():
            raise _bad("messages: text content blocks must contain non-whitespace text")
    return content


def _calls(blocks: list[Mapping[str, Any]], number: int, seen: set[str]) -> dict[str, str]:
    """The names of a message's tool calls by id."""
    calls: dict[str, str] = {}
    for place, block in enumerate(blocks):
        if block["type"] == "tool_result":
            raise _bad(f"messages.{number}: `tool_result` blocks can only be in `user` messages")
        if block["type"] != "tool_use":
            continue
        where = f"messages.{number}.content.{place}.tool_use"
        call_id, name = block.get("id"), block.get("name")
        if not isinstance(call_id, str) or not TOOL_NAME.fullmatch(call_id):
            raise _bad(f"{where}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if not isinstance(name, str):
            raise _bad(f"{where}.name: Field required")
        if not isinstance(block.get("input"), Mapping):
            raise _bad(f"{where}.input: Input should be a valid dictionary")
        if call_id in seen:
            raise _bad("messages: `tool_use` ids must be unique")
        seen.add(call_id)
        calls[call_id] = name
    return calls


def _answer_calls(
    conversation: Conversation, blocks: list[Mapping[str, Any]], open_calls: dict[str, str], number: int
) -> None:
    """Match a user message's results with the calls before it, then take in what it says itself."""
    waiting = dict(open_calls)
    question: str | None = None
    for place, block in enumerate(blocks):
        if block["type"] == "text":
            if waiting:
                raise _unanswered(waiting, number - 1)
            question = block["text"]
        if block["type"] != "tool_result":
            continue
        call_id = str(block.get("tool_use_id"))
        name = waiting.pop(call_id, None)
        if name is None:
            raise _bad(
                f"messages.{number}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{call_id}. Each `tool_result` block must have a corresponding `tool_use` block in the "
                "previous message."
            )
        output = ToolOutput(name, text_of(block.get("content")), block.get("is_error") is True)
        conversation.results.append(output)
    if waiting:
        raise _unanswered(waiting, number - 1)
    if question is not None:
        conversation.ask(question)


def _count_media(conversation: Conversation, blocks: list[Mapping[str, Any]]) -> int:
    total = 0
    for block in blocks:
        inner = block.get("content") if block["type"] == "tool_result" else None
        for candidate in (block, *(inner if isinstance(inner, list) else ())):
            if isinstance(candidate, Mapping) and candidate.get("type") in MEDIA:
                conversation.media += 1
                source = candidate.get("source")
                data = source.get("data") if isinstance(source, Mapping) else None
                total += len(data.encode()) if isinstance(data, str) else 0
    return total


def _thinking(thinking: Any, max_tokens: int) -> bool:
    if not isinstance(thinking, Mapping) or thinking.get("type") not in THINKING_ON:
        return False
    budget = thinking.get("budget_tokens")
    if thinking["type"] == "enabled" and not is_count(budget):
        raise _bad("thinking.enabled.budget_tokens: Field required")
    if is_count(budget) and budget >= max_tokens:
        raise _bad("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return True


def _answer_schema(body: Mapping[str, Any]) -> Any:
    config = body.get("output_config")
    wanted = config.get("format") if isinstance(config, Mapping) else body.get("output_format")
    return wanted.get("schema") if isinstance(wanted, Mapping) else None


def _unanswered(calls: Mapping[str, str], number: int) -> Refused:
    return _bad(
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(calls)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
        "next message."
    )


def _bad(message: str) -> Refused:
    return Refused(400, message)
