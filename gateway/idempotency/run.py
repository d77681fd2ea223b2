"""One request under its idempotency key."""

import logging

from sqlmodel import Session

from gateway.idempotency.answer import Answer
from gateway.idempotency.store import Asked, IdempotencyStore

logger = logging.getLogger("heddle.idempotency")

FIRST_REFUSAL = 400


class Run:
    """Implements ``threads.once.Once``. With a ``turn_id``, the request has come before and started that."""

    def __init__(self, store: IdempotencyStore, asked: Asked, turn_id: str | None = None) -> None:
        self.turn_id = turn_id
        self._store = store
        self._asked = asked
        self._turn_answers = False

    def begins(self, session: Session, turn_id: str) -> None:
        self._store.begins_turn(session, self._asked, turn_id)

    async def accepted(self) -> None:
        await self._store.turn_accepted(self._asked)
        self._turn_answers = True

    async def conclude(self, status: int, answer: Answer | None) -> None:
        """What becomes of the record. The client gets its answer even where the record cannot be written."""
        if self._turn_answers:
            return
        try:
            if status < FIRST_REFUSAL:
                await self._store.keep(self._asked, answer)
            else:
                await self._store.forget(self._asked)
        except Exception:
            logger.exception("the outcome of request %s was not recorded", self._asked.run_id)

    async def cut_off(self) -> None:
        """It ends without an answer, or in the middle of one."""
        if self._turn_answers:
            return
        try:
            await self._store.give_up(self._asked)
        except Exception:
            logger.exception("the end of request %s was not recorded", self._asked.run_id)
