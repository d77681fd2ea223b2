"""Sealed secrets at rest."""

from sqlmodel import Field, SQLModel

from kit.columns import big_int, blob


class Secret(SQLModel, table=True):
    """One sealed secret. ``owner`` and ``purpose`` are part of what the seal covers."""

    __tablename__ = "secret"

    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    owner: str = Field(index=True)
    purpose: str
    key_version: str = Field(index=True)
    wrapped_key: bytes = Field(sa_column=blob())
    sealed: bytes = Field(sa_column=blob())
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())

    def __repr_args__(self) -> list[tuple[str | None, object]]:
        return [("id", self.id), ("account_id", self.account_id), ("purpose", self.purpose)]
