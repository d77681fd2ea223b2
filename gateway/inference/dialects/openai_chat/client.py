"""How a client wants tool calls in its answer, which its request tells.

Free-form (``custom``) tools reach models that know only JSON as functions with one text, ``input``.
"""

from dataclasses import dataclass

import msgspec

from gateway.inference.dialects.neutral import Request, Tool, ToolUse
from gateway.inference.dialects.openai_chat.extras import form


@dataclass(frozen=True, slots=True)
class Client:
    legacy: bool
    """It speaks the older ``functions`` and knows nothing of ``tool_calls``."""
    custom: frozenset[str]
    """The names of its free-form tools."""

    @classmethod
    def of(cls, request: Request) -> "Client":
        tools = [tool for tool in request.tools if isinstance(tool, Tool)]
        return cls(
            legacy=any(form(tool.extra, "legacy") for tool in tools),
            custom=frozenset(tool.name for tool in tools if tool.custom),
        )

    def must_unwrap(self, call: ToolUse) -> bool:
        """Whether a model called a free-form tool with JSON."""
        return not call.custom and call.name in self.custom

    def as_called(self, call: ToolUse) -> ToolUse:
        """The call as this client offered the tool."""
        if not self.must_unwrap(call):
            return call
        return msgspec.structs.replace(call, custom=True, arguments=unwrapped(call.arguments))


def wrapped(text: str) -> str:
    """A free-form call's text as JSON arguments."""
    return msgspec.json.encode({"input": text}).decode()


def unwrapped(arguments: str) -> str:
    """The text in JSON arguments; the arguments themselves if the model wrote something else."""
    try:
        value = msgspec.json.decode(arguments, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
    return value.get("input", arguments)
