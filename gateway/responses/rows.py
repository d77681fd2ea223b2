"""The rows of stored responses. Every query is bound to one caller."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, delete, func, select

from gateway.responses.models import StoredResponse
from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound
from kit.ids import new_uuid
from threads.models import Message, Thread, Turn
from threads.rows import ThreadHead, append_message
from threads.store import visible


class ResponseRows:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def get(self, caller: Caller, response_id: str) -> tuple[StoredResponse, Turn]:
        """Raises NotFound unless the caller may see it."""
        async with self._db.session() as session:
            row = await session.get(StoredResponse, response_id)
            if row is None or row.account_id != caller.account_id:
                raise NotFound(f"Response with id '{response_id[:80]}' not found.")
            caller.must_see(f"Response with id '{response_id[:80]}'", row.end_user_id)
            thread = await session.get(Thread, row.thread_id)
            visible(thread, caller, row.thread_id)
            return row, await session.get_one(Turn, row.turn_id)

    async def of_turn(self, turn_id: str) -> StoredResponse:
        """What a turn that this caller's own request began is the answer of."""
        async with self._db.session() as session:
            return (await session.exec(select(StoredResponse).where(StoredResponse.turn_id == turn_id))).one()

    async def newest_in(self, thread_id: str) -> StoredResponse | None:
        query = select(StoredResponse).where(StoredResponse.thread_id == thread_id)
        query = query.order_by(col(StoredResponse.created_at).desc(), col(StoredResponse.id).desc())
        async with self._db.session() as session:
            return (await session.exec(query.limit(1))).first()

    async def answer_of(self, turn: Turn) -> Message | None:
        query = select(Message).where(Message.turn_id == turn.id, Message.role == "assistant")
        async with self._db.session() as session:
            return (await session.exec(query.order_by(col(Message.seq).desc()).limit(1))).first()

    async def message_at(self, thread_id: str, seq: int) -> Message | None:
        query = select(Message).where(Message.thread_id == thread_id, Message.seq == seq)
        async with self._db.session() as session:
            return (await session.exec(query)).first()

    async def new_thread(
        self,
        caller: Caller,
        earlier: Sequence[tuple[str, Any]],
        *,
        metadata: dict[str, Any] | None = None,
    ) -> Thread:
        """A thread of the caller's that begins with these messages."""
        now = self._clock.now_ms()

        def write(session: Session) -> Thread:
            thread = Thread(
                id=new_uuid(),
                account_id=caller.account_id,
                key_id=caller.key_id,
                end_user_id=caller.end_user_id,
                meta=metadata or {},
                created_at=now,
                last_active_at=now,
            )
            session.add(thread)
            session.flush()
            head = ThreadHead(thread.id, thread.account_id, thread.end_user_id, 0, now)
            for role, content in earlier:
                append_message(session, head, None, role, content, now_ms=now)
            thread.last_seq = head.last_seq
            return thread

        return await self._db.write(write)

    async def forget(self, response_id: str, thread_id: str) -> bool:
        """Delete a response; True if its thread has no other."""

        def write(session: Session) -> bool:
            session.exec(delete(StoredResponse).where(col(StoredResponse.id) == response_id))
            left = select(func.count()).where(StoredResponse.thread_id == thread_id)
            return session.exec(left).one() == 0

        return await self._db.write(write)
