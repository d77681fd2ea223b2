"""Rows that several transactions of the package lock and write."""

from typing import Any

from sqlmodel import Session, select

from kit.ids import new_id
from threads.models import Message, Thread, Turn
from threads.search_index import add_entries


def locked_turn(session: Session, turn_id: str) -> Turn | None:
    """The turn as it is now, locked until the transaction ends."""
    query = select(Turn).where(Turn.id == turn_id).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).first()


def locked_thread(session: Session, thread_id: str) -> Thread:
    """The same for a thread. Where both are locked, the turn is first."""
    query = select(Thread).where(Thread.id == thread_id).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).one()


def append_message(
    session: Session, thread: Thread, turn_id: str, role: str, content: Any, *, now_ms: int, **columns: Any
) -> Message:
    """The next message of a thread, which the session has locked, and what it is found by."""
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
    session.add(message)
    session.add(thread)
    session.flush()
    add_entries(session, thread, [message])
    return message
