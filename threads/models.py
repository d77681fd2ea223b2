"""Threads, messages, and a turn's journal: its row, its tool calls, its pending actions, its events."""

from typing import Any

from sqlalchemy import Column, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column, reference


class Thread(SQLModel, table=True):
    """A stored conversation. ``last_seq`` is the number of its newest message; 0 means empty."""

    __tablename__ = "thread"
    __table_args__ = (Index("thread_by_activity", "account_id", "last_active_at", "id"),)

    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    key_id: str
    end_user_id: str | None = Field(default=None, index=True)
    title: str | None = None
    meta: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    last_seq: int = Field(default=0, sa_column=big_int())
    created_at: int = Field(sa_column=big_int())
    last_active_at: int = Field(sa_column=big_int())
    deleted_at: int | None = Field(default=None, sa_column=big_int(nullable=True))


class Message(SQLModel, table=True):
    """One message in Anthropic's form: a role and content blocks. ``seq`` is dense from 1 per thread."""

    __tablename__ = "message"
    __table_args__ = (UniqueConstraint("thread_id", "seq"),)

    id: str = Field(primary_key=True)
    account_id: str
    thread_id: str = Field(sa_column=reference("thread.id", index=False, cascade=True))
    seq: int = Field(sa_column=big_int())
    role: str
    content: Any = Field(sa_column=json_column())
    turn_id: str | None = None
    request_id: str | None = None
    usage: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    stop_reason: str | None = None
    model: str | None = None
    cost_nanos: int = Field(default=0, sa_column=big_int())
    created_at: int = Field(sa_column=big_int())


class Turn(SQLModel, table=True):
    """One run of the model/tool loop, leased by the process that works on it."""

    __tablename__ = "turn"
    __table_args__ = (Index("turn_by_status", "status", "lease_until"),)

    id: str = Field(primary_key=True)
    account_id: str
    thread_id: str = Field(sa_column=reference("thread.id", cascade=True))
    key_id: str
    end_user_id: str | None = None
    status: str
    params: dict[str, Any] = Field(sa_column=json_column())
    tools_mode: str = "none"
    tools: list[str] = Field(default_factory=list, sa_column=json_column())
    declined_connectors: list[str] = Field(default_factory=list, sa_column=json_column())
    allowed_models: list[str] | None = Field(default=None, sa_column=json_column(nullable=True))
    max_iterations: int = 16
    max_cost_nanos: int | None = Field(default=None, sa_column=big_int(nullable=True))
    iteration: int = 0
    user_seq: int = Field(sa_column=big_int())
    last_seq: int = Field(sa_column=big_int())
    cost_nanos: int = Field(default=0, sa_column=big_int())
    hit_max_iterations: bool = False
    error: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    attempt: int = 1
    lease_owner: str | None = None
    lease_until: int = Field(default=0, sa_column=big_int())
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())
    finished_at: int | None = Field(default=None, sa_column=big_int(nullable=True))


class ToolCallRow(SQLModel, table=True):
    """A tool call that a model asked for: ``pending → running → done``, or ``waiting`` for somebody."""

    __tablename__ = "tool_call"
    __table_args__ = (UniqueConstraint("turn_id", "tool_use_id"),)

    id: str = Field(primary_key=True)
    account_id: str
    turn_id: str = Field(sa_column=reference("turn.id", cascade=True))
    iteration: int
    position: int
    tool_use_id: str
    name: str
    input: dict[str, Any] = Field(sa_column=json_column())
    status: str = "pending"
    output: Any = Field(default=None, sa_column=json_column(nullable=True))
    content: list[dict[str, Any]] | None = Field(default=None, sa_column=json_column(nullable=True))
    is_error: bool = False
    record: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    cost_nanos: int | None = Field(default=None, sa_column=big_int(nullable=True))
    """None unless its tool has a price."""
    created_at: int = Field(sa_column=big_int())
    finished_at: int | None = Field(default=None, sa_column=big_int(nullable=True))


class PendingAction(SQLModel, table=True):
    """Something a turn waits for; with an expiry and a default outcome, so that none waits for ever."""

    __tablename__ = "pending_action"
    __table_args__ = (Index("pending_action_open", "status", "expires_at"),)

    id: str = Field(primary_key=True)
    account_id: str
    turn_id: str = Field(sa_column=reference("turn.id", cascade=True))
    end_user_id: str | None = None
    kind: str
    subject: str
    """What it is about, e.g. the connector that must be connected."""
    tool_use_id: str | None = None
    payload: dict[str, Any] = Field(sa_column=json_column())
    status: str = "open"
    outcome: str | None = None
    default_outcome: str = "deny"
    expires_at: int = Field(sa_column=big_int())
    created_at: int = Field(sa_column=big_int())
    resolved_at: int | None = Field(default=None, sa_column=big_int(nullable=True))


class TurnEventChunk(SQLModel, table=True):
    """Consecutive server-sent frames of a turn, as they were sent: ids ``first_id`` to ``last_id``."""

    __tablename__ = "turn_event_chunk"

    turn_id: str = Field(primary_key=True, foreign_key="turn.id", ondelete="CASCADE")
    first_id: int = Field(sa_column=big_int(primary_key=True))
    last_id: int = Field(sa_column=big_int())
    frames: str = Field(sa_column=Column(Text, nullable=False))
