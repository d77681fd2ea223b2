"""The rows of connect sessions: found, and moved on only from where they were expected."""

from typing import Any

from sqlmodel import Session, col, select, update

from connectors.connect_link import FlowEnd, LinkUnusable
from connectors.models import ConnectSession
from kit.db import Database
from kit.errors import NotFound

ENDS = {"done": "connected", "cancelled": "cancelled", "failed": "failed"}


class SessionRows:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def by(self, condition: Any) -> ConnectSession | None:
        async with self._db.session() as session:
            return (await session.exec(select(ConnectSession).where(condition))).first()

    async def get(self, account_id: str, session_id: str) -> ConnectSession:
        """Raises NotFound."""
        row = await self.by(ConnectSession.id == session_id)
        if row is None or row.account_id != account_id:
            raise NotFound(f"connect session {session_id} not found")
        return row

    async def ended(self, session_id: str) -> FlowEnd:
        """How a flow ended, to be shown again. Raises LinkUnusable if it has not ended."""
        row = await self.by(ConnectSession.id == session_id)
        if row is None or row.status not in ENDS:
            raise LinkUnusable("unknown")
        return FlowEnd(ENDS[row.status], row, row.connection_id)

    async def change(self, row: ConnectSession, before: set[str], **values: Any) -> bool:
        """Whether the session still had one of these statuses; only then it is changed."""

        def write(session: Session) -> bool:
            moved = session.exec(
                update(ConnectSession)
                .where(col(ConnectSession.id) == row.id, col(ConnectSession.status).in_(before))
                .values(**values)
            )
            return bool(moved.rowcount == 1)

        return await self._db.write(write)
