"""Sums of usage events. ``rollup`` writes them, ``reports`` reads them.

Invariants, per account, with R = ``wallet.usage_rolled_until``:
- an ``hour`` row of UsageTotal sums exactly the events of its hour before R; a ``day`` or ``month`` row sums
  exactly the ``hour`` rows of its hours that ended by R;
- a UsageSlice sums exactly the events of its day before R;
- no event is ever written with a time before R (the billing batch, under the wallet's lock, sees to it).
So a report made of sums before R and of events from R on equals the sum over the events, always.
"""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from kit.columns import big_int

SUMS = (
    "cost_nanos",
    "request_count",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
"""The columns that both tables add up."""


class UsageTotal(SQLModel, table=True):
    """The usage in one hour, day or month (UTC) of one value of one dimension, e.g. of one key."""

    __tablename__ = "usage_total"
    __table_args__ = {"sqlite_with_rowid": False}

    account_id: str = Field(primary_key=True, foreign_key="account.id")
    dimension: str = Field(primary_key=True)
    grain: str = Field(primary_key=True)
    start_ms: int = Field(sa_column=big_int(primary_key=True))
    value: str = Field(primary_key=True)
    """Empty for the dimension ``all`` and for what has no value, e.g. usage of no end user."""
    cost_nanos: int = Field(sa_column=big_int())
    request_count: int = Field(sa_column=big_int())
    input_tokens: int = Field(sa_column=big_int())
    output_tokens: int = Field(sa_column=big_int())
    cache_read_tokens: int = Field(sa_column=big_int())
    cache_write_tokens: int = Field(sa_column=big_int())


class UsageSlice(SQLModel, table=True):
    """The usage on one day (UTC) of one combination of all dimensions, for reports with filters."""

    __tablename__ = "usage_slice"
    __table_args__ = (
        Index("usage_slice_by_end_user", "account_id", "end_user_id", "day_ms"),
        Index("usage_slice_by_model", "account_id", "model", "day_ms"),
        Index("usage_slice_by_provider", "account_id", "provider", "day_ms"),
        {"sqlite_with_rowid": False},
    )

    account_id: str = Field(primary_key=True, foreign_key="account.id")
    key_id: str = Field(primary_key=True)
    day_ms: int = Field(sa_column=big_int(primary_key=True))
    end_user_id: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    provider: str = Field(primary_key=True)
    tool: str = Field(primary_key=True)
    cost_nanos: int = Field(sa_column=big_int())
    request_count: int = Field(sa_column=big_int())
    input_tokens: int = Field(sa_column=big_int())
    output_tokens: int = Field(sa_column=big_int())
    cache_read_tokens: int = Field(sa_column=big_int())
    cache_write_tokens: int = Field(sa_column=big_int())
