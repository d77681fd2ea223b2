"""Fixtures of the threads' tests."""

import pytest

from kit.clock import ManualClock
from kit.db import Database
from tests.threads.library import Library


@pytest.fixture
def library(db: Database, clock: ManualClock) -> Library:
    """A library on each of the two engines."""
    return Library(db, clock)


@pytest.fixture
def sqlite_library(sqlite_db: Database, clock: ManualClock) -> Library:
    """A library on SQLite, for what does not depend on the engine."""
    return Library(sqlite_db, clock)
