"""The calls that ``qlaud_multi_execute`` is asked to make, and how their results are put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from broker.calls import MAX_RESULT_CHARS, ToolResult, shorten
from broker.names import MODEL_NAME
from kit.errors import InvalidRequest

MAX_CALLS = 16
MAX_NAME_CHARS = 300
MAX_OUTPUT_CHARS = 1024 * 1024
"""Of all outputs of one batch together, as the developer gets them; the model gets ``MAX_RESULT_CHARS``."""
META_PREFIX = "qlaud_"
META_TOOLS = frozenset(
    {"qlaud_search_tools", "qlaud_get_tool_schemas", "qlaud_multi_execute", "qlaud_manage_connections"}
)


@dataclass(frozen=True)
class Asked:
    """One call of a batch."""

    name: str
    input: dict[str, Any]


def parse_calls(raw: Any) -> list[Asked]:
    """``[{name, input}]``, or ``[{tool, args}]``. Raises InvalidRequest naming the call that is wrong."""
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_CALLS:
        raise InvalidRequest(
            f"calls: expected a list of 1 to {MAX_CALLS} calls, each with name and input", param="calls"
        )
    return [_parsed(number, one) for number, one in enumerate(raw)]


def _parsed(number: int, one: Any) -> Asked:
    place = f"calls.{number}"
    if not isinstance(one, dict):
        raise InvalidRequest(f"{place}: expected an object with name and input", param="calls")
    name = one.get("name", one.get("tool"))
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS:
        raise InvalidRequest(f"{place}.name: expected the name of a tool", param="calls")
    if name in META_TOOLS:
        raise InvalidRequest(f"{place}.name: {name} cannot be called within a call", param="calls")
    arguments: Any = next(
        (one[key] for key in ("input", "args", "arguments") if one.get(key) is not None), {}
    )
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except msgspec.DecodeError:
            arguments = None
    if not isinstance(arguments, dict):
        raise InvalidRequest(f"{place}.input: expected an object with the tool's arguments", param="calls")
    return Asked(name, arguments)


def safe_name(display_name: str) -> str:
    """A name for one call's own toolset."""
    return display_name if MODEL_NAME.fullmatch(display_name) else "tool"


def entry(name: str, result: ToolResult, *, room: int) -> dict[str, Any]:
    """A result as it is told: in ``room`` characters."""
    output = result.output
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    if len(text) > room:
        output = shorten(text, room)
    return {"tool": name, "output": output, "is_error": result.is_error}


def told(asked: Sequence[Asked], results: Mapping[int, ToolResult]) -> ToolResult:
    """The results of a batch, in order: as JSON, and what is not text after it."""
    count = max(1, len(asked))
    ordered = [(one.name, results[place]) for place, one in enumerate(asked)]
    output = [entry(name, result, room=MAX_OUTPUT_CHARS // count) for name, result in ordered]
    pictures: list[dict[str, Any]] = []
    for_model = []
    for place, (name, result) in enumerate(ordered):
        others = [block for block in result.content if block.get("type") != "text"]
        if others:
            texts = "\n".join(block["text"] for block in result.content if block.get("type") == "text")
            result = ToolResult(f"{texts}\n[images follow]".strip(), [], result.is_error)
            pictures += [{"type": "text", "text": f"[of results {place}, {name}]"}, *others]
        for_model.append(entry(name, result, room=MAX_RESULT_CHARS // count))
    text = msgspec.json.encode({"results": for_model}).decode()
    return ToolResult({"results": output}, [{"type": "text", "text": text}, *pictures])


def call_record(name: str, result: ToolResult) -> dict[str, Any]:
    """What the developer reads of one call of a batch."""
    status = result.record.get("status") or ("error" if result.is_error else "ok")
    return {"tool": name, **result.record, "status": status, "is_error": result.is_error}
