"""Reading usage events: totals and groups for a period, a key's own spending."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func
from sqlmodel import col, select

from gateway.accounts.models import ApiKey
from gateway.billing.models import UsageEvent
from kit.db import Database
from kit.money import micros

GROUPS = ("key", "model", "end_user")


@dataclass(frozen=True)
class UsageFilter:
    """Whose usage, in ``[from_ms, to_ms)``."""

    account_id: str
    from_ms: int
    to_ms: int
    key_id: str | None = None

    def condition(self) -> ColumnElement[bool]:
        where = (
            (col(UsageEvent.account_id) == self.account_id)
            & (col(UsageEvent.created_at) >= self.from_ms)
            & (col(UsageEvent.created_at) < self.to_ms)
        )
        if self.key_id is not None:
            where = where & (col(UsageEvent.key_id) == self.key_id)
        return where


def _sums() -> tuple[Any, ...]:
    return (
        func.coalesce(func.sum(UsageEvent.cost_nanos), 0),
        func.count(),
        func.coalesce(
            func.sum(
                UsageEvent.input_tokens
                + col(UsageEvent.cache_read_tokens)
                + col(UsageEvent.cache_write_tokens)
            ),
            0,
        ),
        func.coalesce(func.sum(UsageEvent.output_tokens), 0),
    )


def _render(sums: tuple[Any, ...]) -> dict[str, int]:
    cost, count, input_tokens, output_tokens = (int(value) for value in sums)
    return {
        "cost_micros": micros(cost),
        "request_count": count,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }


class UsageReports:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def report(self, wanted: UsageFilter) -> dict[str, Any]:
        """The wire form of ``GET /v1/usage``: totals, and the same split by key, model and end user."""
        async with self._db.session() as session:
            total = (await session.exec(select(*_sums()).where(wanted.condition()))).one()
            groups = {
                name: list((await session.exec(self._grouped(column, wanted))).all())
                for name, column in (
                    ("key", col(UsageEvent.key_id)),
                    ("model", col(UsageEvent.model)),
                    ("end_user", col(UsageEvent.end_user_id)),
                )
            }
            key_ids = [row[0] for row in groups["key"]]
            keys = {
                key.id: key for key in await session.exec(select(ApiKey).where(col(ApiKey.id).in_(key_ids)))
            }
        totals = _render(tuple(total))
        return {
            "from_ms": wanted.from_ms,
            "to_ms": wanted.to_ms,
            "total_cost_micros": totals["cost_micros"],
            "total_input_tokens": totals["input_tokens"],
            "total_output_tokens": totals["output_tokens"],
            "request_count": totals["request_count"],
            "by_key": [
                {
                    "key_id": row[0],
                    "key_name": keys[row[0]].name if row[0] in keys else None,
                    "key_prefix": keys[row[0]].prefix if row[0] in keys else None,
                    **_render(tuple(row[1:])),
                }
                for row in groups["key"]
            ],
            "by_model": [
                {"model": row[0], "model_slug": row[0], **_render(tuple(row[1:]))} for row in groups["model"]
            ],
            "by_end_user": [{"end_user_id": row[0], **_render(tuple(row[1:]))} for row in groups["end_user"]],
        }

    async def events(self, wanted: UsageFilter, *, limit: int, before: tuple[int, str] | None) -> list[Any]:
        """Up to ``limit + 1`` usage events, newest first."""
        query = select(UsageEvent).where(wanted.condition())
        if before is not None:
            created_at, event_id = before
            query = query.where(
                (col(UsageEvent.created_at) < created_at)
                | ((col(UsageEvent.created_at) == created_at) & (col(UsageEvent.id) < event_id))
            )
        query = query.order_by(col(UsageEvent.created_at).desc(), col(UsageEvent.id).desc()).limit(limit + 1)
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    @staticmethod
    def _grouped(column: Any, wanted: UsageFilter) -> Any:
        sums = _sums()
        return select(column, *sums).where(wanted.condition()).group_by(column).order_by(sums[0].desc())
