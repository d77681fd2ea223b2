"""What a turn needs of the gateway: a metered model that streams, as a protocol."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlmodel import Session

from kit.errors import UpstreamFailed

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


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step cost in nano-USD, and the usage to show in Anthropic's form."""

    nanos: int
    usage: Mapping[str, int]


class ModelStreamBroke(UpstreamFailed):
    """The provider broke off in the middle of its answer; what was delivered is billed."""

    code = "upstream_broke_off"


class ModelStream(Protocol):
    """An answer on its way. Exactly one of ``commit`` and ``abandon`` must end it."""

    def events(self) -> AsyncIterator[dict[str, Any]]:
        """Anthropic stream events, decoded. Raises ModelStreamBroke."""
        ...

    async def commit(self, record: Callable[[Session, StepCost], T]) -> T:
        """Settle the step and run ``record`` in the same transaction: both or neither."""
        ...

    async def abandon(self) -> int:
        """Stop reading and settle what was delivered; returns its cost in nano-USD."""
        ...


class ModelClient(Protocol):
    async def open(self, step: ModelStep) -> ModelStream:
        """Raises PaymentRequired, InvalidRequest, NotFound or UpstreamFailed before anything streams."""
        ...

    async def default_max_tokens(self, account_id: str, model: str) -> int:
        """The output limit for a turn of the account that sets none. Raises NotFound, Unsupported."""
        ...
