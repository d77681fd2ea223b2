"""The database schema's history (Alembic), for SQLite and PostgreSQL alike."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import URL

from kit.db import sync_engine


def migrate(url: URL) -> None:
    """Bring the database to the newest schema; does nothing if it is there already."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["engine"] = engine = sync_engine(url)
    try:
        command.upgrade(config, "head")
    finally:
        engine.dispose()
