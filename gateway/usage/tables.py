"""The tables of usage as SQLAlchemy Core sees them: sums are added and read as rows, not as objects."""

from typing import Any

from sqlmodel import SQLModel

from gateway.billing.models import UsageEvent, Wallet
from gateway.usage.models import UsageSlice, UsageTotal


def _table(model: type[SQLModel]) -> Any:
    return model.__table__  # type: ignore[attr-defined]


EVENT, TOTAL, SLICE, WALLET = (_table(model) for model in (UsageEvent, UsageTotal, UsageSlice, Wallet))
