"""Making vectors of messages in the background, at the expense of whoever the messages belong to.

Payers are served in turn, a batch each. One who cannot pay, or whose provider does not answer, waits a while
and holds up nobody else; the entries stay in the backlog.
"""

import asyncio
import logging
from contextlib import suppress
from functools import partial

from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, PaymentRequired
from threads.embedding_backlog import TEXTS_AT_ONCE, Batch, claim, drop, give_back, next_payer, store
from threads.embedding_model import EmbeddingModel, EmbeddingPayer, TextsRefused

logger = logging.getLogger("heddle.threads")

LOOK_EVERY_S = 2.0
ANSWER_WITHIN_S = 120.0
"""Less than a claim lasts."""
CLOSE_WITHIN_S = 5.0
UNPAID_PAUSE_MS = 60_000
"""Until a payer without money is tried again; a credit in this process ends it at once."""
FAILED_PAUSES_MS = (5_000, 30_000, 120_000, 600_000)
"""After the first failure, the second in a row, and so on."""
_SHORT_OF = {"wallet_empty": 1, "key_cap_reached": 2, "end_user_budget_reached": 3}
"""Whose money is short: the account's, the key's, the end user's (how much of ``EmbeddingPayer.path``)."""


class Embedder:
    """Works the backlog off. Any number of processes may: what one has claimed the others leave alone."""

    def __init__(self, db: Database, clock: Clock, model: EmbeddingModel) -> None:
        self._db = db
        self._clock = clock
        self._model = model
        self._paused_until: dict[tuple[str, ...], int] = {}
        self._failures: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._embed_for_ever())

    async def close(self) -> None:
        """Let the batch in flight come to its end, for it is paid; but not for long."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE_WITHIN_S)
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def money_came(self, account_id: str) -> None:
        """Try this account's payers again."""
        self._paused_until = {who: until for who, until in self._paused_until.items() if who[0] != account_id}

    async def fill(self) -> None:
        """Embed all that can be embedded now."""
        while await self._round():
            pass

    async def _round(self) -> bool:
        """A batch of every payer's; whether any has left the backlog."""
        now = self._clock.now_ms()
        self._paused_until = {who: until for who, until in self._paused_until.items() if until > now}
        done = False
        after: tuple[str, ...] = ()
        while not self._closing.is_set():
            async with self._db.session() as session:
                payer = await next_payer(session, after, now)
            if payer is None:
                break
            widths = range(1, len(payer.path) + 1)
            paused = next((payer.path[:n] for n in widths if payer.path[:n] in self._paused_until), None)
            if paused is None:
                done = await self._serve(payer) or done
            after = paused or payer.path
        return done

    async def _serve(self, payer: EmbeddingPayer) -> bool:
        """Whether a batch of this payer's has left the backlog."""
        now = self._clock.now_ms()
        claiming = partial(claim, payer=payer, space=self._model.space, now_ms=now, count=TEXTS_AT_ONCE)
        batch = await self._db.write(claiming)
        if batch is None:
            return False
        try:
            await self._embed(batch)
        except BaseException as error:
            await self._db.write(partial(give_back, batch=batch))
            if not isinstance(error, Exception):
                raise
            self._pause(payer, error)
            return False
        self._failures.pop(payer.account_id, None)
        return True

    async def _embed(self, batch: Batch) -> None:
        """Texts that are refused are tried one by one, and the culprits left without a vector."""
        if not batch.texts:
            return
        record = partial(store, batch=batch, space=self._model.space)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._model.embed(
                    batch.payer,
                    "search_index",
                    batch.texts,
                    lambda session, vectors: record(session, vectors=vectors),
                )
        except TextsRefused as refused:
            if len(batch.texts) == 1:
                logger.warning("entry %d is found by words only: %s", batch.entry_ids[0], refused.message)
                await self._db.write(partial(drop, batch=batch))
                return
            for half in batch.halves():
                await self._embed(half)

    def _pause(self, payer: EmbeddingPayer, error: Exception) -> None:
        now = self._clock.now_ms()
        if isinstance(error, PaymentRequired):
            self._paused_until[payer.path[: _SHORT_OF.get(error.code, 3)]] = now + UNPAID_PAUSE_MS
            return
        count = self._failures.get(payer.account_id, 0)
        self._failures[payer.account_id] = count + 1
        pause = FAILED_PAUSES_MS[min(count, len(FAILED_PAUSES_MS) - 1)]
        self._paused_until[payer.path[:1]] = now + pause
        if isinstance(error, HeddleError | TimeoutError):
            code = getattr(error, "code", "timeout")
            logger.warning("messages of %s could not be embedded: %s", payer.account_id, code)
        else:
            logger.error("messages of %s could not be embedded", payer.account_id, exc_info=error)

    async def _embed_for_ever(self) -> None:
        while not self._closing.is_set():
            try:
                await self.fill()
            except Exception:
                logger.exception("embedding failed; it is tried again in %s s", LOOK_EVERY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._closing.wait()
