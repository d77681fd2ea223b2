"""What the billing writer is asked to do: admit a call, settle it, move money into or out of a wallet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlmodel import Session

from gateway.billing.prices import Cost, CostBound, TokenUsage
from gateway.billing.rates import RateStatus
from kit.money import Nanos

# What every call makes are structs of msgspec: frozen dataclasses take several times as long to make.

Rider = Callable[[Session], Any]
"""Further writes of the same transaction, e.g. a turn's assistant message beside its settlement."""


class Budget(msgspec.Struct, frozen=True):
    """A turn's own spending limit: ``limit`` in all, ``spent`` by its earlier steps."""

    limit: Nanos
    spent: Nanos


class Payer(msgspec.Struct, frozen=True):
    """On whose behalf money is spent."""

    account_id: str
    key_id: str
    end_user_id: str | None = None
    thread_id: str | None = None
    turn_id: str | None = None
    purpose: str | None = None
    """What for, where it is not a call of the caller's own, or of a turn."""


class Admit(msgspec.Struct, frozen=True):
    """Set aside the most a call can cost. ``request_id`` names the call for ever."""

    request_id: str
    payer: Payer
    bound: CostBound
    owner: str
    now_ms: int
    expires_at: int
    budget: Budget | None = None
    tokens: int = 0
    """Input tokens as estimated, for the key's rate."""
    rated: bool = True
    """Whether the key's rates apply: they bound what is asked of Heddle, not the tools that a turn calls."""

    @property
    def account_id(self) -> str:
        return self.payer.account_id


class Admitted(msgspec.Struct, frozen=True):
    """A hold was taken. ``max_output_tokens`` is what it covers, maybe less than was asked for."""

    request_id: str
    payer: Payer
    held: Nanos
    max_output_tokens: int
    lowered: bool
    rates: RateStatus | None = None
    """What is left of the key's rate limits, if it has any."""


class CallOutcome(msgspec.Struct, frozen=True):
    """How a call ended: for the usage event."""

    provider: str
    model: str
    status: str
    http_status: int
    usage: TokenUsage = msgspec.field(default_factory=TokenUsage)
    cost: Cost = msgspec.field(default_factory=lambda: Cost(Nanos(0), []))
    error_code: str | None = None
    latency_ms: int = 0
    tool: str | None = None
    """The tool that was called, for a call that is billed as a tool's; ``model`` is empty then."""

    @property
    def ledger_kind(self) -> str:
        return "debit" if self.tool is None else "tool"


class Settle(msgspec.Struct, frozen=True):
    """Release a call's hold, debit its real cost, record its usage event; once per request id."""

    request_id: str
    payer: Payer
    outcome: CallOutcome
    now_ms: int
    rider: Rider | None = None

    @property
    def account_id(self) -> str:
        return self.payer.account_id


class Settled(msgspec.Struct, frozen=True):
    """``charged`` nanos were debited, ``free`` ones are left; ``result`` is what the rider returned.
    ``replayed``: nothing moved."""

    charged: Nanos
    result: Any = None
    replayed: bool = False
    free: Nanos | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """Move money into a wallet (top-up, credit, adjustment); once per entry id."""

    account_id: str
    entry_id: str
    kind: str
    amount: Nanos
    reference: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Debit:
    """Take money back out of a wallet (refund, dispute); once per entry id. See ``debt``."""

    account_id: str
    entry_id: str
    kind: str
    amount: Nanos
    reference: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class SetBalance:
    """Have a test account's wallet hold exactly ``balance``. See ``play_money``."""

    account_id: str
    entry_id: str
    balance: Nanos
    now_ms: int


Movement = Credit | Debit | SetBalance
Operation = Admit | Settle | Movement
