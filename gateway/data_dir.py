"""The folder that holds the database and the vault key."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.settings import DATABASE_FILE, BadSettings, Settings
from kit.db import parse_database_url


def prepare_data_dir(settings: Settings) -> None:
    """Make the data folder and the file of its database, readable by their owner only. Raises BadSettings."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if settings.database_url is None:
            (settings.data_dir / DATABASE_FILE).touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise BadSettings(f"cannot use the data folder {settings.data_dir}: {error.strerror}") from None


@contextmanager
def serving_alone(settings: Settings) -> Iterator[None]:
    """Keep every other server off an SQLite database, until the block or the process ends.

    A server that starts takes what others hold there (money, running turns) for what a dead process left.
    Raises BadSettings, also for a database URL that cannot be used.
    """
    url = parse_database_url(settings.resolved_database_url)
    if url.get_backend_name() != "sqlite":
        yield
        return
    try:
        lock = os.open(f"{url.database}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadSettings(f"cannot lock the database {url.database}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise BadSettings(
            f"another heddle serves {url.database}: SQLite takes one at a time; set HEDDLE_DATABASE_URL to a "
            "PostgreSQL for several"
        ) from None
    try:
        yield
    finally:
        os.close(lock)
