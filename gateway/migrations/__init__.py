"""The database schema's history (Alembic), for SQLite and PostgreSQL alike."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import URL

from kit.db import sync_engine


def migrate(url: URL, *, to: str = "head") -> None:
    """Bring the database to the newest schema; does nothing if it is there already. An older revision is
    for tests of the later ones."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["engine"] = engine = sync_engine(url)
    try:
        command.upgrade(config, to)
    finally:
        engine.dispose()
