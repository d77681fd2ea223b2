"""The schema in test databases: made once by the migrations that users run, then copied."""

import tempfile
from functools import cache
from pathlib import Path

from gateway.migrations import migrate
from kit.db import parse_database_url


@cache
def _migrated_sqlite() -> bytes:
    """The bytes of a database with the schema and nothing in it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        migrate(parse_database_url(f"sqlite:///{file}"))
        return file.read_bytes()


def create_sqlite(url: str) -> None:
    """Make the SQLite database at ``url`` with its schema, unless there is one."""
    file = Path(str(parse_database_url(url).database))
    if not file.exists():
        file.write_bytes(_migrated_sqlite())
