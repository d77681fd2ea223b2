"""Threads with chosen messages, and everything that reads, copies, finds or purges them."""

import json
from typing import Any

from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from threads.fork import Forks
from threads.models import Message, Thread
from threads.purge import Purger
from threads.search import Hit, Search
from threads.search_index import SearchFiller
from threads.store import ThreadStore
from threads.transfer import Lines, Transfer

OWNER = Caller("acct_1", "key_1", "standard")


class Library:
    def __init__(self, db: Database, clock: ManualClock) -> None:
        self.db, self.clock = db, clock
        self.store = ThreadStore(db, clock)
        self.forks = Forks(db, clock)
        self.transfer = Transfer(db, clock)
        self.filler = SearchFiller(db)
        self.search = Search(db)
        self.purger = Purger(db, clock, keep_h=1)

    async def thread(
        self, *contents: Any, caller: Caller = OWNER, end_user_id: str | None = None, **header: Any
    ) -> Thread:
        """A thread whose messages are, by turns, the user's and the assistant's; searchable."""
        thread = await self.transfer.import_thread(
            caller, Lines(jsonl(*contents, end_user_id=end_user_id, **header))
        )
        await self.filler.fill()
        return thread

    async def messages(self, thread: Thread, caller: Caller = OWNER) -> list[Message]:
        return await self.store.messages(
            caller, thread.id, limit=1000, ascending=True, after_seq=None, before_seq=None
        )

    async def exported(self, thread: Thread) -> bytes:
        return b"".join([part async for part in await self.transfer.export(OWNER, thread.id)])

    async def find(self, query: str, caller: Caller = OWNER, **where: Any) -> list[Hit]:
        asked: dict[str, Any] = {"end_user_id": None, "thread_id": None, "limit": 100, **where}
        return (await self.search.find(caller, query, **asked)).hits

    async def found(self, query: str, caller: Caller = OWNER, **where: Any) -> set[tuple[str, int]]:
        hits = await self.find(query, caller, **where)
        return {(hit.message.thread_id, hit.message.seq) for hit in hits}


def jsonl(*contents: Any, **header: Any) -> bytes:
    """The lines of a thread."""
    lines: list[dict[str, Any]] = [{"object": "thread", **header}]
    for seq, content in enumerate(contents, 1):
        role = "user" if seq % 2 else "assistant"
        lines.append({"object": "message", "seq": seq, "role": role, "content": content})
    return "\n".join(json.dumps(line) for line in lines).encode()
