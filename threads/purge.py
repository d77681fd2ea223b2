"""Purging: what remains of deleted threads goes for good, in the background.

Messages and what is found of them, turns with their events, tool calls and pending actions all go; usage
events stay, which hold no content. The thread's own row goes last: until then a purge that was cut off is
taken up again.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from sqlalchemy import text, tuple_
from sqlmodel import Session, col, delete, select

from kit.clock import Clock
from kit.db import Database
from threads.models import Message, Thread, ThreadChange, ToolCallRow, ToolOutput, Turn, TurnEventChunk

logger = logging.getLogger("heddle.threads")

PURGE_EVERY_S = 600.0
ROWS_AT_ONCE = 500
TURNS_AT_ONCE = 50
OUTPUTS_AT_ONCE = 10
"""Each may have 8 MiB."""
THREADS_AT_ONCE = 10_000
INDEX_PAGES_AT_ONCE = 64
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a step has deleted."""

    messages: int
    others: int

    def __bool__(self) -> bool:
        return self.messages + self.others > 0


class Purger:
    """Any number of processes may purge the same database."""

    def __init__(self, db: Database, clock: Clock, *, keep_h: float) -> None:
        self._db = db
        self._clock = clock
        self._keep_ms = round(keep_h * HOUR_MS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._purge_for_ever())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def purge(self) -> int:
        """Purge all threads that were deleted long enough ago; returns how many. A part at a time: between
        two the writer serves whoever waits."""
        purged = 0
        while due := await self._due():
            had_messages, empty = False, []
            for thread_id in due:
                while taken := await self._db.write(partial(_empty_step, thread_id=thread_id)):
                    had_messages = had_messages or taken.messages > 0
                if taken is not None:
                    empty.append(thread_id)
            if had_messages and self._db.dialect == "sqlite":
                await self._scrub_index()
            for start in range(0, len(empty), ROWS_AT_ONCE):
                part = empty[start : start + ROWS_AT_ONCE]
                purged += await self._db.write(partial(_forget, thread_ids=part))
            if len(empty) < len(due):
                break  # the others are being purged by another process
        return purged

    async def _due(self) -> list[str]:
        query = (
            select(Thread.id)
            .where(col(Thread.deleted_at) <= self._clock.now_ms() - self._keep_ms)
            .order_by(col(Thread.deleted_at))
            .limit(THREADS_AT_ONCE)
        )
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def _scrub_index(self) -> None:
        """Rewrite SQLite's full-text index: a deleted row's words are struck out in it, and leave only when
        the part that they are in is merged with others."""
        pages = -INDEX_PAGES_AT_ONCE  # below zero: take all parts into the merge
        while await self._db.write(partial(_merge_step, pages=pages)):
            pages = INDEX_PAGES_AT_ONCE

    async def _purge_for_ever(self) -> None:
        while True:
            try:
                await self.purge()
            except Exception:
                logger.exception("purging deleted threads failed; it is tried again in %s s", PURGE_EVERY_S)
            await asyncio.sleep(PURGE_EVERY_S)


def _empty_step(session: Session, thread_id: str) -> _Taken | None:
    """Delete some of what belongs to a deleted thread; nothing if there is nothing left. None if another
    process is at it, or has been."""
    own = select(Thread.id).where(Thread.id == thread_id).with_for_update(skip_locked=True)
    if session.exec(own).first() is None:
        return None
    messages = select(Message.id).where(Message.thread_id == thread_id).limit(ROWS_AT_ONCE)
    if taken := session.exec(delete(Message).where(col(Message.id).in_(messages))).rowcount:
        return _Taken(taken, 0)
    chunk = tuple_(col(TurnEventChunk.turn_id), col(TurnEventChunk.first_id))
    chunks = (
        select(TurnEventChunk.turn_id, TurnEventChunk.first_id)
        .join(Turn, col(Turn.id) == col(TurnEventChunk.turn_id))
        .where(Turn.thread_id == thread_id)
        .limit(ROWS_AT_ONCE)
    )
    if taken := session.exec(delete(TurnEventChunk).where(chunk.in_(chunks))).rowcount:
        return _Taken(0, taken)
    changes = select(ThreadChange.number).where(ThreadChange.thread_id == thread_id).limit(ROWS_AT_ONCE)
    some = delete(ThreadChange).where(
        col(ThreadChange.thread_id) == thread_id, col(ThreadChange.number).in_(changes)
    )
    if taken := session.exec(some).rowcount:
        return _Taken(0, taken)
    outputs = (
        select(ToolOutput.call_id)
        .join(ToolCallRow, col(ToolCallRow.id) == col(ToolOutput.call_id))
        .join(Turn, col(Turn.id) == col(ToolCallRow.turn_id))
        .where(Turn.thread_id == thread_id)
        .limit(OUTPUTS_AT_ONCE)
    )
    if taken := session.exec(delete(ToolOutput).where(col(ToolOutput.call_id).in_(outputs))).rowcount:
        return _Taken(0, taken)
    turns = select(Turn.id).where(Turn.thread_id == thread_id).limit(TURNS_AT_ONCE)
    return _Taken(0, session.exec(delete(Turn).where(col(Turn.id).in_(turns))).rowcount)


def _merge_step(session: Session, pages: int) -> bool:
    """Whether there is more to merge (SQLite's documentation of FTS5, 6.8: fewer than two changed rows)."""
    connection = session.connection()
    before = connection.execute(text("SELECT total_changes()")).scalar_one()
    connection.execute(
        text("INSERT INTO search_index (search_index, rank) VALUES ('merge', :pages)"), {"pages": pages}
    )
    return int(connection.execute(text("SELECT total_changes()")).scalar_one()) - int(before) >= 2


def _forget(session: Session, thread_ids: list[str]) -> int:
    gone = delete(Thread).where(col(Thread.id).in_(thread_ids), col(Thread.deleted_at).is_not(None))
    return int(session.exec(gone).rowcount)
