"""Creates the schema in a test database, by the migrations that users run."""

from gateway.migrations import migrate
from kit.db import parse_database_url


def create_schema(url: str) -> None:
    migrate(parse_database_url(url))
