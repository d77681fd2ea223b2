"""Core statements for the few places where SQLAlchemy's own execution would be half of the cost.

A ``Prepared`` statement is written like any other, compiled once per database, and then given to the
driver as text. No type of SQLAlchemy's converts the values: give what the driver takes (JSON as text).
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Any

import msgspec
from sqlalchemy import JSON, BindParameter, Boolean, ColumnElement, Connection, Table, bindparam, insert
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal


class OneOf(ColumnElement[bool]):
    """``column IN (…)`` with all its values in one parameter, so that the text is the same for any number.

    The parameter's value is made by ``values_of``.
    """

    inherit_cache = True
    type = Boolean()
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy's own convention
        ("column", InternalTraversal.dp_clauseelement),
        ("values", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: ColumnElement[str], name: str) -> None:
        self.column = column
        self.values: BindParameter[Any] = bindparam(name)


@compiles(OneOf, "sqlite")
def _one_of_sqlite(element: OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in (element.column, element.values))
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - both were compiled


@compiles(OneOf, "postgresql")
def _one_of_postgresql(element: OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in (element.column, element.values))
    return f"{column} = ANY({values})"


def values_of(connection: Connection, values: Collection[str]) -> str | list[str]:
    """The value for a ``OneOf`` parameter."""
    if connection.dialect.name == "sqlite":
        return _encoder.encode(list(values)).decode()
    return list(values)


_encoder = msgspec.json.Encoder()


class Prepared:
    """A statement with named parameters and no literal values of its own."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def rows(self, connection: Connection, parameters: Mapping[str, Any]) -> list[Any]:
        """Run it once; all its rows as tuples. Raises DBAPIError."""
        text, names = self._text(connection.dialect)
        with closing(connection.connection.cursor()) as cursor:
            try:
                cursor.execute(text, _ordered(parameters, names))
                return list(cursor.fetchall())
            except connection.dialect.loaded_dbapi.Error as error:
                raise _wrapped(error, text, connection.dialect) from error

    def run(self, connection: Connection, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each of ``parameters`` (at least one). Raises DBAPIError."""
        text, names = self._text(connection.dialect)
        with closing(connection.connection.cursor()) as cursor:
            try:
                if len(parameters) == 1:
                    cursor.execute(text, _ordered(parameters[0], names))
                else:
                    cursor.executemany(text, [_ordered(one, names) for one in parameters])
            except connection.dialect.loaded_dbapi.Error as error:
                raise _wrapped(error, text, connection.dialect) from error

    def _text(self, dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
        """The statement for a driver; the order of its values where the driver knows no names."""
        known = self._texts.get(dialect.name)
        if known is None:
            compiled = self._statement.compile(dialect=dialect)
            assert isinstance(compiled, SQLCompiler)
            order = tuple(compiled.positiontup or ()) if compiled.positional else None
            self._texts[dialect.name] = known = (compiled.string, order)
        return known


class BulkInsert:
    """New rows of a table, as mappings that name every column (JSON as text).

    PostgreSQL is given all of them as one JSON value: binding some twenty values for each row cost its client
    three times as much.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._each = Prepared(insert(table))
        self._json = frozenset(column.name for column in table.columns if isinstance(column.type, JSON))
        self._text: str | None = None

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert ``rows`` (at least one). Raises DBAPIError."""
        if connection.dialect.name != "postgresql":
            self._each.run(connection, rows)
            return
        if self._text is None:
            self._text = self._from_json(connection.dialect)
        encoded = _encoder.encode([self._raw(row) for row in rows]).decode()
        with closing(connection.connection.cursor()) as cursor:
            try:
                cursor.execute(self._text, (encoded,))
            except connection.dialect.loaded_dbapi.Error as error:
                raise _wrapped(error, self._text, connection.dialect) from error

    def _from_json(self, dialect: Dialect) -> str:
        quote = dialect.identifier_preparer.quote
        name = quote(self._table.name)
        columns = ", ".join(quote(column.name) for column in self._table.columns)
        rows = f"json_populate_recordset(NULL::{name}, %s::json)"
        return f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {rows}"  # noqa: S608 - our own names

    def _raw(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self._json:
            return row
        raw = dict(row)
        for name in self._json:
            if raw[name] is not None:
                raw[name] = msgspec.Raw(raw[name].encode())
        return raw


def _wrapped(error: Any, text: str, dialect: Dialect) -> BaseException:
    """A driver's error as SQLAlchemy's."""
    wrapped: BaseException = DBAPIError.instance(
        text,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=dialect.is_disconnect(error, None, None),
        dialect=dialect,
    )
    return wrapped


def _ordered(parameters: Mapping[str, Any], names: tuple[str, ...] | None) -> Any:
    return parameters if names is None else tuple([parameters[name] for name in names])
