"""Rows that several transactions of the package lock and write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import Session, select

from kit.ids import new_id
from kit.prepared import Driver, Prepared
from kit.table_writes import TableWrites
from kit.writer import connection_of
from threads.changes import Change, message_change, record_changes
from threads.models import Message, Thread, ToolCallRow, Turn
from threads.search_index import add_entries

TURNS, CALLS = TableWrites(Turn), TableWrites(ToolCallRow)
_MESSAGES, _THREADS = TableWrites(Message), TableWrites(Thread)

_THREAD: Any = Thread.__table__  # type: ignore[attr-defined]
_lock_thread = Prepared(
    select_columns(
        _THREAD.c.id,
        _THREAD.c.account_id,
        _THREAD.c.end_user_id,
        _THREAD.c.last_seq,
        _THREAD.c.last_active_at,
    )
    .where(_THREAD.c.id == bindparam("thread_id"))
    .with_for_update()
)


@dataclass(slots=True)
class ThreadHead:
    """What of a thread changes when a message is appended, and what the message's entries say of it."""

    id: str
    account_id: str
    end_user_id: str | None
    last_seq: int
    last_active_at: int


def locked_turn(session: Session, turn_id: str) -> Turn | None:
    """The turn as it is now, locked until the transaction ends."""
    query = select(Turn).where(Turn.id == turn_id).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).first()


def call_of(session: Session, turn_id: str, tool_use_id: str) -> ToolCallRow:
    """A turn's call as it is now."""
    query = select(ToolCallRow).where(ToolCallRow.turn_id == turn_id, ToolCallRow.tool_use_id == tool_use_id)
    return session.exec(query.execution_options(populate_existing=True)).one()


def locked_thread(session: Session, thread_id: str) -> ThreadHead:
    """The same for a thread. Where both are locked, the turn is first."""
    session.flush()
    (row,) = _lock_thread.rows(Driver.of(connection_of(session)), {"thread_id": thread_id})
    return ThreadHead(*row)


def append_message(
    session: Session,
    thread: ThreadHead,
    turn_id: str | None,
    role: str,
    content: Any,
    *,
    now_ms: int,
    also: Sequence[Change] = (),
    of_thread: dict[str, Any] | None = None,
    **columns: Any,
) -> Message:
    """The next message of a thread, which the session has locked, and what it is found by. ``also`` are
    further changes of the thread, for those who watch it; ``of_thread``: what else of its row changes."""
    thread.last_seq += 1
    thread.last_active_at = max(now_ms, thread.last_active_at)
    message = Message(
        id=new_id("msg"),
        account_id=thread.account_id,
        thread_id=thread.id,
        seq=thread.last_seq,
        role=role,
        content=content,
        turn_id=turn_id,
        created_at=now_ms,
        **columns,
    )
    _MESSAGES.insert(session, [message])
    moved = {"last_seq": thread.last_seq, "last_active_at": thread.last_active_at}
    _THREADS.update(session, thread.id, {**moved, **(of_thread or {})})
    add_entries(session, thread, [message])
    record_changes(session, thread.id, now_ms, [message_change(message), *also])
    return message


def take_last_message_back(session: Session, thread: ThreadHead) -> Message:
    """The newest message of a thread, which the session has locked, was never said. Returns it."""
    message = session.exec(
        select(Message).where(Message.thread_id == thread.id, Message.seq == thread.last_seq)
    ).one()
    session.delete(message)
    thread.last_seq -= 1
    _THREADS.update(session, thread.id, {"last_seq": thread.last_seq})
    return message
