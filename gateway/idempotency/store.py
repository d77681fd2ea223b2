"""The records of requests with an idempotency key.

Invariants:
- of all requests with the same key, in whatever number of processes, one at a time is carried out;
- one that was cut off is carried out again only if that is safe (``crash``) and it was not charged;
- an answer is in the database only sealed, and for ``LIFETIME_MS`` at the most.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select, update

from gateway.billing.holds import release_hold
from gateway.billing.models import UsageEvent
from gateway.idempotency.answer import Answer, decode_answer, encode_answer
from gateway.idempotency.crash import runs_again
from gateway.idempotency.models import KEPT, OF_TURN, RUNNING, IdempotencyRecord
from gateway.idempotency.refusals import (
    IdempotencyInProgress,
    IdempotencyMismatch,
    IdempotencyOutcomeUnknown,
)
from kit.clock import Clock
from kit.db import Database
from threads.models import Message, Turn
from vault.store import Vault

LIFETIME_MS = 24 * 60 * 60 * 1000
LEASE_MS = 30_000
PURGED_AT_ONCE = 200
_PURPOSE = "idempotent answer"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with an idempotency key. ``run_id`` is its own id, under which it would be carried out."""

    record_id: str
    account_id: str
    key_id: str
    path: str
    fingerprint: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be done: carry it out (``mine``), or answer from the turn or the answer there is."""

    mine: bool = False
    turn_id: str | None = None
    answer_id: str | None = None


class IdempotencyStore:
    def __init__(self, db: Database, vault: Vault, clock: Clock) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock

    async def claim(self, asked: Asked) -> Claim:
        """Raises IdempotencyMismatch, IdempotencyInProgress, IdempotencyOutcomeUnknown."""
        write = partial(self._claim, asked)
        try:
            return await self._db.write(write)
        except IntegrityError:  # another process was first; its row is there now
            return await self._db.write(write)

    async def answer(self, asked: Asked, answer_id: str) -> Answer:
        """Raises SecretNotFound, SecretTampered."""
        sealed = await self._vault.open(
            answer_id, account_id=asked.account_id, owner=asked.record_id, purpose=_PURPOSE
        )
        return decode_answer(sealed)

    async def keep(self, asked: Asked, answer: Answer | None) -> None:
        """The request was carried out; None: its answer was too large to keep."""

        def write(session: Session) -> None:
            if not self._change(session, asked, state=KEPT) or answer is None:
                return
            answer_id = self._vault.seal(
                session,
                account_id=asked.account_id,
                owner=asked.record_id,
                purpose=_PURPOSE,
                plaintext=encode_answer(answer),
            )
            self._change(session, asked, answer_id=answer_id)

        await self._db.write(write)

    async def forget(self, asked: Asked) -> None:
        """The request was refused and did nothing: it may come again, with another body too."""
        mine = (
            col(IdempotencyRecord.id) == asked.record_id,
            col(IdempotencyRecord.run_id) == asked.run_id,
        )
        await self._db.write(lambda session: session.exec(delete(IdempotencyRecord).where(*mine)))

    async def give_up(self, asked: Asked) -> None:
        """The request was cut off: whoever repeats it finds it as after a crash, at once."""
        await self._db.write(lambda session: self._change(session, asked, lease_until=0))

    def begins_turn(self, session: Session, asked: Asked, turn_id: str) -> None:
        """Remember the turn in its own transaction. Raises IdempotencyInProgress if another process has
        taken the request over meanwhile: then there must be no second turn."""
        if not self._change(session, asked, turn_id=turn_id):
            raise IdempotencyInProgress(0)

    async def turn_accepted(self, asked: Asked) -> None:
        await self._db.write(lambda session: self._change(session, asked, state=OF_TURN))

    # --- tending ----------------------------------------------------------------------------------

    async def renew(self, running: Collection[Asked]) -> None:
        """Say that these are still being carried out."""
        until = self._clock.now_ms() + LEASE_MS
        theirs = (
            col(IdempotencyRecord.id).in_([asked.record_id for asked in running]),
            col(IdempotencyRecord.run_id).in_([asked.run_id for asked in running]),
            col(IdempotencyRecord.state) == RUNNING,
        )
        await self._db.write(
            lambda session: session.exec(update(IdempotencyRecord).where(*theirs).values(lease_until=until))
        )

    async def abandon_all(self) -> None:
        """Nothing is being carried out: this process has just begun, and there is no other."""
        running = col(IdempotencyRecord.state) == RUNNING
        await self._db.write(
            lambda session: session.exec(update(IdempotencyRecord).where(running).values(lease_until=0))
        )

    async def purge(self) -> int:
        """Delete some of what has expired, with its answers; returns how many records. Several processes may,
        at once."""
        now = self._clock.now_ms()

        def write(session: Session) -> int:
            expired = session.exec(
                select(IdempotencyRecord.id, IdempotencyRecord.answer_id)
                .where(IdempotencyRecord.expires_at <= now)
                .limit(PURGED_AT_ONCE)
                .with_for_update(skip_locked=True)
            ).all()
            self._vault.forget(session, *(answer_id for _, answer_id in expired if answer_id is not None))
            ids = [record_id for record_id, _ in expired]
            session.exec(delete(IdempotencyRecord).where(col(IdempotencyRecord.id).in_(ids)))
            return len(ids)

        return await self._db.write(write)

    # --- rows -------------------------------------------------------------------------------------

    def _claim(self, asked: Asked, session: Session) -> Claim:
        now = self._clock.now_ms()
        row = session.get(IdempotencyRecord, asked.record_id, with_for_update=True)
        if row is None:
            session.add(self._new(asked, now))
            return Claim(mine=True)
        if row.expires_at <= now:
            if row.answer_id is not None:
                self._vault.forget(session, row.answer_id)
            return self._take(session, row, self._new(asked, now))
        if row.fingerprint != asked.fingerprint:
            raise IdempotencyMismatch
        if row.state != RUNNING:
            return Claim(turn_id=row.turn_id, answer_id=row.answer_id)
        if row.lease_until > now:
            raise IdempotencyInProgress(now - row.created_at)
        if row.turn_id is not None and _holds_messages(session, row.turn_id):
            return Claim(turn_id=row.turn_id)
        charged = _was_charged(session, row.run_id)
        if charged or not runs_again(asked.path):
            raise IdempotencyOutcomeUnknown(charged=charged)
        release_hold(session, row.run_id)
        return self._take(session, row, self._new(asked, now))

    def _new(self, asked: Asked, now_ms: int) -> IdempotencyRecord:
        return IdempotencyRecord(
            id=asked.record_id,
            account_id=asked.account_id,
            key_id=asked.key_id,
            fingerprint=asked.fingerprint,
            state=RUNNING,
            run_id=asked.run_id,
            lease_until=now_ms + LEASE_MS,
            created_at=now_ms,
            expires_at=now_ms + LIFETIME_MS,
        )

    @staticmethod
    def _take(session: Session, row: IdempotencyRecord, fresh: IdempotencyRecord) -> Claim:
        row.sqlmodel_update(fresh)
        session.add(row)
        return Claim(mine=True)

    @staticmethod
    def _change(session: Session, asked: Asked, **changes: object) -> bool:
        """Change the record while it is this request's own; False if another process has taken it over."""
        mine = update(IdempotencyRecord).where(
            col(IdempotencyRecord.id) == asked.record_id, col(IdempotencyRecord.run_id) == asked.run_id
        )
        return session.exec(mine.values(**changes)).rowcount == 1


def _holds_messages(session: Session, turn_id: str) -> bool:
    """Whether a turn was accepted: one that was refused before its first step took its message back, and one
    that is queued has not put it into its thread yet."""
    if session.exec(select(Turn.id).where(Turn.id == turn_id, Turn.status == "queued")).first() is not None:
        return True
    return session.exec(select(Message.id).where(Message.turn_id == turn_id).limit(1)).first() is not None


def _was_charged(session: Session, run_id: str) -> bool:
    charged = select(UsageEvent.id).where(UsageEvent.id == run_id, UsageEvent.cost_nanos > 0)
    return session.exec(charged).first() is not None
