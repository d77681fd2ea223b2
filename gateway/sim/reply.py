"""What the simulated model answers: a pure function of the conversation."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.sim.conversation import Conversation
from gateway.sim.grammar import Directives, match_tool, parse_plan

BYTES_PER_TOKEN = 4
PIECE_CHARS = 12
_WORDS = ("weft", "warp", "shed", "reed", "loom", "yarn", "pick", "heddle", "shuttle", "selvedge")
_EXAMPLES: Mapping[str, Any] = {
    "string": "example", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {},
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: str
    """JSON text."""


@dataclass
class Reply:
    text: str
    calls: list[Call] = field(default_factory=list)
    truncated: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


def answer(conversation: Conversation, directives: Directives, digest: str) -> Reply:
    """The next message. ``digest`` (of the whole request) makes ids that are unique in a thread."""
    plan = parse_plan(conversation.question, conversation.tools)
    if conversation.rounds_done < len(plan):
        reply = _call(conversation, plan[conversation.rounds_done], digest)
    else:
        reply = Reply(_closing(conversation, directives))
    limit = conversation.max_tokens
    if not reply.calls and limit is not None and tokens(reply.text) > limit:
        reply.text, reply.truncated = reply.text[: limit * BYTES_PER_TOKEN], True
    reply.input_tokens = 8 + conversation.size // BYTES_PER_TOKEN
    arguments = sum(tokens(call.arguments) + 12 for call in reply.calls)
    reply.output_tokens = min(tokens(reply.text), limit or 10**9) + arguments
    return reply


def tokens(text: str) -> int:
    """A stable stand-in for a tokenizer: four bytes a token."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def pieces(text: str) -> Iterator[str]:
    """A text in the pieces in which it is streamed."""
    for start in range(0, len(text), PIECE_CHARS):
        yield text[start : start + PIECE_CHARS]


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:24]


def _call(conversation: Conversation, planned: list[Any], digest: str) -> Reply:
    calls: list[Call] = []
    missing: list[str] = []
    for number, wanted in enumerate(planned):
        tool = match_tool(wanted.name, conversation.tools)
        if tool is None:
            missing.append(wanted.name)
            continue
        arguments = wanted.arguments
        if arguments is None:
            arguments = _made_up(conversation.tools[tool])
        calls.append(Call(f"toolu_sim{digest}{number:02d}", tool, json.dumps(arguments, ensure_ascii=False)))
    if missing and not calls:
        return Reply(f"I have no tool named {', '.join(missing)}.")
    return Reply("Let me look that up." if conversation.rounds_done == 0 else "And now the next step.", calls)


def _closing(conversation: Conversation, directives: Directives) -> str:
    if directives.words is not None:
        return " ".join(_WORDS[number % len(_WORDS)] for number in range(directives.words))
    if conversation.results:
        lines = [f"{name} says: {text}" for name, text in conversation.results]
        return "Here is what I found. " + " ".join(lines)
    question = " ".join(conversation.question.split())
    return f"You said: {question}" if question else "Hello! What can I do for you?"


def _made_up(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for a tool's required fields."""
    properties, required = schema.get("properties"), schema.get("required")
    arguments: dict[str, Any] = {}
    for name in required if isinstance(required, list) else ():
        described = properties.get(name) if isinstance(properties, dict) else None
        described = described if isinstance(described, dict) else {}
        if isinstance(described.get("enum"), list) and described["enum"]:
            arguments[name] = described["enum"][0]
        else:
            arguments[name] = _EXAMPLES.get(str(described.get("type")), "example")
    return arguments
