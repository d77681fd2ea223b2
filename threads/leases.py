"""Who works on a turn: leases in its row, renewed while its process lives, taken over when they run out."""

from typing import Any

from sqlalchemy import bindparam, true
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select, update

from kit.clock import Clock
from kit.crash_points import reach
from kit.db import Database
from kit.prepared import Driver, Prepared
from kit.writer import connection_of
from threads.model_client import LeaseLost
from threads.models import Turn

LEASE_MS = 30_000

_TURN: Any = Turn.__table__  # type: ignore[attr-defined]
_lock_turn = Prepared(
    select_columns(_TURN.c.lease_owner, _TURN.c.attempt, _TURN.c.status)
    .where(_TURN.c.id == bindparam("turn_id"))
    .with_for_update()
)


class Leases:
    """The leases of one process, named ``owner``."""

    def __init__(self, db: Database, clock: Clock, owner: str) -> None:
        self._db = db
        self._clock = clock
        self.owner = owner

    async def take(self, turn_id: str, *, expected_attempt: int, force: bool) -> Turn | None:
        """Lease a running turn for a new attempt; None if somebody was faster, or holds it still.

        ``force`` ignores a lease that has time left: only for a process that knows itself to be alone.
        """
        now = self._clock.now_ms()
        free = true() if force else col(Turn.lease_until) < now

        def write(session: Session) -> Turn | None:
            result = session.exec(
                update(Turn)
                .where(
                    col(Turn.id) == turn_id,
                    col(Turn.status) == "running",
                    col(Turn.attempt) == expected_attempt,
                    free,
                )
                .values(
                    lease_owner=self.owner,
                    lease_until=now + LEASE_MS,
                    attempt=Turn.attempt + 1,
                    updated_at=now,
                )
            )
            if result.rowcount != 1:
                return None
            reach("turn.take.applied")
            return session.exec(
                select(Turn).where(Turn.id == turn_id).execution_options(populate_existing=True)
            ).one()

        taken = await self._db.write(write)
        if taken is not None:
            reach("turn.take.committed")
        return taken

    async def renew(self, turn_ids: list[str]) -> None:
        """Prolong the leases of turns that this process is running."""
        until = self._clock.now_ms() + LEASE_MS

        def write(session: Session) -> None:
            session.exec(
                update(Turn)
                .where(col(Turn.id).in_(turn_ids), col(Turn.lease_owner) == self.owner)
                .values(lease_until=until)
            )

        if turn_ids:
            await self._db.write(write)

    async def release(self, turn: Turn) -> None:
        """Give a running turn up (shutdown): whoever comes next may take it at once. Raises LeaseLost."""

        def write(session: Session) -> None:
            self._hold(session, turn)
            session.exec(update(Turn).where(col(Turn.id) == turn.id).values(lease_until=0))

        await self._db.write(write)

    async def orphans(self, *, any_owner_but_me: bool) -> list[tuple[str, int]]:
        """Running turns whose process is gone, as (id, attempt)."""
        stale = col(Turn.lease_until) < self._clock.now_ms()
        if any_owner_but_me:
            stale = stale | (col(Turn.lease_owner) != self.owner)
        query = select(Turn.id, Turn.attempt).where(Turn.status == "running", stale)
        async with self._db.session() as session:
            return [(row[0], row[1]) for row in (await session.exec(query)).all()]

    async def to_cancel(self, turn_ids: list[str]) -> list[str]:
        """Those of these running turns that somebody wants to be cancelled."""
        if not turn_ids:
            return []
        query = select(Turn.id).where(col(Turn.id).in_(turn_ids), col(Turn.cancel_requested).is_(True))
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    def _hold(self, session: Session, turn: Turn) -> None:
        """Make sure, under the row's lock, that this process still holds the lease. Raises LeaseLost."""
        if not self._holds(session, turn):
            raise LeaseLost(turn.id)

    def _holds(self, session: Session, turn: Turn) -> bool:
        session.flush()
        rows = _lock_turn.rows(Driver.of(connection_of(session)), {"turn_id": turn.id})
        return [tuple(row) for row in rows] == [(self.owner, turn.attempt, "running")]
