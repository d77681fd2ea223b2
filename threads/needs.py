"""What a turn can wait for: one kind of pending action each, with its expiry and its default outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.calls import AnswersLater, NeedsConnection, TaskUnderWay
from broker.elicitation import Question
from kit.errors import PaymentRequired
from kit.ids import new_id
from threads.failure import error_record
from threads.models import PendingAction, ToolCallRow, Turn

FUNDS_CODES = frozenset({"wallet_empty", "key_cap_reached", "end_user_budget_reached"})
"""Refusals that money, or a raised limit, can end. A turn's own budget cannot be raised."""


@dataclass(frozen=True)
class Need:
    """``default`` is the outcome if nobody answers in time: ``deny``, ``error`` (the model is told that no
    answer came), ``cancel`` (the server is) or ``fail`` (the turn ends)."""

    kind: str
    subject: str
    default: str
    expires_at: int
    payload: dict[str, Any] = field(default_factory=dict)
    key_id: str | None = None
    needed_nanos: int | None = None
    input_key: str | None = None
    due_at: int | None = None

    def row(self, turn: Turn, call: ToolCallRow | None, *, now_ms: int) -> PendingAction:
        return PendingAction(
            id=new_id("act"),
            account_id=turn.account_id,
            turn_id=turn.id,
            end_user_id=turn.end_user_id,
            kind=self.kind,
            subject=self.subject,
            key_id=self.key_id,
            needed_nanos=self.needed_nanos,
            input_key=self.input_key,
            due_at=self.due_at,
            tool_use_id=call.tool_use_id if call is not None else None,
            payload=self.payload,
            default_outcome=self.default,
            expires_at=self.expires_at,
            created_at=now_ms,
        )


def connection(need: NeedsConnection) -> Need:
    payload = {"display_name": need.display_name, "connect_url": need.connect_url}
    if need.label:
        payload["label"] = need.label
    return Need("connect", need.connector, "deny", need.expires_at, payload)


def approval(
    turn: Turn, call: ToolCallRow, display_name: str, *, first_use_of: str | None, now_ms: int
) -> Need:
    """``first_use_of``: the definition (SHA-256) that is approved of for later calls too."""
    payload: dict[str, Any] = {"input": call.input}
    if first_use_of is not None:
        payload["first_use_of"] = first_use_of
    return Need("approval", display_name, "deny", now_ms + turn.action_timeout_ms, payload)


def batch_approval(
    turn: Turn,
    call: ToolCallRow,
    display_name: str,
    definitions: Mapping[str, str],
    *,
    first_use: bool,
    now_ms: int,
) -> Need:
    """The same for a call that calls others in its turn; ``definitions``: those that must be approved of."""
    payload: dict[str, Any] = {"input": call.input, "tools": sorted(definitions)}
    if first_use:
        payload["first_use_of"] = dict(definitions)
    return Need("approval", display_name, "deny", now_ms + turn.action_timeout_ms, payload)


def client_tool(turn: Turn, call: ToolCallRow, *, now_ms: int) -> Need:
    expires_at = now_ms + turn.client_tool_wait_ms + turn.action_timeout_ms
    return Need("client_tool", call.name, "error", expires_at, {"input": call.input})


def webhook_result(turn: Turn, later: AnswersLater, *, now_ms: int) -> Need:
    payload = {"tool": later.tool_name}
    return Need("webhook", later.tool_id, "error", now_ms + turn.action_timeout_ms, payload)


def elicitation(tool: str, server: str, question: Question, *, expires_at: int) -> Need:
    payload = {"server": server, **question.shown}
    return Need("elicitation", tool, "cancel", expires_at, payload, input_key=question.key)


def task(turn: Turn, tool: str, under_way: TaskUnderWay, *, now_ms: int) -> Need:
    payload = {"server": under_way.server, "message": under_way.message}
    expires_at = now_ms + turn.action_timeout_ms
    return Need("task", tool, "error", expires_at, payload, due_at=now_ms + under_way.poll_after_ms)


def funds(turn: Turn, refusal: PaymentRequired, *, now_ms: int) -> Need:
    record = error_record(refusal, turn.iteration + 1)
    return Need(
        "funds",
        refusal.code,
        "fail",
        now_ms + turn.action_timeout_ms,
        {"error": record},
        key_id=turn.key_id,
        needed_nanos=refusal.needed_nanos,
    )
