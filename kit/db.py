"""The database: SQLite (WAL) or PostgreSQL behind one small interface.

Reads go through ``Database.session()`` (SQLAlchemy async). Writes go through ``Database.write()``, which
group-commits them (``kit.writer``); durability is full on both: ``synchronous=FULL``, ``fsync`` on.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.sqlite_reads import ReadConnection
from kit.sqlite_vectors import add_vector_functions, check_vector_functions
from kit.writer import GroupCommitWriter

T = TypeVar("T")

SQLITE_BUSY_TIMEOUT_MS = 10_000
SQLITE_PRAGMAS = (
    f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
)
POSTGRES_WRITER_THREADS = 4
READ_POOL_SIZE = 8


class BadDatabaseUrl(ValueError):
    """The database URL cannot be used; the message says why, without the password."""


def parse_database_url(text: str) -> URL:
    """``sqlite:///path/file.db`` or ``postgresql://user:pass@host/name``. Raises BadDatabaseUrl."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise BadDatabaseUrl("not a database URL: expected sqlite:///file.db or postgresql://…") from None
    backend = url.get_backend_name()
    if backend in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise BadDatabaseUrl("SQLite needs a file: sqlite:///path/heddle.db")
        return url.set(drivername="sqlite")
    raise BadDatabaseUrl(f"{backend} is not supported: use sqlite:///file.db or postgresql://…")


def sync_engine(url: URL, *, writing: bool = True, pool_size: int = 1) -> Engine:
    """A blocking engine for the writer threads and for migrations."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, pool_size=pool_size, connect_args={"check_same_thread": False})
        _tune_sqlite(engine, begin="BEGIN IMMEDIATE" if writing else "BEGIN")
        return engine
    return create_engine(url, pool_size=pool_size, max_overflow=2, pool_pre_ping=True)


def _async_engine(url: URL, *, vector_functions: bool) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        path, threads = str(url.database), ThreadPoolExecutor(READ_POOL_SIZE, "heddle-reader")

        async def connect(*_arguments: Any, **_options: Any) -> ReadConnection:
            connection = ReadConnection(path, SQLITE_PRAGMAS, threads)
            if vector_functions:
                add_vector_functions(connection.driver)
            return connection

        engine = create_async_engine(
            url.set(drivername="sqlite+aiosqlite"), pool_size=READ_POOL_SIZE, async_creator=connect
        )
        _begin_with(engine.sync_engine, "BEGIN")
        return engine
    return create_async_engine(url, pool_size=READ_POOL_SIZE, max_overflow=8, pool_pre_ping=True)


def _tune_sqlite(engine: Engine, *, begin: str) -> None:
    """WAL, full durability, foreign keys; and BEGIN under our control instead of the driver's."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in SQLITE_PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    _begin_with(engine, begin)


def _begin_with(engine: Engine, begin: str) -> None:
    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.connection.cursor().execute(begin)


def one_at_a_time(connection: Connection, name: str) -> None:
    """Let no other process hold ``name`` until this transaction has ended (PostgreSQL advisory lock). On
    SQLite a transaction that writes is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"heddle {name}"})


class Database:
    """One database, opened once per process and closed at shutdown."""

    def __init__(self, url: str, *, vector_functions: bool = False) -> None:
        """``vector_functions``: reads can measure distances of vectors, on SQLite too. Raises
        NoVectorFunctions."""
        self.url = parse_database_url(url)
        self.dialect = self.url.get_backend_name()
        if vector_functions and self.dialect == "sqlite":
            check_vector_functions()
        threads = 1 if self.dialect == "sqlite" else POSTGRES_WRITER_THREADS
        self._write_engine = sync_engine(self.url, pool_size=threads)
        self._read_engine = _async_engine(self.url, vector_functions=vector_functions)
        self._listeners: list[Callable[[Sequence[str]], None]] = []
        self._writer = GroupCommitWriter(self._write_engine, threads=threads, on_touched=self._tell)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session for reading; rows stay usable after it ends. Writes belong in ``write``."""
        async with AsyncSession(self._read_engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """A session for reading whose statements all see the database as it is at one moment."""
        async with self.session() as session:
            if self.dialect == "postgresql":  # on SQLite every transaction is one
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    async def write(self, write: Callable[[Session], T]) -> T:
        """Run ``write`` in a durable transaction; see GroupCommitWriter.submit for the contract."""
        return await self._writer.submit(write)

    def on_touched(self, listener: Callable[[Sequence[str]], None]) -> None:
        """Call ``listener`` after each commit of this process that touched something (``kit.writer``)."""
        self._listeners.append(listener)

    def _tell(self, names: Sequence[str]) -> None:
        for listener in self._listeners:
            listener(names)

    async def close(self) -> None:
        self._writer.close()
        self._write_engine.dispose()
        await self._read_engine.dispose()
