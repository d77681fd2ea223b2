"""Threads, messages, what is found of them, and a turn's journal: its row, its tool calls, its pending
actions, its events."""

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from kit.columns import big_int, blob, json_column, reference

HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS


def _only_where(condition: str) -> dict[str, Any]:
    """An index of only those rows."""
    return {f"{dialect}_where": text(condition) for dialect in ("sqlite", "postgresql")}


class Thread(SQLModel, table=True):
    """A stored conversation. ``last_seq`` is the number of its newest message; 0 means empty.

    ``forked_from`` is the id of the thread whose first ``forked_at_seq`` messages it began with.
    """

    __tablename__ = "thread"
    __table_args__ = (
        Index("thread_by_activity", "account_id", "last_active_at", "id"),
        Index("thread_by_end_user", "account_id", "end_user_id", "last_active_at", "id"),
        Index("thread_deleted", "deleted_at", **_only_where("deleted_at IS NOT NULL")),
        Index("thread_empty", "key_id", "created_at", **_only_where("last_seq = 0 AND deleted_at IS NULL")),
    )

    id: str = Field(primary_key=True)
    account_id: str
    key_id: str
    end_user_id: str | None = None
    title: str | None = None
    meta: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    forked_from: str | None = None
    forked_at_seq: int | None = Field(default=None, sa_column=big_int(nullable=True))
    context: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    """Its turns' usual ``context``."""
    context_cut: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    """Where its newest model step cut the history (see ``context.fitting.Cut``)."""
    last_seq: int = Field(default=0, sa_column=big_int())
    last_change: int = Field(default=0, sa_column=big_int())
    """The number of its newest ``ThreadChange``; written only by ``changes.record_changes``."""
    created_at: int = Field(sa_column=big_int())
    last_active_at: int = Field(sa_column=big_int())
    deleted_at: int | None = Field(default=None, sa_column=big_int(nullable=True))


class ThreadChange(SQLModel, table=True):
    """Something that happened in a thread (see ``threads/changes.py``), numbered from 1 in its thread."""

    __tablename__ = "thread_change"

    thread_id: str = Field(primary_key=True, foreign_key="thread.id", ondelete="CASCADE")
    number: int = Field(sa_column=big_int(primary_key=True))
    kind: str
    data: dict[str, Any] = Field(sa_column=json_column())
    created_at: int = Field(sa_column=big_int())


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
    provider: str | None = None
    """Who answered: the maker of the message's signatures."""
    cost_nanos: int = Field(default=0, sa_column=big_int())
    created_at: int = Field(sa_column=big_int())


class Compaction(SQLModel, table=True):
    """A summary of a thread's messages up to ``through_seq``, and of the summary before it."""

    __tablename__ = "compaction"
    __table_args__ = (UniqueConstraint("thread_id", "through_seq"),)

    id: str = Field(primary_key=True)
    account_id: str
    thread_id: str = Field(sa_column=reference("thread.id", index=False, cascade=True))
    turn_id: str | None = None
    through_seq: int = Field(sa_column=big_int())
    summary: str = Field(sa_column=Column(Text, nullable=False))
    model: str | None = None
    request_id: str | None = None
    usage: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    cost_nanos: int = Field(default=0, sa_column=big_int())
    created_at: int = Field(sa_column=big_int())


class SearchEntry(SQLModel, table=True):
    """The terms under which a message is found (``threads/search_terms.py``); newer ones have larger ids.

    They are indexed by what the migration makes: on SQLite the full-text table ``search_index``, kept in
    step by triggers; on PostgreSQL the index ``search_entry_lexemes``.
    """

    __tablename__ = "search_entry"

    id: int = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    message_id: str = Field(sa_column=reference("message.id", index=False, cascade=True, unique=True))
    thread_id: str
    terms: str = Field(sa_column=Column(Text, nullable=False))


class SearchBacklog(SQLModel, table=True):
    """A thread with messages that are not searchable yet: those with ``after_seq < seq <= until_seq``."""

    __tablename__ = "search_backlog"

    thread_id: str = Field(primary_key=True, foreign_key="thread.id", ondelete="CASCADE")
    after_seq: int = Field(default=0, sa_column=big_int())
    until_seq: int = Field(sa_column=big_int())


