"""Core statements for the few places where SQLAlchemy's own execution would be half of the cost.

A ``Prepared`` statement is written like any other, compiled once per database, and then given to the
driver as text. No type of SQLAlchemy's converts the values: give what the driver takes (JSON as text).

All statements of a transaction share the cursor of a ``Driver``: getting at a connection's driver, and a
cursor from it, cost as much as a small statement.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
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


_encoder = msgspec.json.Encoder()

_Order = Callable[[Mapping[str, Any]], Any]
"""Makes the tuple of values that a driver without named parameters takes."""


class Driver:
    """The driver under a connection, with one cursor for all that is asked through it.

    It lives as long as the driver's connection: a cursor left to the garbage collector is reset by whichever
    thread that runs in, in the middle of what this connection does by then.
    """

    @classmethod
    def of(cls, connection: Connection) -> "Driver":
        known: Driver | None = connection.info.get(cls)
        if known is None:
            connection.info[cls] = known = cls(connection)
        return known

    def __init__(self, connection: Connection) -> None:
        self.dialect = connection.dialect
        self._cursor = connection.connection.cursor()
        self._error = self.dialect.loaded_dbapi.Error
        self._binds_lists = self.dialect.name == "postgresql"

    def values_of(self, values: Collection[str]) -> str | list[str]:
        """The value for a ``OneOf`` parameter."""
        return list(values) if self._binds_lists else _encoder.encode(list(values)).decode()

    def execute(self, text: str, parameters: Any) -> None:
        """Raises DBAPIError, as do the other methods."""
        try:
            self._cursor.execute(text, parameters)
        except self._error as error:
            raise self._wrapped(error, text) from error

    def execute_each(self, text: str, parameters: Sequence[Any]) -> None:
        try:
            self._cursor.executemany(text, parameters)
        except self._error as error:
            raise self._wrapped(error, text) from error

    def rows(self, text: str, parameters: Any) -> list[Any]:
        try:
            self._cursor.execute(text, parameters)
            return list(self._cursor.fetchall())
        except self._error as error:
            raise self._wrapped(error, text) from error

    def _wrapped(self, error: Any, text: str) -> BaseException:
        """A driver's error as SQLAlchemy's."""
        wrapped: BaseException = DBAPIError.instance(
            text,
            None,
            error,
            self._error,
            hide_parameters=True,
            connection_invalidated=self.dialect.is_disconnect(error, None, None),
            dialect=self.dialect,
        )
        return wrapped


class Prepared:
    """A statement with named parameters and no literal values of its own."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, tuple[str, _Order]] = {}

    def rows(self, driver: Driver, parameters: Mapping[str, Any]) -> list[Any]:
        """Run it once; all its rows as tuples. Raises DBAPIError."""
        text, order = self._texts.get(driver.dialect.name) or self._compile(driver.dialect)
        return driver.rows(text, order(parameters))

    def run(self, driver: Driver, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each of ``parameters`` (at least one). Raises DBAPIError."""
        text, order = self._texts.get(driver.dialect.name) or self._compile(driver.dialect)
        if len(parameters) == 1:
            driver.execute(text, order(parameters[0]))
        else:
            driver.execute_each(text, list(map(order, parameters)))

    def _compile(self, dialect: Dialect) -> tuple[str, _Order]:
        compiled = self._statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        order = _order(compiled.positiontup or ()) if compiled.positional else _as_they_are
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

    def run(self, driver: Driver, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert ``rows`` (at least one). Raises DBAPIError."""
        if driver.dialect.name != "postgresql":
            self._each.run(driver, rows)
            return
        if self._text is None:
            self._text = self._from_json(driver.dialect)
        driver.execute(self._text, (_encoder.encode([self._raw(row) for row in rows]).decode(),))

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


def _as_they_are(parameters: Mapping[str, Any]) -> Any:
    return parameters


def _order(names: Sequence[str]) -> _Order:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda parameters: tuple([parameters[name] for name in names])
