"""The durable outbox: events for an account's subscribers, written in the transaction that they tell of."""

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, Session, SQLModel

from kit.columns import big_int, json_column, reference
from kit.ids import new_id


class OutboxEvent(SQLModel, table=True):
    """Something that an account may want to hear of; written with what it tells of, delivered later."""

    __tablename__ = "outbox_event"
    __table_args__ = (Index("outbox_event_by_account", "account_id", "created_at"),)

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id", index=False))
    type: str
    data: dict[str, Any] = Field(sa_column=json_column())
    created_at: int = Field(sa_column=big_int())


def record_event(session: Session, account_id: str, kind: str, data: dict[str, Any], *, now_ms: int) -> None:
    """Tell an account's subscribers of what this transaction does; ``data`` holds no secrets."""
    session.add(OutboxEvent(id=new_id("evt"), account_id=account_id, type=kind, data=data, created_at=now_ms))
