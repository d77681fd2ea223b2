"""Accounts (a developer's organisation) and their API keys."""

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from kit.caller import Mode
from kit.columns import big_int, json_column, reference


class Account(SQLModel, table=True):
    __tablename__ = "account"

    id: str = Field(primary_key=True)
    name: str
    markup: str | None = None
    """Added to providers' prices as a fraction (``0.07``), where it differs from the installation's."""
    test_of: str | None = Field(default=None, foreign_key="account.id", index=True, unique=True)
    """The live account whose twin this is: it has test keys and play money (see ``twins``)."""
    created_at: int = Field(sa_column=big_int())

    @property
    def mode(self) -> Mode:
        return "live" if self.test_of is None else "test"


class EndUser(SQLModel, table=True):
    """What is known of an end user of an account: how much may be spent for it, and what it is billed.

    ``id`` is made of the account's and of the developer's own ``end_user_id``, so that it is unique among
    all accounts. Only end users of whom something is to be kept have a row.
    """

    __tablename__ = "end_user"
    __table_args__ = (UniqueConstraint("account_id", "end_user_id"),)

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id"))
    end_user_id: str
    budget_nanos: int | None = Field(default=None, sa_column=big_int(nullable=True))
    budget_period: str = "lifetime"
    markup: str | None = None
    """What its developer adds to the cost when billing it, as a fraction."""
    meta: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())


class AccountBranding(SQLModel, table=True):
    """How a live account looks on the hosted pages; what is None is the usual. ``logo``: a PNG."""

    __tablename__ = "account_branding"

    account_id: str = Field(primary_key=True, foreign_key="account.id")
    name: str | None = None
    color: str | None = None
    logo_url: str | None = None
    logo: bytes | None = None
    logo_sha256: str | None = Field(default=None, index=True)
    updated_at: int = Field(sa_column=big_int())


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
    rpm: int | None = None
    tpm: int | None = Field(default=None, sa_column=big_int(nullable=True))
    max_concurrent: int | None = None
    on_disconnect: str = "cancel"
    models: list[str] | None = Field(default=None, sa_column=json_column(nullable=True))
    expires_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    revoked_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    created_at: int = Field(sa_column=big_int())

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("account_id", self.account_id), ("prefix", self.prefix)]
