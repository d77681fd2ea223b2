"""Connect sessions that nobody can use or needs to be told of any more are deleted, with what they sealed."""

from sqlmodel import Session, col, delete, select

from connectors.models import Connection, ConnectSession
from kit.clock import Clock
from kit.db import Database
from vault.store import Vault

KEEP_MS = 7 * 24 * 3_600_000
"""After its expiry, before which every session has ended or can go no further: for so long its link says
kindly that it was used or has expired; afterwards, that it does not work."""
BATCH = 500


class SessionPurge:
    """Walks through all sessions by their ids, a batch at a time, and begins anew at the end.

    A session stays as long as the connection that was made in it: it says what the vendor was asked for
    (``Connections.scopes_asked_for``). Several processes may walk at once.
    """

    def __init__(self, db: Database, vault: Vault, clock: Clock) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._after = ""

    async def step(self) -> None:
        """Look at the next batch, and delete those of it that are over."""
        until = self._clock.now_ms() - KEEP_MS
        self._after = await self._db.write(lambda session: self._purge(session, self._after, until))

    def _purge(self, session: Session, after: str, until: int) -> str:
        """Where the next batch begins; the beginning if this was the last one."""
        batch = select(ConnectSession.id).where(col(ConnectSession.id) > after)
        ids = session.exec(batch.order_by(col(ConnectSession.id)).limit(BATCH)).all()
        lives = select(Connection.id).where(col(Connection.id) == col(ConnectSession.connection_id))
        over = session.exec(
            select(ConnectSession.id, ConnectSession.verifier_secret_id).where(
                col(ConnectSession.id).in_(ids),
                col(ConnectSession.expires_at) <= until,
                ~lives.exists(),
            )
        ).all()
        self._vault.forget(session, *(sealed for _id, sealed in over if sealed is not None))
        session.exec(delete(ConnectSession).where(col(ConnectSession.id).in_([row_id for row_id, _ in over])))
        return ids[-1] if len(ids) == BATCH else ""
