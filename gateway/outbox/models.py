"""The durable outbox."""

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column, reference


class OutboxEvent(SQLModel, table=True):
    """Something that an account may want to hear of; written with what it tells of, delivered later."""

    __tablename__ = "outbox_event"
    __table_args__ = (Index("outbox_event_by_account", "account_id", "created_at"),)

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id", index=False))
    type: str
    data: dict[str, Any] = Field(sa_column=json_column())
    created_at: int = Field(sa_column=big_int())
