"""Threads and messages: create, list, read, change, delete. Every query is bound to one caller."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Text, case, cast, exists, func, literal, tuple_
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select, update

from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, NotFound
from kit.ids import new_uuid
from kit.writer import touch
from threads.changes import record_changes
from threads.context.history import newest_compaction
from threads.ending import BUSY, Endings
from threads.models import Compaction, Message, Thread, Turn
from threads.schemas import check_metadata

EMPTY_THREAD_AGE_MS = 60_000


class ThreadStore:
    def __init__(self, db: Database, clock: Clock, endings: Endings | None = None) -> None:
        self._db = db
        self._clock = clock
        self._endings = endings or Endings(clock)

    async def create(
        self,
        caller: Caller,
        *,
        end_user_id: str | None,
        metadata: dict[str, Any],
        thread_id: str | None,
        context: dict[str, Any] | None = None,
    ) -> Thread:
        """Raises Conflict if the id is taken, PermissionDenied if the key is bound to another end user."""
        now = self._clock.now_ms()
        thread = Thread(
            id=thread_id or new_uuid(),
            account_id=caller.account_id,
            key_id=caller.key_id,
            end_user_id=caller.acting_for(end_user_id),
            meta=metadata,
            context=context or {},
            created_at=now,
            last_active_at=now,
        )
        try:
            await self._db.write(lambda session: session.add(thread.model_copy()))
        except IntegrityError:
            raise Conflict(f"thread id {thread_id} is taken", code="id_taken", param="id") from None
        return thread

    async def get(self, caller: Caller, thread_id: str) -> Thread:
        """Raises NotFound unless the thread is the caller's and not deleted."""
        async with self._db.session() as session:
            return visible(await session.get(Thread, thread_id), caller, thread_id)

    async def compaction(self, thread_id: str) -> Compaction | None:
        """The newest summary of a thread that the caller has been found to see."""
        return await newest_compaction(self._db, thread_id)

    async def page(
        self,
        caller: Caller,
        *,
        end_user_id: str | None,
        metadata: Mapping[str, str],
        limit: int,
        before: tuple[int, str] | None,
    ) -> list[Thread]:
        """Up to ``limit + 1`` threads, most recently active first. ``metadata`` compares texts, numbers and
        ``true`` and ``false`` as they are written. Raises PermissionDenied."""
        query = select(Thread).where(Thread.account_id == caller.account_id, col(Thread.deleted_at).is_(None))
        owner = caller.acting_for(end_user_id)
        if owner is not None:
            query = query.where(Thread.end_user_id == owner)
        for key, value in metadata.items():
            query = query.where(self._has_metadata(key, value))
        if before is not None:
            place = tuple_(col(Thread.last_active_at), col(Thread.id))
            query = query.where(place < tuple_(*map(literal, before)))  # in this form it is found by index
        query = query.order_by(col(Thread.last_active_at).desc(), col(Thread.id).desc()).limit(limit + 1)
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    def _has_metadata(self, key: str, value: str) -> ColumnElement[bool]:
        meta = Thread.__table__.c.meta  # type: ignore[attr-defined]
        if self._db.dialect == "postgresql":
            matches: ColumnElement[bool] = meta.op("->>")(key) == value
            return matches
        entry = func.json_each(meta).table_valued("key", "type", "atom")
        written = case((entry.c.type.in_(["true", "false"]), entry.c.type), else_=cast(entry.c.atom, Text))
        return exists(select(literal(1)).select_from(entry).where(entry.c.key == key, written == value))

    async def edit(
        self, caller: Caller, thread_id: str, *, changes: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> Thread:
        """Set ``changes`` (the title, the context); merge metadata one level deep, where null deletes a key.

        Raises NotFound, InvalidRequest if the metadata would become too large.
        """

        def write(session: Session) -> Thread:
            thread = visible(session.get(Thread, thread_id, with_for_update=True), caller, thread_id)
            thread.sqlmodel_update(dict(changes))
            if metadata:
                merged = {**thread.meta, **metadata}
                thread.meta = {key: value for key, value in merged.items() if value is not None}
                check_metadata(thread.meta)
            session.add(thread)
            shown = {"title": thread.title, "metadata": thread.meta}
            record_changes(session, thread_id, self._clock.now_ms(), [("thread", shown)])
            return thread

        return await self._db.write(write)

    async def delete(self, caller: Caller, thread_id: str) -> str | None:
        """Gone from every read at once, and the turns that wait in it end. Returns the id of a turn that is
        running, if there is one: then the thread is still there. Raises NotFound."""

        def write(session: Session) -> str | None:
            visible(session.get(Thread, thread_id), caller, thread_id)
            turns = select(Turn.id).where(
                Turn.thread_id == thread_id, col(Turn.status).in_((*BUSY, "queued"))
            )
            session.exec(turns.order_by(col(Turn.id)).with_for_update()).all()  # locked before their thread
            session.expire_all()
            thread = visible(session.get(Thread, thread_id, with_for_update=True), caller, thread_id)
            self._endings.end_waiting(session, thread_id)
            running = session.exec(
                select(Turn.id).where(Turn.thread_id == thread_id, Turn.status == "running")
            ).first()
            if running is None:
                thread.deleted_at = self._clock.now_ms()
                session.add(thread)
                touch(session, thread_id)
            return running

        return await self._db.write(write)

    async def delete_empty(self, caller: Caller) -> int:
        """Delete the calling key's own threads without messages that are older than a minute."""
        now = self._clock.now_ms()

        def write(session: Session) -> int:
            result = session.exec(
                update(Thread)
                .where(
                    col(Thread.account_id) == caller.account_id,
                    col(Thread.key_id) == caller.key_id,
                    col(Thread.last_seq) == 0,
                    col(Thread.deleted_at).is_(None),
                    col(Thread.created_at) < now - EMPTY_THREAD_AGE_MS,
                )
                .values(deleted_at=now)
            )
            return int(result.rowcount)

        return await self._db.write(write)

    async def messages(
        self,
        caller: Caller,
        thread_id: str,
        *,
        limit: int,
        ascending: bool,
        after_seq: int | None,
        before_seq: int | None,
    ) -> list[Message]:
        """Up to ``limit + 1`` messages with ``after_seq < seq < before_seq``. Raises NotFound."""
        query = select(Message).where(Message.thread_id == thread_id)
        if after_seq is not None:
            query = query.where(Message.seq > after_seq)
        if before_seq is not None:
            query = query.where(Message.seq < before_seq)
        order = col(Message.seq).asc() if ascending else col(Message.seq).desc()
        async with self._db.session() as session:
            visible(await session.get(Thread, thread_id), caller, thread_id)
            return list((await session.exec(query.order_by(order).limit(limit + 1))).all())


def visible(thread: Thread | None, caller: Caller, thread_id: str) -> Thread:
    """The thread, if this caller may see it. Raises NotFound, the same for absent and foreign threads."""
    if thread is None or thread.account_id != caller.account_id or thread.deleted_at is not None:
        raise NotFound(f"thread {thread_id} not found")
    caller.must_see(f"thread {thread_id}", thread.end_user_id)
    return thread
