"""The tables of billing as SQLAlchemy Core sees them: its writer works on rows, not on objects."""

from typing import Any

from sqlmodel import SQLModel

from gateway.accounts.models import Account, ApiKey, EndUser
from gateway.billing.models import Hold, KeyRate, LedgerEntry, Process, Spend, UsageEvent, Wallet
from kit.outbox import OutboxEvent


def _table(model: type[SQLModel]) -> Any:
    return model.__table__  # type: ignore[attr-defined]


WALLET, HOLD, SPEND = _table(Wallet), _table(Hold), _table(Spend)
LEDGER, USAGE, KEY = _table(LedgerEntry), _table(UsageEvent), _table(ApiKey)
RATE, END_USER, OUTBOX = _table(KeyRate), _table(EndUser), _table(OutboxEvent)
ACCOUNT, PROCESS = _table(Account), _table(Process)
