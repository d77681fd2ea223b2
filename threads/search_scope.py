"""Whose messages a search may find."""

from dataclasses import dataclass
from typing import Any

from kit.caller import Caller
from kit.db import Database
from threads.models import Thread
from threads.search_terms import account_term, end_user_term, thread_term
from threads.store import visible


@dataclass(frozen=True, slots=True)
class Scope:
    """``term`` narrows the search by words, the rest is checked on every row."""

    term: str
    account_id: str
    end_user_id: str | None
    thread_id: str | None

    @classmethod
    async def of(
        cls, db: Database, caller: Caller, end_user_id: str | None, thread_id: str | None
    ) -> "Scope":
        """Raises NotFound if the thread is not the caller's; PermissionDenied if its key is bound to another
        end user."""
        owner = caller.acting_for(end_user_id)
        if thread_id is not None:
            async with db.session() as session:
                visible(await session.get(Thread, thread_id), caller, thread_id)
            term = thread_term(thread_id)
        elif owner is not None:
            term = end_user_term(caller.account_id, owner)
        else:
            term = account_term(caller.account_id)
        return cls(term, caller.account_id, owner, thread_id)

    @property
    def condition(self) -> str:
        """On ``h``, a thread, and ``e``, what is of it."""
        parts = ["h.account_id = :account_id", "h.deleted_at IS NULL"]
        parts += ["h.end_user_id = :end_user_id"] if self.end_user_id is not None else []
        parts += ["e.thread_id = :thread_id"] if self.thread_id is not None else []
        return " AND ".join(parts)

    @property
    def values(self) -> dict[str, Any]:
        named = {
            "account_id": self.account_id,
            "end_user_id": self.end_user_id,
            "thread_id": self.thread_id,
        }
        return {name: value for name, value in named.items() if value is not None}
