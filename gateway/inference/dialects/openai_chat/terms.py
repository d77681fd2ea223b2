"""What this dialect calls the fields of the neutral form, and where in ``messages`` a client wrote them.

The neutral form sets instructions at the start apart, makes one message of results that follow each other,
and one list of an assistant's thoughts, words and calls.
"""

from gateway.inference.dialects.neutral import (
    Block,
    HiddenThinking,
    Message,
    Refusal,
    Request,
    ServerBlock,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.extras import form
from gateway.inference.dialects.openai_chat.thoughts import DETAILS, TEXT_FIELDS, is_part
from gateway.inference.dialects.terms import Place, Terms

_SCHEMA = "response_format.json_schema"
_CACHE = {"cache": "cache_control"}
TERMS = Terms(
    request={
        "max_tokens": "max_completion_tokens",
        "choices": "n",
        "parallel_tools": "parallel_tool_calls",
        "output": "response_format",
        "output.name": f"{_SCHEMA}.name",
        "output.description": f"{_SCHEMA}.description",
        "output.schema": f"{_SCHEMA}.schema",
        "output.strict": f"{_SCHEMA}.strict",
        "reasoning.effort": "reasoning_effort",
        "reasoning": "reasoning_effort",
        "reasoning.enabled": "reasoning_effort",
        "reasoning.budget_tokens": "reasoning.max_tokens",
        "reasoning.show": "include_reasoning",
        "stream_usage": "stream_options",
    },
    tool={
        "schema": "function.parameters",
        "name": "function.name",
        "description": "function.description",
        "strict": "function.strict",
        "format": "custom.format",
        **_CACHE,
    },
    block={
        "source": "",
        "detail": "image_url.detail",
        "title": "file.filename",
        "citations": "annotations",
        **_CACHE,
    },
)


def client_name(name: str, request: Request) -> str:
    place = Place.of(name)
    if place is None:
        return TERMS.of(name)
    if place.among == "system":
        return TERMS.within(_instruction(request.system, place.entry), place.field)
    before = sum(form(text.extra, "message") is not None for text in request.system)
    at = before + sum(_length(message) for message in request.messages[: place.entry])
    message = request.messages[place.entry]
    if place.block is None:
        return TERMS.within(f"messages[{at}]", place.field)
    if isinstance(message.content[place.block], ToolResult):
        at += place.block
        return TERMS.within(f"messages[{at}]" + (f".{place.inner}" if place.inner else ""), place.field)
    return TERMS.within(f"messages[{at}].{_spot(message, place.block)}", place.field)


def _length(message: Message) -> int:
    """How many messages the client wrote for it: one for each result."""
    return max(1, sum(isinstance(block, ToolResult) for block in message.content))


def _instruction(system: list[Text], entry: int) -> str:
    at, part, listed = -1, 0, False
    for text in system[: entry + 1]:
        spelling = form(text.extra, "message")
        if spelling is None:
            part += 1
        else:
            at, part, listed = at + 1, 0, spelling["parts"]
    return f"messages[{at}].content" + (f"[{part}]" if listed else "")


def _spot(message: Message, number: int) -> str:
    """Where in a message a block was."""
    block = message.content[number]
    if isinstance(block, ToolUse):
        calls = [call for call in message.content if isinstance(call, ToolUse)]
        at = next(at for at, call in enumerate(calls) if call is block)
        return "function_call" if form(block.extra, "legacy") else f"tool_calls[{at}]"
    if _is_apart(block):
        spelling = form(message.extra, "thoughts") or {}
        fields = spelling.get("fields") or TEXT_FIELDS
        return f"{DETAILS}[{number}]" if spelling.get("details") else str(fields[0])
    listed = form(message.extra, "parts")
    if isinstance(block, Refusal) and block.extra is None and not listed:
        return "refusal"
    if isinstance(block, ServerBlock) and "type" not in block.data:
        return next(iter(block.data))
    parts = [part for part in message.content if not isinstance(part, ToolUse) and not _is_apart(part)]
    if len(parts) == 1 and isinstance(block, Text) and block.extra is None and not listed:
        return "content"
    return f"content[{next(at for at, part in enumerate(parts) if part is block)}]"


def _is_apart(block: Block) -> bool:
    """Whether it is a thought that stood in a field of its own."""
    return isinstance(block, Thinking | HiddenThinking) and not is_part(block)
