"""Forking: a new thread that begins with another one's history."""

from functools import partial

from sqlalchemy import ColumnElement, Text, cast, func, insert, literal
from sqlmodel import Session, col, select

from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.errors import InvalidRequest
from kit.ids import new_uuid
from threads.building import ThreadBuilder
from threads.context.history import copy_compaction
from threads.models import Message, Thread
from threads.store import visible

MESSAGES_AT_ONCE = 500


class Forks:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._builder = ThreadBuilder(db, clock)

    async def fork(self, caller: Caller, thread_id: str, *, at_seq: int | None) -> Thread:
        """A thread of the calling key with copies of the messages up to ``at_seq`` (default: all), and the
        title, metadata and end user of the original; from then on neither knows of the other.

        The copies keep number, content, usage and time; they belong to no turn, cost nothing again, and are
        searchable shortly after. Raises NotFound, InvalidRequest if there is no such message,
        Conflict if the thread loses one meanwhile.
        """
        new_thread_id = new_uuid()

        def write(session: Session) -> Thread:
            source = visible(session.get(Thread, thread_id, with_for_update=True), caller, thread_id)
            last_seq = source.last_seq if at_seq is None else at_seq
            if last_seq > source.last_seq:
                raise InvalidRequest(
                    f"at_seq: expected at most {source.last_seq}, the number of the thread's last message",
                    param="at_seq",
                )
            now = self._clock.now_ms()
            thread = Thread(
                id=new_thread_id,
                account_id=source.account_id,
                key_id=caller.key_id,
                end_user_id=source.end_user_id,
                title=source.title,
                meta=source.meta,
                context=source.context,
                forked_from=source.id,
                forked_at_seq=last_seq,
                last_seq=last_seq,
                created_at=now,
                last_active_at=now,
            )
            self._builder.hide(session, thread)
            copy_compaction(session, source.id, thread.id, last_seq)
            return thread

        thread = await self._db.write(write)
        for after in range(0, thread.last_seq, MESSAGES_AT_ONCE):
            until = min(after + MESSAGES_AT_ONCE, thread.last_seq)
            await self._db.write(
                partial(_copy_messages, from_id=thread_id, to_id=thread.id, after=after, until=until)
            )
        return await self._builder.show(thread)


def _copy_messages(session: Session, *, from_id: str, to_id: str, after: int, until: int) -> None:
    """Inside the database: those with ``after < seq <= until``."""
    copied = [
        "account_id", "seq", "role", "content", "usage", "stop_reason", "model", "provider", "cost_nanos",
        "created_at",
    ]  # fmt: skip
    table = Message.__table__  # type: ignore[attr-defined]
    rows = select(_new_message_id(session), literal(to_id), *[table.c[name] for name in copied]).where(
        col(Message.thread_id) == from_id, col(Message.seq) > after, col(Message.seq) <= until
    )
    session.connection().execute(insert(table).from_select(["id", "thread_id", *copied], rows))


def _new_message_id(session: Session) -> ColumnElement[str]:
    """An id of the same form as others, although not sorted by time."""
    if session.get_bind().dialect.name == "sqlite":
        random = func.lower(func.hex(func.randomblob(16)))
    else:
        random = func.replace(cast(func.gen_random_uuid(), Text), "-", "")
    return literal("msg_") + random
