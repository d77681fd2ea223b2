"""When connections were last used: noted in memory, written down once a minute, never while a call waits."""

from sqlmodel import Session, col, update

from connectors.models import Connection
from kit.db import Database

MAX_NOTED = 10_000
ROWS_AT_ONCE = 500


class LastUsed:
    """A crash loses at most what has not been written yet."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: dict[str, int] = {}

    def note(self, connection_id: str, now_ms: int) -> None:
        if len(self._noted) < MAX_NOTED or connection_id in self._noted:
            self._noted[connection_id] = now_ms

    async def write(self) -> None:
        """Write down what was noted since the last time."""
        noted, self._noted = list(self._noted.items()), {}
        for start in range(0, len(noted), ROWS_AT_ONCE):
            part = sorted(noted[start : start + ROWS_AT_ONCE])  # in one order, whoever writes
            await self._db.write(lambda session, part=part: _write(session, part))  # type: ignore[misc]


def _write(session: Session, used: list[tuple[str, int]]) -> None:
    for connection_id, at_ms in used:
        session.exec(
            update(Connection)
            .where(
                col(Connection.id) == connection_id,
                (col(Connection.last_used_at).is_(None)) | (col(Connection.last_used_at) < at_ms),
            )
            .values(last_used_at=at_ms)
        )
