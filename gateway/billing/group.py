"""Operations that are applied together: a group takes newcomers until a writer takes it."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from gateway.billing.batch import BillingBatch
from gateway.billing.operations import Admit, Credit, Debit, Operation, SetBalance, Settle
from kit.crash_points import Point, reach
from kit.money import Nanos
from kit.writer import is_passing

_APPLIED: dict[type[Operation], Point] = {
    Admit: "billing.hold.applied",
    Settle: "billing.settle.applied",
    Credit: "billing.credit.applied",
    Debit: "billing.credit.applied",
    SetBalance: "billing.credit.applied",
}
_COMMITTED: dict[type[Operation], Point] = {
    Admit: "billing.hold.committed",
    Settle: "billing.settle.committed",
    Credit: "billing.credit.committed",
    Debit: "billing.credit.committed",
    SetBalance: "billing.credit.committed",
}


class Group:
    """Operations that share one pass over the rows; open to newcomers until the writer takes it."""

    def __init__(self, low_balance: Nanos) -> None:
        self._low_balance = low_balance
        self.operations: list[Operation] = []
        self.futures: list[asyncio.Future[Any]] = []
        self._lock = threading.Lock()
        self._taken = False

    def add(self, operation: Operation, future: asyncio.Future[Any]) -> bool:
        with self._lock:
            if self._taken:
                return False
            self.operations.append(operation)
            self.futures.append(future)
            return True

    def write(self, session: Session) -> list[Any]:
        """Apply all operations; a refused one yields its exception and changes nothing. Raises what the
        writer repeats the transaction for."""
        with self._lock:
            self._taken = True
        batch = BillingBatch(session, self.operations, low_balance=self._low_balance)
        outcomes: list[Any] = []
        for operation in self.operations:
            try:
                outcomes.append(batch.apply(operation))
            except DBAPIError as error:
                if is_passing(error):
                    raise
                outcomes.append(error)
            except Exception as refusal:
                outcomes.append(refusal)
        batch.write_back()
        _reach(_APPLIED, self.operations)
        return outcomes

    def committed(self) -> None:
        """What ``write`` did is durable; nobody has been told yet."""
        _reach(_COMMITTED, self.operations)


def _reach(points: dict[type[Operation], Point], operations: Iterable[Operation]) -> None:
    for operation in operations:
        reach(points[type(operation)])
