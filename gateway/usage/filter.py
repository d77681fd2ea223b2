"""Whose usage, of when, and of what."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_

from gateway.usage.dimensions import COLUMNS, Dimension
from gateway.usage.tables import EVENT


@dataclass(frozen=True)
class UsageFilter:
    """An account's usage in ``[from_ms, to_ms)``, narrowed by what is not None."""

    account_id: str
    from_ms: int
    to_ms: int
    key_id: str | None = None
    end_user_id: str | None = None
    model: str | None = None
    provider: str | None = None

    @property
    def narrowed(self) -> dict[Dimension, str]:
        """The dimensions that are held to one value."""
        wanted: dict[Dimension, str | None] = {
            "key": self.key_id,
            "end_user": self.end_user_id,
            "model": self.model,
            "provider": self.provider,
        }
        return {dimension: value for dimension, value in wanted.items() if value is not None}

    def events(self, from_ms: int | None = None, to_ms: int | None = None) -> ColumnElement[bool]:
        """The condition on usage events; of the whole period, or of a part of it."""
        conditions: list[Any] = [
            EVENT.c.account_id == self.account_id,
            EVENT.c.created_at >= (self.from_ms if from_ms is None else from_ms),
            EVENT.c.created_at < (self.to_ms if to_ms is None else to_ms),
        ]
        for dimension, value in self.narrowed.items():
            conditions.append(EVENT.c[COLUMNS[dimension]] == value)
        return and_(*conditions)
