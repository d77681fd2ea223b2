"""What is kept of a stored response beside its turn."""

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column, reference


class StoredResponse(SQLModel, table=True):
    """A response: what was asked, and the turn that answers it.

    ``request`` is the request's body without its input; ``items`` its input; ``system`` the words of system
    and developer messages that are in force, its own and those before it; ``conversation`` the name by which
    its thread was given, None if nobody but responses knows of that thread.
    """

    __tablename__ = "stored_response"
    __table_args__ = (Index("stored_response_by_turn", "turn_id", unique=True),)

    id: str = Field(primary_key=True)
    account_id: str
    end_user_id: str | None = None
    thread_id: str = Field(sa_column=reference("thread.id", cascade=True))
    turn_id: str
    previous_id: str | None = None
    conversation: str | None = None
    request: dict[str, Any] = Field(sa_column=json_column())
    items: list[dict[str, Any]] = Field(sa_column=json_column())
    system: list[str] = Field(default_factory=list, sa_column=json_column())
    background: bool = False
    created_at: int = Field(sa_column=big_int())