class EmbeddingBacklog(SQLModel, table=True):
    """A search entry that waits for its vector, and who pays for it: its thread's key and end user (empty:
    none). ``claim`` names who is at it until ``claimed_until``."""

    __tablename__ = "embedding_backlog"
    __table_args__ = (Index("embedding_backlog_by_payer", "account_id", "key_id", "end_user_id", "entry_id"),)

    entry_id: int = Field(
        sa_column=Column(
            BigInteger().with_variant(Integer, "sqlite"),
            ForeignKey("search_entry.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        )
    )
    account_id: str
    key_id: str
    end_user_id: str
    claim: str | None = None
    claimed_until: int = Field(default=0, sa_column=big_int())


class EmbeddingState(SQLModel, table=True):
    """The one row says whose vectors are being made (``EmbeddingModel.space``)."""

    __tablename__ = "embedding_state"

    id: int = Field(primary_key=True)
    space: str


class Turn(SQLModel, table=True):
    """One run of the model/tool loop, leased by the process that works on it.

    ``attempt`` counts the processes that worked on it, one after the other; 0 before the first.
    """

    __tablename__ = "turn"
    __table_args__ = (Index("turn_by_status", "status", "lease_until"),)

    id: str = Field(primary_key=True)
    account_id: str
    thread_id: str = Field(sa_column=reference("thread.id", cascade=True))
    key_id: str
    end_user_id: str | None = None
    status: str
    params: dict[str, Any] = Field(sa_column=json_column())
    context: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    context_record: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    """What its newest model step was sent of the history."""
    tools_mode: str = "none"
    tools: list[str] = Field(default_factory=list, sa_column=json_column())
    declined_connectors: list[str] = Field(default_factory=list, sa_column=json_column())
    allowed_models: list[str] | None = Field(default=None, sa_column=json_column(nullable=True))
    max_iterations: int = 16
    max_cost_nanos: int | None = Field(default=None, sa_column=big_int(nullable=True))
    client_tools: list[dict[str, Any]] = Field(default_factory=list, sa_column=json_column())
    client_tool_wait_ms: int = 0
    """How long its process waits for the caller's tools before it parks."""
    hands_calls_over: bool = False
    """The calls of its answer are its caller's affair: the turn ends with them."""
    tool_approval: str | dict[str, str] | None = Field(default=None, sa_column=json_column(nullable=True))
    tool_scope: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    """What its tool calls are made with: ``trace``, the W3C trace context of the request that began it, and
    ``connections``, which of its end user's accounts, labels by connector."""
    parks_for_funds: bool = False
    action_timeout_ms: int = Field(default=DAY_MS, sa_column=big_int())
    max_duration_ms: int = Field(default=HOUR_MS, sa_column=big_int())
    """How long it may run; the time that it is queued or waits for somebody does not count."""
    deadline_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    parked_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    queued_content: Any = Field(default=None, sa_column=json_column(nullable=True))
    """The message of a queued turn, which is not in the thread before its turn starts."""
    interrupts: str | None = None
    """The turn that this one has ended, or will have."""
    cancel_requested: bool = False
    iteration: int = 0
    user_seq: int = Field(sa_column=big_int())
    last_seq: int = Field(sa_column=big_int())
    cost_nanos: int = Field(default=0, sa_column=big_int())
    hit_max_iterations: bool = False
    error: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    attempt: int = 1
    settled_attempts: int = 0
    """Of so many attempts nothing is left to pay for: they came to a point where the turn could wait."""
    lease_owner: str | None = None
    lease_until: int = Field(default=0, sa_column=big_int())
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())
    finished_at: int | None = Field(default=None, sa_column=big_int(nullable=True))


class ToolCallRow(SQLModel, table=True):
    """A tool call that a model asked for: ``pending → running → done``, or ``waiting`` for somebody, and then
    ``pending`` again or ``answered``: done, but its stream has not been told."""

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
    approved: bool = False
    output: Any = Field(default=None, sa_column=json_column(nullable=True))
    content: list[dict[str, Any]] | None = Field(default=None, sa_column=json_column(nullable=True))
    is_error: bool = False
    record: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    for_client: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    """What its event has besides, and no model sees."""
    suspended: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    """With what it goes on (``broker.calls.Resume``): ``state``, ``answers``. Nobody is shown it."""
    cost_nanos: int | None = Field(default=None, sa_column=big_int(nullable=True))
    """None unless its tool has a price."""
    created_at: int = Field(sa_column=big_int())
    finished_at: int | None = Field(default=None, sa_column=big_int(nullable=True))


class ToolGrant(SQLModel, table=True):
    """An end user (without one: whoever uses a thread) has approved of a tool with this definition, so that
    it may be called without asking again (``approval: first_use``)."""

    __tablename__ = "tool_grant"
    __table_args__ = (Index("tool_grant_of", "account_id", "tool", "end_user_id", "thread_id"),)

    id: str = Field(primary_key=True)
    account_id: str
    end_user_id: str | None = None
    thread_id: str | None = Field(default=None, sa_column=reference("thread.id", nullable=True, cascade=True))
    """Set only where there is no end user."""
    tool: str
    definition_sha256: str
    action_id: str
    created_at: int = Field(sa_column=big_int())


class ToolOutput(SQLModel, table=True):
    """The whole output of a call, as JSON, whose row has only a part of it."""

    __tablename__ = "tool_output"

    call_id: str = Field(primary_key=True, foreign_key="tool_call.id", ondelete="CASCADE")
    body: bytes = Field(sa_column=blob(), repr=False)


class PendingAction(SQLModel, table=True):
    """Something a turn waits for; with an expiry and a default outcome, so that none waits for ever.

    ``kind`` is one of ``outcomes.ANSWERS``."""

    __tablename__ = "pending_action"
    __table_args__ = (
        Index("pending_action_open", "status", "expires_at"),
        Index("pending_action_by_kind", "status", "kind", "account_id"),
        Index("pending_action_due", "due_at", **_only_where("due_at IS NOT NULL")),
    )

    id: str = Field(primary_key=True)
    account_id: str
    turn_id: str = Field(sa_column=reference("turn.id", cascade=True))
    end_user_id: str | None = None
    kind: str
    subject: str
    """What it is about: the connector, the tool's name, the webhook tool's id, or which money is short."""
    key_id: str | None = None
    needed_nanos: int | None = Field(default=None, sa_column=big_int(nullable=True))
    """Of ``funds``: the key that pays, and the least that must be free."""
    tool_use_id: str | None = None
    input_key: str | None = None
    """Of ``elicitation``: what its server calls the question."""
    due_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    """Of ``task``: when its server is to be asked for it, or told that nobody waits any more."""
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
