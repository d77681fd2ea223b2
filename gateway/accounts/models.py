"""Accounts (a developer's organisation) and their API keys."""

from typing import Any

from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column, reference


class Account(SQLModel, table=True):
    __tablename__ = "account"

    id: str = Field(primary_key=True)
    name: str
    created_at: int = Field(sa_column=big_int())


class ApiKey(SQLModel, table=True):
    """An API key. Only the SHA-256 of the secret is kept; ``prefix`` is what people may see of it."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id"))
    secret_sha256: str = Field(unique=True)
    prefix: str
    name: str
    scope: str
    end_user_id: str | None = None
    cap_nanos: int | None = Field(default=None, sa_column=big_int(nullable=True))
    cap_period: str = "lifetime"
    models: list[str] | None = Field(default=None, sa_column=json_column(nullable=True))
    expires_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    revoked_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    created_at: int = Field(sa_column=big_int())

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("account_id", self.account_id), ("prefix", self.prefix)]
