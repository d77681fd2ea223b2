"""Writing what can be found: an entry for each message, in the transaction that stores the message.

Only text is indexed: text blocks, and the beginning of what tools answered. Messages that come in bulk (a
fork, an import, those from before there was a search) are entered in the backlog and indexed shortly after.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from sqlalchemy import bindparam, insert
from sqlmodel import Session, col, delete, select

from kit.db import Database
from kit.prepared import Driver, Prepared
from kit.writer import connection_of
from threads.context.repair import as_blocks
from threads.models import Message, SearchBacklog, SearchEntry, Thread
from threads.search_terms import account_term, end_user_term, index_terms, thread_term

logger = logging.getLogger("heddle.threads")

MAX_TEXT_CHARS = 50_000
"""Of a message, in all."""
MAX_TERMS_CHARS = 200_000
"""Of the terms that are made of it: with four bytes each they stay below the megabyte of a tsvector."""
MAX_RESULT_CHARS = 10_000
"""Of one tool result."""
MESSAGES_AT_ONCE = 50
LOOK_EVERY_S = 2.0


def searchable_texts(content: Any) -> list[str]:
    """The texts of a message by which it is found, bounded."""
    texts = []
    left = MAX_TEXT_CHARS
    for text in _texts(content):
        if left <= 0:
            break
        texts.append(text[:left])
        left -= len(text)
    return texts


def _texts(content: Any) -> Iterator[str]:
    for block in as_blocks(content):
        if not isinstance(block, dict):
            continue
        if block.get("type") == "text" and isinstance(block.get("text"), str):
            yield block["text"]
        elif block.get("type") == "tool_result" and isinstance(block.get("content"), str | list):
            left = MAX_RESULT_CHARS
            for part in as_blocks(block["content"]):
                text = part.get("text") if isinstance(part, dict) else None
                if isinstance(text, str) and left > 0:
                    yield text[:left]
                    left -= len(text)


class InThread(Protocol):
    """What a message's entry says of its thread."""

    @property
    def id(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def end_user_id(self) -> str | None: ...


def add_entries(session: Session, thread: InThread, messages: Sequence[Message]) -> None:
    """Make messages of a thread, which are stored already, searchable: those with a word in them."""
    scope = [account_term(thread.account_id), thread_term(thread.id)]
    if thread.end_user_id is not None:
        scope.append(end_user_term(thread.account_id, thread.end_user_id))
    entries = []
    for message in messages:
        words = index_terms("\n".join(searchable_texts(message.content)))
        if len(words) > MAX_TERMS_CHARS:
            words = words[:MAX_TERMS_CHARS].rpartition(" ")[0]
        if words:
            terms = " ".join([*scope, words])
            entries.append({"message_id": message.id, "thread_id": thread.id, "terms": terms})
    if entries:
        _ADD.run(Driver.of(connection_of(session)), entries)


_ADD = Prepared(
    insert(SearchEntry.__table__)  # type: ignore[attr-defined]
    .values({name: bindparam(name) for name in ("message_id", "thread_id", "terms")})
    .inline()
)


class SearchFiller:
    """Works the backlog off. Any number of processes may; each message gets one entry all the same."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._fill_for_ever())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def fill(self) -> None:
        """Index all that waits, a part at a time: between two the writer serves whoever waits."""
        while await self._db.write(_fill_step):
            pass

    async def _fill_for_ever(self) -> None:
        while True:
            try:
                if await self._waiting():
                    await self.fill()
            except Exception:
                logger.exception("indexing messages failed; it is tried again in %s s", LOOK_EVERY_S)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _waiting(self) -> bool:
        async with self._db.session() as session:
            return (await session.exec(select(SearchBacklog.thread_id).limit(1))).first() is not None


def _fill_step(session: Session) -> bool:
    """Index some messages of one thread; whether there may be more. A thread that another process works on
    is left to it."""
    query = select(SearchBacklog).order_by(SearchBacklog.thread_id).limit(1)
    waiting = session.exec(query.with_for_update(skip_locked=True)).first()
    if waiting is None:
        return False
    thread = session.get(Thread, waiting.thread_id)
    messages: list[Message] = []
    if thread is not None and thread.deleted_at is None:
        messages = _unindexed(session, waiting)
        add_entries(session, thread, messages)
    if len(messages) < MESSAGES_AT_ONCE:
        session.exec(delete(SearchBacklog).where(col(SearchBacklog.thread_id) == waiting.thread_id))
    else:
        waiting.after_seq = messages[-1].seq
        session.add(waiting)
    session.flush()
    return True


def _unindexed(session: Session, waiting: SearchBacklog) -> list[Message]:
    query = (
        select(Message)
        .outerjoin(SearchEntry, col(SearchEntry.message_id) == col(Message.id))
        .where(
            Message.thread_id == waiting.thread_id,
            Message.seq > waiting.after_seq,
            Message.seq <= waiting.until_seq,
            col(SearchEntry.id).is_(None),
        )
        .order_by(col(Message.seq))
        .limit(MESSAGES_AT_ONCE)
    )
    return list(session.exec(query).all())
