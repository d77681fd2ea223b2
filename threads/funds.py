"""Turns that wait for money go on when there is some: after a top-up, a raised cap or budget, a new period.

The rows are the truth: whoever raises a limit, in whatever process, need not know of turns. Every process
looks now and then, once for all turns of one spender; news of money only makes it look at once. When there is
money for many, they go on in waves, so that they do not all run for what the first of them will hold.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from sqlmodel import col, func, select

from kit.db import Database
from threads.actions import PendingActions
from threads.model_client import Funds, Spender
from threads.models import PendingAction

logger = logging.getLogger("heddle.threads")

LOOK_EVERY_S = 2.0
WAVE = 25
"""Turns of one account that go on at once."""
NEXT_WAVE_AFTER_S = 0.25


class FundsWatch:
    """``take`` runs turns that may go on."""

    def __init__(
        self,
        db: Database,
        funds: Funds,
        actions: PendingActions,
        take: Callable[[Iterable[str]], Awaitable[None]],
    ) -> None:
        self._db = db
        self._funds = funds
        self._actions = actions
        self._take = take
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch_for_ever())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def money_came(self) -> None:
        """Look at once."""
        self._news.set()

    async def look(self) -> bool:
        """Let the turns go on whose next step is covered; whether there may be more of them."""
        waiting = await self._waiting()
        if not waiting:
            return False
        free = await self._funds.free(list(waiting))
        released: list[str] = []
        of_account: Counter[str] = Counter()
        for spender, least in waiting.items():
            room = WAVE - of_account[spender.account_id]
            if room > 0 and free.get(spender, 0) >= least:
                covered = await self._covered(spender, free[spender], room)
                of_account[spender.account_id] += len(covered)
                released += covered
        for resolved in await self._actions.resolve_funds(released):
            await self._take(resolved.to_take)
        return any(count >= WAVE for count in of_account.values())

    async def _waiting(self) -> dict[Spender, int]:
        """Who has turns that wait for money, and the least that one of these needs."""
        of = (col(PendingAction.account_id), col(PendingAction.key_id), col(PendingAction.end_user_id))
        query = (
            select(*of, func.min(PendingAction.needed_nanos))
            .where(PendingAction.status == "open", PendingAction.kind == "funds")
            .group_by(*of)
        )
        async with self._db.session() as session:
            rows = (await session.exec(query)).all()
        return {
            Spender(account, str(key), end_user): int(least or 0) for account, key, end_user, least in rows
        }

    async def _covered(self, spender: Spender, free: int, most: int) -> list[str]:
        """The actions of those that have waited longest, as far as their steps are covered together."""
        query = (
            select(PendingAction.id, PendingAction.needed_nanos)
            .where(
                PendingAction.status == "open",
                PendingAction.kind == "funds",
                PendingAction.account_id == spender.account_id,
                PendingAction.key_id == spender.key_id,
                col(PendingAction.end_user_id).is_not_distinct_from(spender.end_user_id),
                col(PendingAction.needed_nanos) <= free,
            )
            .order_by(col(PendingAction.created_at), col(PendingAction.id))
            .limit(most)
        )
        async with self._db.session() as session:
            rows = (await session.exec(query)).all()
        covered: list[str] = []
        for action_id, needed in rows:
            free -= needed or 0
            if free >= 0:
                covered.append(action_id)
        return covered

    async def _watch_for_ever(self) -> None:
        pause = LOOK_EVERY_S
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)
            self._news.clear()
            try:
                pause = NEXT_WAVE_AFTER_S if await self.look() else LOOK_EVERY_S
            except Exception:
                logger.exception("looking for money of turns failed; it is tried again")
                pause = LOOK_EVERY_S
