"""Which processes live: each says so in a row of its own, so that the others can tell that one has died.

Only where several processes share a database. A process that was taken for dead and was only paused does no
harm: what it settles is charged without its hold, as far as the wallet and the caps allow.
"""

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import Session

from gateway.billing.tables import HOLD, PROCESS

DEAD_AFTER_MS = 45_000
"""A process that has not been seen for this long is taken for dead: four signs of life are missing. The
clocks of the machines may differ by half of it."""


def seen(session: Session, owner: str, now_ms: int) -> None:
    """Note that ``owner`` lives."""
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = insert(PROCESS).values(owner=owner, seen_at=now_ms)
    connection.execute(
        row.on_conflict_do_update(index_elements=[PROCESS.c.owner], set_={"seen_at": row.excluded.seen_at})
    )


def of_the_dead(unseen_since: int) -> ColumnElement[bool]:
    """The holds of processes that were not seen since. A hold is a sign of life, too: younger ones stay."""
    dead = select(PROCESS.c.owner).where(PROCESS.c.seen_at < unseen_since)
    found: ColumnElement[bool] = HOLD.c.owner.in_(dead) & (HOLD.c.created_at < unseen_since)
    return found


def forget_the_dead(session: Session, unseen_since: int) -> None:
    """Drop the rows of processes that were not seen since and hold nothing any more."""
    holds_something = exists().where(HOLD.c.owner == PROCESS.c.owner)
    session.connection().execute(delete(PROCESS).where(PROCESS.c.seen_at < unseen_since, ~holds_something))
