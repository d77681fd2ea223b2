"""The body of ``POST /v1/threads/{id}/messages``, validated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from broker.names import MODEL_NAME
from broker.schema import check_schema
from kit.errors import InvalidRequest
from kit.money import nanos_from_usd
from kit.trace_context import TraceContext
from threads.context.settings import parse_context
from threads.models import DAY_MS, HOUR_MS

DEFAULT_MAX_ITERATIONS = 16
MAX_ITERATIONS = 500
MAX_TOOLS = 200
MAX_CLIENT_TOOLS = 100
MAX_CONNECTIONS = 100
MAX_LABEL = 100
"""Characters; as where a connection is made."""
MAX_DESCRIPTION = 10_000
DEFAULT_CLIENT_TOOL_TIMEOUT_MS = 30_000
MAX_CLIENT_TOOL_TIMEOUT_MS = 600_000
MIN_TIME_MS = 1_000
MAX_ACTION_TIMEOUT_MS = 30 * DAY_MS
MAX_DURATION_MS = DAY_MS
APPROVALS = ("never", "always")

_OWN_FIELDS = frozenset(
    {
        "content",
        "tools",
        "client_tools",
        "client_tool_timeout_ms",
        "tools_mode",
        "max_iterations",
        "max_cost_usd",
        "max_duration_ms",
        "action_timeout_ms",
        "on_busy",
        "on_insufficient_funds",
        "background",
        "tool_approval",
        "connections",
        "context",
        "stream",
        "messages",
    }
)


@dataclass(frozen=True)
class TurnRequest:
    """A validated turn: the new user message, the model's parameters, the loop's limits, and what happens
    when somebody is needed.

    ``client_tool_wait_ms`` is 0 where nobody listens, and the turn parks at once. ``tool_approval`` is None,
    ``always``, or ``never`` and ``always`` by tool.
    """

    content: str | list[dict[str, Any]]
    params: dict[str, Any]
    context: dict[str, Any]
    tools_mode: str
    tools: tuple[str, ...]
    max_iterations: int
    max_cost_nanos: int | None
    max_duration_ms: int
    action_timeout_ms: int
    client_tools: tuple[dict[str, Any], ...]
    client_tool_wait_ms: int
    tool_approval: str | dict[str, str] | None
    parks_for_funds: bool
    on_busy: str
    stream: bool
    background: bool
    hands_calls_over: bool = False
    """The calls of its answer are its caller's affair: the turn ends with them."""
    trace: TraceContext | None = None
    """Of the request that it came with."""
    connections: dict[str, str] = field(default_factory=dict)
    """Which of the end user's accounts its tools use: labels by connector."""

    @property
    def tool_scope(self) -> dict[str, Any] | None:
        """See ``Turn.tool_scope``."""
        trace = {} if self.trace is None else {"trace": self.trace.headers}
        connections = {"connections": self.connections} if self.connections else {}
        return {**trace, **connections} or None


def parse_turn(body: Mapping[str, Any], *, default_tools_mode: str = "none") -> TurnRequest:
    """Read the body of ``POST /v1/threads/{id}/messages``. Raises InvalidRequest.

    ``default_tools_mode``: of a turn that says neither ``tools`` nor ``tools_mode``.
    """
    if body.get("messages") is not None:
        raise InvalidRequest(
            "messages: a thread loads its own history; send the new user turn as content", param="messages"
        )
    params = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    if not isinstance(params.get("model"), str) or not params["model"]:
        raise InvalidRequest("model: expected the name of a model", param="model")
    tools = _tools(body.get("tools"))
    stream, background = _flag(body, "stream"), _flag(body, "background")
    listening = stream and not background
    client_tool_timeout_ms = _count(
        body, "client_tool_timeout_ms", DEFAULT_CLIENT_TOOL_TIMEOUT_MS, 0, MAX_CLIENT_TOOL_TIMEOUT_MS
    )
    on_insufficient_funds = _choice(
        body, "on_insufficient_funds", ("park", "fail") if background else ("fail", "park")
    )
    return TurnRequest(
        content=_content(body.get("content")),
        params=params,
        context=parse_context(body.get("context")),
        tools_mode=_mode(body, tools, default_tools_mode),
        tools=tools,
        max_iterations=_count(body, "max_iterations", DEFAULT_MAX_ITERATIONS, 1, MAX_ITERATIONS),
        max_cost_nanos=_max_cost(body.get("max_cost_usd")),
        max_duration_ms=_count(body, "max_duration_ms", HOUR_MS, MIN_TIME_MS, MAX_DURATION_MS),
        action_timeout_ms=_count(body, "action_timeout_ms", DAY_MS, MIN_TIME_MS, MAX_ACTION_TIMEOUT_MS),
        client_tools=_client_tools(body.get("client_tools")),
        client_tool_wait_ms=client_tool_timeout_ms if listening else 0,
        tool_approval=_tool_approval(body.get("tool_approval")),
        connections=_connections(body.get("connections")),
        parks_for_funds=on_insufficient_funds == "park",
        on_busy=_choice(body, "on_busy", ("reject", "queue", "interrupt")),
        stream=stream,
        background=background,
    )


