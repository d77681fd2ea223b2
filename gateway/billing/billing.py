"""Billing as the rest of the gateway sees it: admit, settle, credit, read.

Operations that arrive while a commit is running are applied together in the next one (see ``batch``), so
a burst of requests costs one fsync, and a single request never waits for a batching window.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from sqlmodel import Session, col, select

from gateway.billing.group import Group
from gateway.billing.holds import reap_holds, release_hold
from gateway.billing.liveness import DEAD_AFTER_MS, seen
from gateway.billing.models import Hold, LedgerEntry, Wallet
from gateway.billing.operations import (
    Admit,
    Admitted,
    Budget,
    CallOutcome,
    Credit,
    Operation,
    Payer,
    Rider,
    SetBalance,
    Settle,
    Settled,
)
from gateway.billing.prices import CostBound
from kit.clock import Clock
from kit.crash_points import reach
from kit.db import Database
from kit.ids import new_id
from kit.money import Nanos

logger = logging.getLogger("heddle.billing")

Watcher = Callable[[str, Nanos], None]
"""Told after each settlement: the account, and how much of its wallet is free."""

CreditWatcher = Callable[[str], None]
"""Told of the account."""

HOLD_LIFETIME_MS = 30 * 60 * 1000
"""No call may run longer than this; a hold that is older is released, whoever took it."""
TEND_EVERY_S = 10.0
"""How often a process says that it lives, and looks for holds that nobody will settle."""
NO_WARNING = Nanos(0)
EXPORT_PAGE = 1_000
"""Ledger entries that an export holds in memory at a time."""


class Billing:
    """The wallets of all accounts. Every amount is in nano-USD."""

    def __init__(self, db: Database, clock: Clock, *, low_balance: Nanos = NO_WARNING) -> None:
        """``low_balance``: where an account is told that little is left in its wallet."""
        self._db = db
        self._clock = clock
        self._low_balance = low_balance
        self.owner = new_id("proc")
        self._group: Group | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._tender: asyncio.Task[None] | None = None
        self._seen_at: int | None = None
        self._watchers: list[Watcher] = []
        self._credit_watchers: list[CreditWatcher] = []

    def on_settled(self, watcher: Watcher) -> None:
        """Tell ``watcher`` of every settlement. It must not block: it is called where calls end."""
        self._watchers.append(watcher)

    def on_credited(self, watcher: CreditWatcher) -> None:
        """Tell ``watcher`` when money comes into a wallet by way of this process. It must not block."""
        self._credit_watchers.append(watcher)

    async def start(self) -> None:
        """Begin tending holds. On SQLite this process is the only one: whatever others held is released now;
        elsewhere once they have not been seen for ``DEAD_AFTER_MS``."""
        if self._alone:
            await self._reap(except_owner=self.owner)
        else:
            await self.tend()
        self._tender = asyncio.create_task(self._tend_for_ever())

    async def close(self) -> None:
        if self._tender is not None:
            self._tender.cancel()
            with suppress(asyncio.CancelledError):
                await self._tender
        while self._tasks:  # an abandoned admission's commit is followed by its release
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)

    async def admit(
        self,
        request_id: str,
        payer: Payer,
        bound: CostBound,
        *,
        budget: Budget | None = None,
        tokens: int = 0,
        rated: bool = True,
    ) -> Admitted:
        """Set aside what the call can cost, at most. ``tokens``: its input, for the key's rate; ``rated``:
        whether the key's rates apply. Raises PaymentRequired or RateLimited: nothing may be sent then."""
        now = self._clock.now_ms()
        expires_at = now + HOLD_LIFETIME_MS
        operation = Admit(request_id, payer, bound, self.owner, now, expires_at, budget, tokens, rated)
        reach("billing.hold.queued")
        future = self._enqueue(operation)
        try:
            admitted = await future
        except asyncio.CancelledError:
            if not future.cancelled():  # it was answered just before; else ``_commit`` sees that nobody waits
                self._abandoned(operation, future.exception() or future.result())
            raise
        assert isinstance(admitted, Admitted)
        return admitted

    async def settle(
        self, request_id: str, payer: Payer, outcome: CallOutcome, *, rider: Rider | None = None
    ) -> Settled:
        """Debit the real cost, release the hold, write the usage event and the rider's rows, all or nothing.

        Settling the same request again changes nothing. Completes even if the caller is cancelled.
        Raises what the rider raised.
        """
        operation = Settle(request_id, payer, outcome, self._clock.now_ms(), rider)
        reach("billing.settle.queued")
        settled = await self._enqueue(operation)
        assert isinstance(settled, Settled)
        if settled.free is not None:
            for watcher in self._watchers:
                watcher(payer.account_id, settled.free)
        return settled

    async def release(self, request_id: str) -> None:
        """Give back what is held for a call that will not be settled by whoever began it. If it is after all,
        it is charged all the same."""
        async with self._db.session() as session:
            if await session.get(Hold, request_id) is None:
                return
        await self._db.write(lambda session: release_hold(session, request_id))

    async def credit(
        self, account_id: str, amount: Nanos, *, kind: str, entry_id: str, reference: str
    ) -> bool:
        """Move money into a wallet once per ``entry_id``; False if that entry was there already."""
        operation = Credit(account_id, entry_id, kind, amount, reference, self._clock.now_ms())
        credited = bool(await self._enqueue(operation))
        self._tell_credited(account_id)
        return credited

    async def set_play_balance(self, account_id: str, balance: Nanos) -> None:
        """Have a test account's wallet hold exactly this. Raises PermissionDenied for a live one, Conflict
        (``balance_held``) if running calls hold more."""
        operation = SetBalance(account_id, new_id("play"), balance, self._clock.now_ms())
        await self._enqueue(operation)
        self._tell_credited(account_id)

    def _tell_credited(self, account_id: str) -> None:
        for watcher in self._credit_watchers:
            watcher(account_id)

    async def wallet(self, account_id: str) -> Wallet:
        async with self._db.session() as session:
            wallet = await session.get(Wallet, account_id)
        return wallet or Wallet(account_id=account_id)

    async def ledger_page(self, account_id: str, *, limit: int, before_seq: int | None) -> list[LedgerEntry]:
        """Up to ``limit + 1`` entries, newest first."""
        query = select(LedgerEntry).where(LedgerEntry.account_id == account_id)
        if before_seq is not None:
            query = query.where(LedgerEntry.seq < before_seq)
        query = query.order_by(col(LedgerEntry.seq).desc()).limit(limit + 1)
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def ledger_entries(self, account_id: str) -> AsyncIterator[list[LedgerEntry]]:
        """Every entry, oldest first, ``EXPORT_PAGE`` at a time."""
        query = select(LedgerEntry).where(LedgerEntry.account_id == account_id)
        query = query.order_by(col(LedgerEntry.seq)).limit(EXPORT_PAGE)
        last_seq = 0
        while True:
            async with self._db.session() as session:
                entries = list((await session.exec(query.where(LedgerEntry.seq > last_seq))).all())
            if entries:
                yield entries
                last_seq = entries[-1].seq
            if len(entries) < EXPORT_PAGE:
                return

    # --- group commit -----------------------------------------------------------------------------

    def _enqueue(self, operation: Operation) -> asyncio.Future[Any]:
        """The operation's outcome. Whoever waits for it may be cancelled: it is applied all the same."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._group is None or not self._group.add(operation, future):
            self._group = group = Group(self._low_balance)
            group.add(operation, future)
            self._spawn(self._commit(group))
        return future

    async def _commit(self, group: Group) -> None:
        try:
            outcomes = await self._db.write(group.write)
            group.committed()
        except Exception as error:
            outcomes = [error] * len(group.futures)
        for operation, future, outcome in zip(group.operations, group.futures, outcomes, strict=True):
            if future.done():
                self._abandoned(operation, outcome)
            elif isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _abandoned(self, operation: Operation, outcome: Any) -> None:
        """Nobody waits for the outcome any more: a call that was admitted will not be made."""
        if isinstance(operation, Admit) and isinstance(outcome, Admitted):
            gone = CallOutcome(provider="", model="", status="cancelled", http_status=499)
            self._spawn(self.settle(operation.request_id, operation.payer, gone))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- holds that nobody will settle ------------------------------------------------------------

    @property
    def _alone(self) -> bool:
        return self._db.dialect == "sqlite"

    async def tend(self) -> None:
        """Say that this process lives, and release the holds that have expired or whose process has died.

        A process that has not been able to say so itself for a while (paused, cut off from the database)
        leaves it to the next time to judge others: they may have been as badly off.
        """
        now = self._clock.now_ms()
        if self._alone:
            await self._reap()
            return
        watched = self._seen_at is not None and now - self._seen_at <= DEAD_AFTER_MS // 2
        await self._db.write(lambda session: seen(session, self.owner, now))
        self._seen_at = now
        await self._reap(unseen_since=now - DEAD_AFTER_MS if watched else None)

    async def _reap(self, *, except_owner: str | None = None, unseen_since: int | None = None) -> None:
        now = self._clock.now_ms()

        def write(session: Session) -> int:
            released = reap_holds(
                session, expired_before=now, except_owner=except_owner, unseen_since=unseen_since
            )
            reach("billing.reap.applied")
            return released

        released = await self._db.write(write)
        reach("billing.reap.committed")
        if released:
            logger.warning("released %d holds of calls that never ended", released)

    async def _tend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            try:
                await self.tend()
            except Exception:
                logger.exception("tending holds failed; it is tried again in %s s", TEND_EVERY_S)
