"""JSON shapes of threads, messages and turns."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from pydantic import Field, field_validator

from kit.errors import InvalidRequest
from kit.money import micros
from kit.request_body import RequestBody
from threads.context.settings import parse_context
from threads.context.untrusted import without_flags
from threads.models import Compaction, Message, PendingAction, Thread, ToolCallRow, Turn

MAX_METADATA_BYTES = 16 * 1024
MAX_REASON_CHARS = 2_000
SUBJECTS = {"connect": "connector", "webhook": "tool_id", "funds": "code"}
"""What the subject of an action is called, by its kind; else it is the ``tool``."""


def _bounded(metadata: dict[str, Any] | None) -> dict[str, Any] | None:
    if metadata is not None and _too_large(metadata):
        raise ValueError(f"must not be larger than {MAX_METADATA_BYTES} bytes")
    return metadata


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Raises InvalidRequest if a thread's metadata has become too large."""
    if _too_large(metadata):
        raise InvalidRequest(
            f"metadata: would become larger than {MAX_METADATA_BYTES} bytes", param="metadata"
        )


def _too_large(metadata: Mapping[str, Any]) -> bool:
    return len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES


class CreateThread(RequestBody):
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)
    metadata: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
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


class ForkThread(RequestBody):
    at_seq: int | None = Field(default=None, ge=1, le=2**53, strict=True)


class EditThread(RequestBody):
    title: str | None = Field(default=None, max_length=500)
    metadata: dict[str, Any] | None = None
    context: dict[str, Any] | None = None

    @field_validator("metadata")
    @classmethod
    def _small(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return _bounded(metadata)

    @property
    def changes(self) -> dict[str, Any]:
        """The columns to set: null takes a title or a context away. Raises InvalidRequest."""
        changes = self.model_dump(include={"title"} & self.model_fields_set)
        if "context" in self.model_fields_set:
            changes["context"] = parse_context(self.context)
        return changes


class ToolOutput(RequestBody):
    """What a tool that runs elsewhere came to."""

    output: Any
    is_error: bool = False


class WebhookResult(ToolOutput):
    turn_id: str | None = Field(default=None, max_length=100)


class ActionAnswer(RequestBody):
    id: str = Field(max_length=100)
    type: str = Field(max_length=40)
    reason: str | None = Field(default=None, max_length=MAX_REASON_CHARS)
    output: Any = None
    is_error: bool = False
    action: str | None = Field(default=None, max_length=40)
    content: Any = None


class ActionAnswers(RequestBody):
    actions: list[ActionAnswer] = Field(min_length=1, max_length=100)


def render_thread(thread: Thread) -> dict[str, Any]:
    return {
        "id": thread.id,
        "object": "thread",
        "end_user_id": thread.end_user_id,
        "title": thread.title,
        "metadata": thread.meta,
        "context": thread.context,
        "forked_from": thread.forked_from
        and {"thread_id": thread.forked_from, "at_seq": thread.forked_at_seq},
        "created_at": thread.created_at,
        "last_active_at": thread.last_active_at,
    }


def render_message(message: Message) -> dict[str, Any]:
    return {
        "seq": message.seq,
        "id": message.id,
        "role": message.role,
        "content": without_flags(message.content),
        "request_id": message.request_id,
        "turn_id": message.turn_id,
        "model": message.model,
        "stop_reason": message.stop_reason,
        "usage": message.usage,
        "cost_micros": micros(message.cost_nanos),
        "created_at": message.created_at,
    }


def render_compaction(compaction: Compaction | None) -> dict[str, Any] | None:
    if compaction is None:
        return None
    return {
        "summary": compaction.summary,
        "summarized_through_seq": compaction.through_seq,
        "model": compaction.model,
        "turn_id": compaction.turn_id,
        "cost_micros": micros(compaction.cost_nanos),
        "created_at": compaction.created_at,
    }


def render_action(action: PendingAction) -> dict[str, Any]:
    return {
        "id": action.id,
        "kind": action.kind,
        "tool_use_id": action.tool_use_id,
        SUBJECTS.get(action.kind, "tool"): action.subject,
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
        "context": turn.context_record,
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
        "status": "done" if call.status == "answered" else call.status,
        "output": call.output,
        "is_error": call.is_error,
        "dispatch": call.record,
        **({} if call.for_client is None else {"mcp": {"result": call.for_client}}),
        **priced,
        "created_at": call.created_at,
        "finished_at": call.finished_at,
    }


def render_output(call: ToolCallRow, whole: bytes | None) -> dict[str, Any]:
    """A call's output, nothing of it left out. ``whole`` is JSON; None if the call's row has all of it."""
    output = msgspec.Raw(msgspec.json.encode(call.output) if whole is None else whole)
    return {
        "object": "tool_output",
        "call_id": call.id,
        "tool_use_id": call.tool_use_id,
        "name": call.name,
        "is_error": call.is_error,
        "bytes": len(bytes(output)),
        "output": output,
    }
