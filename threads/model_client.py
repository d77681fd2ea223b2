"""What a turn needs of the gateway: a metered model that streams, as a protocol."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlmodel import Session

from kit.errors import UpstreamFailed
from threads.models import Turn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelStep:
    """One call to a model within a turn. ``body`` is an Anthropic Messages request."""

    request_id: str
    account_id: str
    key_id: str
    end_user_id: str | None
    thread_id: str
    turn_id: str
    body: Mapping[str, Any]
    allowed_models: tuple[str, ...] | None = None
    budget_nanos: int | None = None
    spent_nanos: int = 0

    @classmethod
    def of(cls, turn: Turn, request_id: str, body: Mapping[str, Any]) -> "ModelStep":
        """A call that a turn makes: paid by its key, for its end user, within its models and its budget."""
        return cls(
            request_id=request_id,
            account_id=turn.account_id,
            key_id=turn.key_id,
            end_user_id=turn.end_user_id,
            thread_id=turn.thread_id,
            turn_id=turn.id,
            body=body,
            allowed_models=tuple(turn.allowed_models) if turn.allowed_models is not None else None,
            budget_nanos=turn.max_cost_nanos,
            spent_nanos=turn.cost_nanos,
        )


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step cost in nano-USD, the usage to show in Anthropic's form, and who answered."""

    nanos: int
    usage: Mapping[str, int]
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a name that a turn calls stands for: one model, or those behind an alias, all of which must do.

    ``tokens_of`` estimates, from above, what a request without its messages takes of the context window;
    ``message_tokens`` one message. ``models`` names them, so that estimates can be kept."""

    models: frozenset[str]
    providers: frozenset[str]
    context_window: int | None
    """The smallest that is known, in tokens, the answer's included."""
    default_max_tokens: int
    """The output limit for a turn that sets none."""
    native: bool
    """Whether one of them gets Anthropic's dialect as it is, untranslated."""
    prompt_caching: bool
    """Whether one of them heeds cache breakpoints."""
    vision: bool
    tokens_of: Callable[[Mapping[str, Any]], int]
    message_tokens: Callable[[Mapping[str, Any]], int]


class LeaseLost(Exception):
    """Another process has taken this turn over; this one must stop writing at once."""


class ModelStreamBroke(UpstreamFailed):
    """The provider broke off in the middle of its answer; what was delivered is billed."""

    code = "upstream_broke_off"


CostRecorder = Callable[[Session, int], None]
"""Writes down a cost, in nano-USD, in the transaction that settles it."""


class ModelStream(Protocol):
    """An answer on its way. Exactly one of ``commit`` and ``abandon`` must end it."""

    def events(self) -> AsyncIterator[dict[str, Any]]:
        """Anthropic stream events, decoded. Raises ModelStreamBroke."""
        ...

    async def commit(self, record: Callable[[Session, StepCost], T]) -> T:
        """Settle the step and run ``record`` in the same transaction: both or neither. Raises LeaseLost if
        another process has settled this very step, and what ``record`` raised."""
        ...

    async def abandon(self, record: CostRecorder) -> int:
        """Stop reading and settle what was delivered; returns its cost in nano-USD, 0 if another process has
        settled this very step. Raises what ``record`` raised."""
        ...


class ModelClient(Protocol):
    async def open(self, step: ModelStep, record: CostRecorder) -> ModelStream:
        """``record`` is for what it costs if it is cancelled before the answer begins.

        Raises PaymentRequired, InvalidRequest, NotFound or UpstreamFailed before anything streams.
        """
        ...

    async def settle_lost(self, step: ModelStep, delivered: bytes, record: CostRecorder) -> int:
        """Bill what a process that died had delivered of ``step`` (its frames; maybe none), once, and release
        its hold; returns its cost in nano-USD, 0 if nothing was billed. Raises what ``record`` raised."""
        ...

    async def facts(self, account_id: str, model: str) -> ModelFacts:
        """Raises NotFound, Unsupported."""
        ...


@dataclass(frozen=True, slots=True)
class Spender:
    """Who pays for a turn: an account, through a key, for an end user."""

    account_id: str
    key_id: str
    end_user_id: str | None


class Funds(Protocol):
    async def free(self, spenders: Collection[Spender]) -> Mapping[Spender, int]:
        """What each could spend now, in nano-USD: the least of wallet, key cap and end user's budget, less
        what is on hold."""
        ...
