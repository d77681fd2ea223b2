"""Money at rest: wallets, the ledger, holds, what keys have spent, and usage events."""

from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column, reference


class Wallet(SQLModel, table=True):
    """An account's prepaid balance. ``held_nanos`` is promised to calls that are under way; ``debt_nanos``
    is what was taken back beyond what was free (see ``debt``)."""

    __tablename__ = "wallet"
    __table_args__ = (
        CheckConstraint("balance_nanos >= 0", name="wallet_never_negative"),
        CheckConstraint("held_nanos >= 0 AND held_nanos <= balance_nanos", name="holds_are_covered"),
        CheckConstraint("debt_nanos >= 0", name="debt_never_negative"),
    )

    account_id: str = Field(primary_key=True, foreign_key="account.id")
    balance_nanos: int = Field(default=0, sa_column=big_int())
    held_nanos: int = Field(default=0, sa_column=big_int())
    debt_nanos: int = Field(default=0, sa_column=big_int())
    ledger_seq: int = Field(default=0, sa_column=big_int())
    ledger_hash: str = ""
    told: str = ""
    """What its account has been told of its level: nothing, ``low`` or ``empty``."""
    usage_rolled_until: int = Field(default=0, sa_column=big_int())
    """Usage events before this instant (Unix ms) are summed up in ``gateway.usage``; no new one is."""


class LedgerEntry(SQLModel, table=True):
    """One signed change of a wallet. Append-only: triggers refuse UPDATE and DELETE."""

    __tablename__ = "ledger_entry"
    __table_args__ = (UniqueConstraint("account_id", "seq"), UniqueConstraint("account_id", "entry_id"))

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id", index=False))
    seq: int = Field(sa_column=big_int())
    entry_id: str
    kind: str
    amount_nanos: int = Field(sa_column=big_int())
    balance_after_nanos: int = Field(sa_column=big_int())
    reference: str
    previous_hash: str
    hash: str
    created_at: int = Field(sa_column=big_int())


class Hold(SQLModel, table=True):
    """The most that a running call can cost, set aside until it is settled or released.

    There are only as many as calls are under way, and each is written twice: an index is worth its cost only
    for what every admission asks (how many calls of a key are under way).
    """

    __tablename__ = "hold"

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id", index=False))
    key_id: str = Field(index=True)
    end_user_id: str | None = None
    amount_nanos: int = Field(sa_column=big_int())
    tokens: int = Field(default=0, sa_column=big_int())
    """Input tokens taken from the key's rate until the real count is known."""
    owner: str
    expires_at: int = Field(sa_column=big_int())
    created_at: int = Field(sa_column=big_int())


class Process(SQLModel, table=True):
    """A process that takes holds, where several share the database (see ``liveness``)."""

    __tablename__ = "process"

    owner: str = Field(primary_key=True)
    """As in ``Hold.owner``."""
    seen_at: int = Field(sa_column=big_int())


class Spend(SQLModel, table=True):
    """What a capped key, or an end user with a budget, has spent and holds in its current period.

    ``subject`` is a key's id or an end user's (``EndUser.id``). ``warned_percent`` is the share of the cap
    that its account has been told of in this period.
    """

    __tablename__ = "spend"

    subject: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id"))
    period: str
    spent_nanos: int = Field(default=0, sa_column=big_int())
    held_nanos: int = Field(default=0, sa_column=big_int())
    warned_percent: int = 0


class KeyRate(SQLModel, table=True):
    """How full the token buckets of a rate-limited key are (see ``rates``)."""

    __tablename__ = "key_rate"

    key_id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id"))
    requests_level: int = Field(sa_column=big_int())
    tokens_level: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())


class UsageEvent(SQLModel, table=True):
    """One call that could cost money: what was used, what it cost, how it ended."""

    __tablename__ = "usage_event"
    __table_args__ = (
        Index("usage_event_by_account", "account_id", "created_at"),
        Index("usage_event_by_key", "key_id", "created_at"),
        Index("usage_event_by_end_user", "account_id", "end_user_id", "created_at"),
    )

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id", index=False))
    key_id: str
    end_user_id: str | None = None
    thread_id: str | None = None
    turn_id: str | None = None
    purpose: str | None = None
    """What Heddle made the call for by itself: ``search_index`` or ``search_query``."""
    provider: str
    model: str
    tool: str | None = None
    """The tool that was called, where the event is for a tool that costs money and not for a model."""
    status: str
    http_status: int
    error_code: str | None = None
    estimated: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_nanos: int = Field(default=0, sa_column=big_int())
    shortfall_nanos: int = Field(default=0, sa_column=big_int())
    breakdown: list[dict[str, Any]] = Field(default_factory=list, sa_column=json_column())
    latency_ms: int = 0
    created_at: int = Field(sa_column=big_int())
