"""Writes that are made for every turn, without the object mapper's part, which is most of their cost.

Objects that the session holds are not told; whoever needs one afterwards reads it again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import JSON, bindparam, update
from sqlmodel import Session, SQLModel

from kit.prepared import BulkInsert, Driver, Prepared
from kit.writer import connection_of

_encode = msgspec.json.Encoder().encode


class TableWrites:
    """Inserts rows of a model, and updates them by their primary key."""

    def __init__(self, model: type[SQLModel]) -> None:
        self._table: Any = model.__table__  # type: ignore[attr-defined]
        (self._key,) = self._table.primary_key.columns
        self._names = [column.name for column in self._table.columns]
        self._json = frozenset(name for name in self._names if isinstance(self._table.c[name].type, JSON))
        self._insert = BulkInsert(self._table)
        self._updates: dict[tuple[str, ...], Prepared] = {}

    def insert(self, session: Session, rows: Sequence[SQLModel]) -> None:
        """Raises DBAPIError."""
        if rows:
            values = [self._driven({name: getattr(row, name) for name in self._names}) for row in rows]
            self._insert.run(_driver(session), values)

    def update(self, session: Session, key: str, values: Mapping[str, Any], **more: int) -> None:
        """Set ``values``, and raise the columns of ``more`` by so much. Raises DBAPIError."""
        given = {**self._driven(values), **{f"more_{name}": count for name, count in more.items()}}
        names = tuple(given)
        statement = self._updates.get(names)
        if statement is None:
            statement = self._updates[names] = self._prepare(values, more)
        statement.run(_driver(session), [{**given, "by_key": key}])

    def _prepare(self, values: Mapping[str, Any], more: Mapping[str, int]) -> Prepared:
        table = self._table
        changes = {name: bindparam(name, type_=table.c[name].type) for name in values}
        for name in more:
            changes[name] = table.c[name] + bindparam(f"more_{name}", type_=table.c[name].type)
        return Prepared(update(table).where(self._key == bindparam("by_key")).values(changes))

    def _driven(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """As the driver takes them: JSON as text, none as NULL."""
        driven = dict(values)
        for name in self._json & driven.keys():
            if driven[name] is not None:
                driven[name] = _encode(driven[name]).decode()
        return driven


def _driver(session: Session) -> Driver:
    """What the session holds is written first: rows may refer to it."""
    session.flush()
    return Driver.of(connection_of(session))
