"""What a tool call costs and who pays for it: what the broker needs of whoever keeps the money, as protocols.

Invariants:
- a tool that has a price is dispatched only when that price has been set aside (``ToolMeter.admit``);
- every charge is ended once, by whoever made the ``Payment``: the price is debited if the tool answered, or
  if its payer called it off under way, and else nothing is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlmodel import Session

from broker.calls import ToolResult, ToolScope

Record = Callable[[Session, int], Any]
"""Further writes of the transaction that ends a charge; told how many nano-USD the call cost."""
PriceOf = Callable[[str], int | None]
"""A tool's price by its full name, in nano-USD; None if it costs nothing."""


class OpenCharge(Protocol):
    """A call's price, set aside. One of these two ends it; both return what the call cost, in nano-USD.

    If ``record`` refuses, what it raised is raised, and nothing is debited.
    """

    async def settle(self, result: ToolResult, record: Record | None = None) -> int:
        """The call has come to this. Debits the price if the tool itself answered, well or not."""
        ...

    async def cut_off(self, *, by_payer: bool, record: Record | None = None) -> int:
        """The call was broken off under way. Its payer pays for that, since it has been sent."""
        ...


@dataclass
class TurnBudget:
    """A turn's own limit, in nano-USD. ``held`` is what its running calls may still cost: side by side they
    do not pass it either."""

    limit: int
    spent: Callable[[], int]
    held: int = 0


@dataclass
class Payment:
    """How one call is paid for, if it costs something. ``charge`` is there once its price is set aside, and
    must then be ended."""

    charge_id: str
    """Names the call for ever: it is charged once under this name."""
    key_id: str
    budget: TurnBudget | None = None
    is_request: bool = False
    """Whether the call is a request of its own, which the key's rates count. What a turn calls is not."""
    charge: OpenCharge | None = None


class ToolMeter(Protocol):
    """Sets prices of tools aside. Only tools of the operator have one."""

    @property
    def names(self) -> frozenset[str]:
        """What has a price: ``server/tool``, or ``server/*``."""
        ...

    async def prices(self, account_id: str) -> PriceOf:
        """What an account pays, markup included."""
        ...

    async def admit(self, scope: ToolScope, tool: str, payment: Payment) -> None:
        """Set the price of a call aside, as ``payment.charge``, if it has one. Raises PaymentRequired,
        RateLimited or PermissionDenied: it must not be dispatched then."""
        ...
