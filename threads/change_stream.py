"""A thread's changes as server-sent events, for user interfaces that show it live.

Invariant: who has seen change N gets N + 1 next, from any process; or ``reset``, and all that comes after it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from sqlmodel import col, select

from kit.caller import Caller
from kit.db import Database
from threads.event_log import encode_frame, ping_frame
from threads.events import PING_EVERY_S
from threads.lookout import Lookout
from threads.models import Message, Thread, ThreadChange
from threads.schemas import render_message
from threads.store import visible

POLL_EVERY_S = 0.5
"""How late, at most, changes that other processes make are seen; this one's are seen at once."""
CHANGES_AT_ONCE = 20

_State = tuple[int, bool]
"""The number of a thread's last change, and whether the thread is deleted."""


class ThreadChanges:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._lookout = Lookout(self._states, POLL_EVERY_S)
        self._open = True
        db.on_touched(self._touched)

    def stop(self) -> None:
        """All streams end, after a whole frame: their readers go on elsewhere."""
        self._open = False
        self._lookout.wake_all()

    async def open(self, caller: Caller, thread_id: str, after: int | None) -> AsyncIterator[bytes]:
        """The changes after that number, for ever, or what happens from now on; the last is ``deleted``.
        Raises NotFound."""
        async with self._db.session() as session:
            thread = visible(await session.get(Thread, thread_id), caller, thread_id)
        return self._frames(thread_id, after, thread.last_change)

    async def _frames(self, thread_id: str, after: int | None, newest: int) -> AsyncIterator[bytes]:
        time = asyncio.get_running_loop().time
        if after is None:
            after = newest
            yield ping_frame(after)  # from here on nothing is missed
        elif after > newest:
            after = newest
            yield _reset(thread_id, after)
        ping_at = time() + PING_EVERY_S
        while self._open:
            last, deleted = state = await self._state(thread_id)
            changes = await self._after(thread_id, after)
            if changes and changes[0].number == after + 1:
                yield await self._shown(thread_id, changes)
                after = changes[-1].number
            elif changes:  # those between have been pruned
                after = max(last, changes[0].number - 1)
                yield _reset(thread_id, after)
            elif deleted:
                yield encode_frame(max(after, last) + 1, {"type": "deleted", "thread_id": thread_id})
                return
            elif not self._open or await self._lookout.changed(thread_id, state, ping_at - time()):
                continue
            else:
                yield ping_frame(after)
            ping_at = time() + PING_EVERY_S

    async def _after(self, thread_id: str, number: int) -> Sequence[ThreadChange]:
        query = (
            select(ThreadChange)
            .where(ThreadChange.thread_id == thread_id, ThreadChange.number > number)
            .order_by(col(ThreadChange.number))
            .limit(CHANGES_AT_ONCE)
        )
        async with self._db.session() as session:
            return (await session.exec(query)).all()

    async def _shown(self, thread_id: str, changes: Sequence[ThreadChange]) -> bytes:
        ids = [change.data["message_id"] for change in changes if change.kind == "message"]
        messages: dict[str, Message] = {}
        if ids:
            async with self._db.session() as session:
                rows = await session.exec(select(Message).where(col(Message.id).in_(ids)))
                messages = {message.id: message for message in rows.all()}
        frames = []
        for change in changes:
            event: dict[str, Any] = {"type": change.kind, "thread_id": thread_id, **change.data}
            if change.kind == "message":
                message = messages.get(change.data["message_id"])
                event["message"] = render_message(message) if message is not None else None
            frames.append(encode_frame(change.number, {**event, "created_at": change.created_at}))
        return b"".join(frames)

    async def _state(self, thread_id: str) -> _State:
        """A thread that has been purged is as one that is deleted."""
        return (await self._states([thread_id])).get(thread_id, (0, True))

    async def _states(self, thread_ids: Sequence[str]) -> Mapping[str, _State]:
        query = select(Thread.id, Thread.last_change, Thread.deleted_at).where(col(Thread.id).in_(thread_ids))
        async with self._db.session() as session:
            return {row[0]: (row[1], row[2] is not None) for row in (await session.exec(query)).all()}

    def _touched(self, names: Sequence[str]) -> None:
        for name in names:
            self._lookout.hint(name)


def _reset(thread_id: str, number: int) -> bytes:
    """What came between is not there any more: read the thread anew, and go on from here."""
    return encode_frame(number, {"type": "reset", "thread_id": thread_id})
