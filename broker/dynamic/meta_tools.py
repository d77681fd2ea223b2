"""The four tools that a turn in dynamic mode has: the same definitions, whatever there is to be found."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from broker.calls import ToolCall, ToolResult, ToolScope, json_result
from broker.dynamic.calls import MAX_CALLS
from broker.tool import BoundTool, CallContext

MAX_FOUND = 20
USUAL_FOUND = 8
MAX_NAMES = 20

SEARCH, SCHEMAS = "qlaud_search_tools", "qlaud_get_tool_schemas"
EXECUTE, MANAGE = "qlaud_multi_execute", "qlaud_manage_connections"

DESCRIPTIONS = {
    SEARCH: (
        "Find tools for what you want to do. You have many tools that are not listed here: whenever a task "
        "needs data or an action from outside this conversation, search first. Returns names, descriptions "
        "and whether the user's account is connected. Then get the schemas of the tools you want to use, and "
        "execute them. Say one thing you want to do at a time, naming the service if there is one."
    ),
    SCHEMAS: (
        "Get the input schemas of tools by their exact names, as found by a search. Always do this before "
        "you execute a tool that you have no schema of. The name of a server gives all of its tools."
    ),
    EXECUTE: (
        f"Execute up to {MAX_CALLS} tools at once, each with a name and an input that fits its schema. They "
        "run at the same time and do not see each other's results: do what depends on a result in a later "
        "call. Returns the results in order. Where one fails, mend its input and execute that one again. "
        "A result with a connect_url needs the user to connect an account: show them the link."
    ),
    MANAGE: (
        "Connect the user's accounts to tools, or disconnect them. connect returns a connect_url to show to "
        "the user, who has to open it; status says whether a tool is connected; list says what can be "
        "connected. Search results that are not_connected need this before they can be executed."
    ),
}
SCHEMA_OF: dict[str, dict[str, Any]] = {
    SEARCH: {
        "type": "object",
        "properties": {
            "intent": {"type": "string", "description": "What you want to do, in a few words."},
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND},
        },
        "required": ["intent"],
    },
    SCHEMAS: {
        "type": "object",
        "properties": {
            "names": {
                "type": "array",
                "items": {"type": "string"},
                "description": f"Exact names, at most {MAX_NAMES}.",
            }
        },
    },
    EXECUTE: {
        "type": "object",
        "properties": {
            "calls": {
                "type": "array",
                "maxItems": MAX_CALLS,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "description": "The exact name of a tool."},
                        "input": {"type": "object", "description": "Its arguments, as in its schema."},
                    },
                },
            }
        },
        "required": ["calls"],
    },
    MANAGE: {
        "type": "object",
        "properties": {
            "action": {"type": "string", "enum": ["connect", "status", "list", "disconnect"]},
            "tool": {"type": "string", "description": "The name of a tool or a server; not for list."},
        },
        "required": ["action"],
    },
}

Answer = Callable[[ToolScope, str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""From whom the call is for, the key that pays, and its arguments."""


@dataclass(frozen=True)
class MetaTool:
    """A callee that answers from what we know ourselves."""

    name: str
    answer: Answer

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult:
        output = await self.answer(context.scope, context.payment.key_id, call.input)
        record = {"kind": "dynamic", "target": self.name, "status": "ok"}
        return json_result(output, is_error=False, record=record)


def bound(name: str, callee: Any) -> BoundTool:
    """All are safe to repeat: searching changes nothing, another link does no harm, what is disconnected
    stays so, and a batch keeps account of its own calls."""
    return BoundTool(
        name,
        DESCRIPTIONS[name],
        SCHEMA_OF[name],
        retry_safe=True,
        callee=callee,
        is_lookup=name in {SEARCH, SCHEMAS},
    )
