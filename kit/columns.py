"""Column types shared by all tables, equal in meaning on SQLite and PostgreSQL."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB


def big_int(*, nullable: bool = False, index: bool = False, primary_key: bool = False) -> Column[int]:
    """A 64-bit integer: amounts in nanos, Unix milliseconds, sequence numbers."""
    if primary_key:
        return Column(BigInteger, primary_key=True, autoincrement=False)
    return Column(BigInteger, nullable=nullable, index=index)


def json_column(*, nullable: bool = False) -> Column[Any]:
    """A JSON value: JSON text on SQLite, JSONB on PostgreSQL."""
    return Column(
        JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"), nullable=nullable
    )


def blob(*, nullable: bool = False) -> Column[bytes]:
    return Column(LargeBinary, nullable=nullable)


def reference(
    target: str, *, index: bool = True, nullable: bool = False, cascade: bool = False, unique: bool = False
) -> Column[str]:
    """A foreign key to a text id, e.g. ``reference("thread.id")``."""
    key = ForeignKey(target, ondelete="CASCADE" if cascade else None)
    return Column(key, nullable=nullable, index=index, unique=unique or None)
