"""JSON shapes of threads, messages and turns."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import msgspec
from pydantic import Field, field_validator

from kit.errors import InvalidRequest, Unsupported
from kit.money import micros, nanos_from_usd
from kit.request_body import RequestBody
from threads.models import Message, PendingAction, Thread, ToolCallRow, Turn

MAX_METADATA_BYTES = 16 * 1024
DEFAULT_MAX_ITERATIONS = 16
MAX_ITERATIONS = 500
MAX_TOOLS = 200

_OWN_FIELDS = frozenset(
    {
        "content",
        "tools",
        "client_tools",
        "client_tool_timeout_ms",
        "tools_mode",
        "max_iterations",
        "max_cost_usd",
        "on_busy",
        "on_insufficient_funds",
        "background",
        "tool_approval",
        "stream",
        "messages",
    }
)


def _bounded(metadata: dict[str, Any] | None) -> dict[str, Any] | None:
    if metadata is not None and len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        raise ValueError(f"must not be larger than {MAX_METADATA_BYTES} bytes")
    return metadata


class CreateThread(RequestBody):
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)
    metadata: dict[str, Any] | None = None
    id: str | None = None

    @field_validator("metadata")
    @classmethod
    def _small(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return _bounded(metadata)

    @field_validator("id")
    @classmethod
    def _is_uuid(cls, value: str | None) -> str | None:
        try:
            return None if value is None else str(UUID(value))
        except ValueError:
            raise ValueError("must be a UUID") from None


class EditThread(RequestBody):
    title: str | None = Field(default=None, max_length=500)
    metadata: dict[str, Any] | None = None

    @field_validator("metadata")
    @classmethod
    def _small(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return _bounded(metadata)


class ActionAnswer(RequestBody):
    id: str = Field(max_length=100)
    type: str = Field(max_length=40)


class ActionAnswers(RequestBody):
    actions: list[ActionAnswer] = Field(min_length=1, max_length=100)


@dataclass(frozen=True)
class TurnRequest:
    """A validated turn: the new user message, the model's parameters, and the loop's limits."""

    content: str | list[dict[str, Any]]
    params: dict[str, Any]
    tools_mode: str
    tools: tuple[str, ...]
    max_iterations: int
    max_cost_nanos: int | None
    stream: bool
    background: bool


def parse_turn(body: Mapping[str, Any]) -> TurnRequest:
    """Read the body of ``POST /v1/threads/{id}/messages``. Raises InvalidRequest or Unsupported."""
    _refuse_what_is_not_offered(body)
    params = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    if not isinstance(params.get("model"), str) or not params["model"]:
        raise InvalidRequest("model: expected the name of a model", param="model")
    tools = _tools(body.get("tools"))
    mode = body.get("tools_mode") or ("explicit" if tools else "none")
    if mode == "explicit" and not tools:
        mode = "none"
    if mode not in {"explicit", "tenant", "none"}:
        raise InvalidRequest("tools_mode: expected explicit or tenant", param="tools_mode")
    return TurnRequest(
        content=_content(body.get("content")),
        params=params,
        tools_mode=mode,
        tools=tools,
        max_iterations=_max_iterations(body.get("max_iterations")),
        max_cost_nanos=_max_cost(body.get("max_cost_usd")),
        stream=_flag(body, "stream"),
        background=_flag(body, "background"),
    )


def _refuse_what_is_not_offered(body: Mapping[str, Any]) -> None:
    if body.get("messages") is not None:
        raise InvalidRequest(
            "messages: a thread loads its own history; send the new user turn as content", param="messages"
        )
    not_yet = {
        "client_tools": body.get("client_tools") or None,
        "tools_mode": "dynamic" if body.get("tools_mode") == "dynamic" else None,
        "on_busy": None if body.get("on_busy") in {None, "reject"} else body["on_busy"],
        "on_insufficient_funds": (
            None if body.get("on_insufficient_funds") in {None, "fail"} else body["on_insufficient_funds"]
        ),
        "tool_approval": None if body.get("tool_approval") in {None, "never"} else body["tool_approval"],
    }
    for name, value in not_yet.items():
        if value is not None:
            raise Unsupported(f"{name}: this value is not available yet", param=name)


def _tools(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest("tools: expected a list of tool ids or names", param="tools")
    if len(value) > MAX_TOOLS:
        raise InvalidRequest(f"tools: expected at most {MAX_TOOLS}", param="tools")
    return tuple(dict.fromkeys(value))


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


def _max_iterations(value: Any) -> int:
    if value is None:
        return DEFAULT_MAX_ITERATIONS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_ITERATIONS:
        raise InvalidRequest(
            f"max_iterations: expected an integer from 1 to {MAX_ITERATIONS}", param="max_iterations"
        )
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


def render_thread(thread: Thread) -> dict[str, Any]:
    return {
        "id": thread.id,
        "object": "thread",
        "end_user_id": thread.end_user_id,
        "title": thread.title,
        "metadata": thread.meta,
        "created_at": thread.created_at,
        "last_active_at": thread.last_active_at,
    }


def render_message(message: Message) -> dict[str, Any]:
    return {
        "seq": message.seq,
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "request_id": message.request_id,
        "turn_id": message.turn_id,
        "model": message.model,
        "stop_reason": message.stop_reason,
        "usage": message.usage,
        "cost_micros": micros(message.cost_nanos),
        "created_at": message.created_at,
    }


def render_action(action: PendingAction) -> dict[str, Any]:
    return {
        "id": action.id,
        "kind": action.kind,
        "tool_use_id": action.tool_use_id,
        "connector": action.subject,
        **action.payload,
        "default": action.default_outcome,
        "expires_at": action.expires_at,
        "created_at": action.created_at,
    }


def render_turn(
    turn: Turn, actions: list[PendingAction] | None = None, calls: list[ToolCallRow] | None = None
) -> dict[str, Any]:
    rendered = {
        "id": turn.id,
        "object": "turn",
        "thread_id": turn.thread_id,
        "end_user_id": turn.end_user_id,
        "status": turn.status,
        "model": turn.params.get("model"),
        "iterations": turn.iteration,
        "max_iterations": turn.max_iterations,
        "hit_max_iterations": turn.hit_max_iterations,
        "cost_micros": micros(turn.cost_nanos),
        "error": turn.error,
        "actions": [render_action(action) for action in actions or ()],
        "created_at": turn.created_at,
        "updated_at": turn.updated_at,
        "finished_at": turn.finished_at,
    }
    if calls is not None:
        rendered["tool_calls"] = [render_call(call) for call in calls]
    return rendered


def render_call(call: ToolCallRow) -> dict[str, Any]:
    priced = {} if call.cost_nanos is None else {"cost_micros": micros(call.cost_nanos)}
    return {
        "id": call.id,
        "tool_use_id": call.tool_use_id,
        "name": call.name,
        "iteration": call.iteration,
        "input": call.input,
        "status": call.status,
        "output": call.output,
        "is_error": call.is_error,
        "dispatch": call.record,
        **priced,
        "created_at": call.created_at,
        "finished_at": call.finished_at,
    }
