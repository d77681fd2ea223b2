"""Threads that come into being with many messages: nobody sees one before it is whole.

The messages are written some at a time, so that other writes get their turn. Until the last of them the
thread counts as deleted, from an hour ahead on: if its process dies, it is purged like any other.
"""

from sqlalchemy import func
from sqlmodel import Session, col, select

from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict
from threads.models import Message, SearchBacklog, Thread

BUILDING_MS = 3_600_000


class ThreadBuilder:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def hide(self, session: Session, thread: Thread) -> None:
        """Store the thread, unseen."""
        thread.deleted_at = self._clock.now_ms() + BUILDING_MS
        session.add(thread)
        session.flush()

    async def show(self, thread: Thread) -> Thread:
        """Let it be seen, and searched shortly after. Raises Conflict if messages are missing."""

        def write(session: Session) -> Thread:
            built = session.exec(
                select(Thread).where(Thread.id == thread.id).execution_options(populate_existing=True)
            ).one_or_none()
            count = session.exec(
                select(func.count()).select_from(Message).where(col(Message.thread_id) == thread.id)
            ).one()
            if built is None or count != built.last_seq:
                raise Conflict("the thread changed while it was copied; try again", code="thread_changed")
            built.deleted_at = None
            session.add(built)
            if count:
                session.add(SearchBacklog(thread_id=thread.id, until_seq=count))
            return built

        return await self._db.write(write)