def _mode(body: Mapping[str, Any], tools: tuple[str, ...], default: str) -> str:
    mode = body.get("tools_mode") or (default if body.get("tools") is None else "explicit")
    if mode not in {"dynamic", "explicit", "tenant", "none"}:
        raise InvalidRequest("tools_mode: expected dynamic, explicit or tenant", param="tools_mode")
    return "none" if mode == "explicit" and not tools else str(mode)


def _tools(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest("tools: expected a list of tool ids or names", param="tools")
    if len(value) > MAX_TOOLS:
        raise InvalidRequest(f"tools: expected at most {MAX_TOOLS}", param="tools")
    return tuple(dict.fromkeys(value))


def _client_tools(value: Any) -> tuple[dict[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_CLIENT_TOOLS:
        raise InvalidRequest(
            f"client_tools: expected a list of at most {MAX_CLIENT_TOOLS} tools", param="client_tools"
        )
    tools = tuple(_client_tool(number, item) for number, item in enumerate(value))
    names = [tool["name"] for tool in tools]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InvalidRequest(
                f"client_tools.{number}.name: there are two tools named {name}", param="client_tools"
            )
    return tools


def _client_tool(number: int, item: Any) -> dict[str, Any]:
    place = f"client_tools.{number}"
    if not isinstance(item, dict):
        raise InvalidRequest(
            f"{place}: expected an object with name, description and input_schema", param="client_tools"
        )
    name, description = item.get("name"), item.get("description", "")
    if not isinstance(name, str) or not MODEL_NAME.fullmatch(name):
        raise InvalidRequest(
            f"{place}.name: expected 1 to 64 letters, digits, underscores or hyphens", param="client_tools"
        )
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
        raise InvalidRequest(
            f"{place}.description: expected a text of at most {MAX_DESCRIPTION} characters",
            param="client_tools",
        )
    try:
        schema = check_schema(item.get("input_schema", {}), param=f"{place}.input_schema")
    except InvalidRequest as problem:
        raise InvalidRequest(problem.message, param="client_tools") from None
    return {"name": name, "description": description, "input_schema": schema}


def _tool_approval(value: Any) -> str | dict[str, str] | None:
    """None where nothing needs one."""
    if isinstance(value, dict) and len(value) <= MAX_TOOLS:
        if all(choice in APPROVALS for choice in value.values()):
            return value if "always" in value.values() else None
    elif value is None or value in APPROVALS:
        return "always" if value == "always" else None
    raise InvalidRequest(
        "tool_approval: expected never, always, or an object with never or always for each tool",
        param="tool_approval",
    )


def _connections(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    fits = isinstance(value, dict) and len(value) <= MAX_CONNECTIONS
    if fits and all(isinstance(label, str) and len(label) <= MAX_LABEL for label in value.values()):
        labels: dict[str, str] = value
        return labels
    raise InvalidRequest(
        f"connections: expected an object with a label of at most {MAX_LABEL} characters for each connector, "
        f"at most {MAX_CONNECTIONS}",
        param="connections",
    )


def _content(value: Any) -> str | list[dict[str, Any]]:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for number, block in enumerate(value):
            if not isinstance(block.get("type"), str):
                raise InvalidRequest(f"content.{number}.type: expected a text", param="content")
            if block["type"] in {"tool_use", "tool_result"}:
                raise InvalidRequest(
                    f"content.{number}: a {block['type']} block cannot be posted; the thread makes them",
                    param="content",
                )
        return value
    raise InvalidRequest("content: expected a text, or a list of content blocks", param="content")


def _count(body: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidRequest(f"{name}: expected an integer from {least} to {most}", param=name)
    return value


def _choice(body: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    """One of the choices; the first unless the body says otherwise."""
    value = body.get(name)
    if value is None:
        return choices[0]
    if not isinstance(value, str) or value not in choices:
        raise InvalidRequest(f"{name}: expected {' or '.join(sorted(choices))}", param=name)
    return value


def _max_cost(value: Any) -> int | None:
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        amount = Decimal(str(value))
        if not amount.is_finite() or amount <= 0:
            raise ValueError
        return nanos_from_usd(amount)
    except (ValueError, InvalidOperation):
        raise InvalidRequest("max_cost_usd: expected a positive amount", param="max_cost_usd") from None


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"{name}: expected true or false", param=name)
    return bool(value)
