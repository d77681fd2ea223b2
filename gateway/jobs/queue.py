"""The rows of jobs, for the processes that run them: take, keep, give back, take over, purge.

Invariants:
- a job is run by one process at a time, as far as its lease says; whoever's answer comes first is the job's;
- an answer is stored in the transaction that charges for it, so a run that was charged is never repeated;
- a run that ended with its process was not charged, and is repeated at most ``max_attempts - 1`` times.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, delete, func, select, update

from gateway.billing.holds import release_hold
from gateway.billing.models import UsageEvent
from gateway.jobs.endings import JobEndings
from gateway.jobs.models import CANCELLED, FAILED, QUEUED, RUNNING, Job, run_id_of
from gateway.jobs.requests import JobRequest, decode_job_request
from gateway.jobs.store import REQUEST
from kit.clock import Clock
from kit.db import Database
from kit.ids import new_id
from vault.store import Vault

LEASE_MS = 30_000
PURGED_AT_ONCE = 200
TAKEN_OVER_AT_ONCE = 200


class JobQueue:
    def __init__(self, db: Database, vault: Vault, clock: Clock, endings: JobEndings) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._endings = endings
        self.owner = new_id("proc")

    async def take(self, limit: int) -> list[Job]:
        """Lease up to so many jobs that wait: each time the oldest of the account that has the fewest
        running, in all processes."""

        def write(session: Session) -> list[Job]:
            now = self._clock.now_ms()
            ready = (Job.status == QUEUED, Job.not_before <= now)
            waiting: dict[str, int] = dict(
                session.exec(
                    select(Job.account_id, func.min(Job.created_at)).where(*ready).group_by(Job.account_id)
                ).all()
            )
            if not waiting:
                return []
            running: dict[str, int] = dict(
                session.exec(
                    select(Job.account_id, func.count()).where(Job.status == RUNNING).group_by(Job.account_id)
                ).all()
            )
            taken: list[Job] = []
            while waiting and len(taken) < limit:
                account_id = min(waiting, key=lambda one: (running.get(one, 0), waiting[one]))
                job = session.exec(
                    select(Job)
                    .where(*ready, Job.account_id == account_id)
                    .order_by(col(Job.created_at), col(Job.id))
                    .limit(1)
                    .with_for_update(skip_locked=True)
                    .execution_options(populate_existing=True)
                ).first()
                if job is None:
                    del waiting[account_id]
                    continue
                job.status, job.lease_owner, job.lease_until = RUNNING, self.owner, now + LEASE_MS
                job.attempt += 1
                job.started_at = job.started_at or now
                session.add(job)
                session.flush()
                running[account_id] = running.get(account_id, 0) + 1
                taken.append(job)
            return taken

        return await self._db.write(write)

    async def request_of(self, job: Job) -> JobRequest:
        """Raises SecretNotFound if the job has ended meanwhile."""
        assert job.request_id is not None
        sealed = await self._vault.open(
            job.request_id, account_id=job.account_id, owner=job.id, purpose=REQUEST
        )
        return decode_job_request(sealed)

    async def give_back(
        self, job: Job, *, not_before: int = 0, refused: Mapping[str, Any] | None = None
    ) -> None:
        """It is to be run again, by anybody. A run that was ``refused`` admission does not count."""
        changes = {
            "status": QUEUED,
            "not_before": not_before,
            "attempt": job.attempt if refused is None else job.attempt - 1,
            "error": dict(refused) if refused is not None else None,
            "lease_owner": None,
            "lease_until": 0,
        }
        await self._db.write(
            lambda session: session.exec(update(Job).where(*self._mine(job)).values(**changes))
        )

    async def renew(self, job_ids: list[str]) -> None:
        until = self._clock.now_ms() + LEASE_MS
        mine = (col(Job.id).in_(job_ids), col(Job.lease_owner) == self.owner)
        await self._db.write(lambda session: session.exec(update(Job).where(*mine).values(lease_until=until)))

    async def to_cancel(self, job_ids: list[str]) -> list[str]:
        """Those of these that somebody wants to be cancelled."""
        query = select(Job.id).where(col(Job.id).in_(job_ids), col(Job.cancel_requested).is_(True))
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def take_over(self, *, alone: bool) -> int:
        """Decide on jobs whose process is gone (``alone``: all that run elsewhere); returns how many. Those
        that may be run again wait in the queue."""
        now = self._clock.now_ms()
        stale = col(Job.lease_until) < now
        if alone:
            stale = stale | (col(Job.lease_owner) != self.owner)
        query = select(Job).where(Job.status == RUNNING, stale).limit(TAKEN_OVER_AT_ONCE)

        def write(session: Session) -> list[str]:
            locked = query.with_for_update(skip_locked=True).execution_options(populate_existing=True)
            jobs = session.exec(locked).all()
            for job in jobs:
                self._decide(session, job)
            return [run_id_of(job.id, job.attempt) for job in jobs]

        async with self._db.session() as session:  # most of the time there is none
            if (await session.exec(query)).first() is None:
                return 0
        run_ids = await self._db.write(write)
        for run_id in run_ids:  # apart: settlements lock wallets before jobs
            await self._db.write(partial(release_hold, request_id=run_id))
        return len(run_ids)

    def _decide(self, session: Session, job: Job) -> None:
        run_id = run_id_of(job.id, job.attempt)
        charged = session.exec(
            select(UsageEvent.id).where(UsageEvent.id == run_id, UsageEvent.cost_nanos > 0)
        ).first()
        job.interruptions += 1
        if job.cancel_requested:
            self._endings.end(session, job, CANCELLED, interruptions=job.interruptions)
        elif charged is not None or job.interruptions >= job.max_attempts:
            how = "and was charged" if charged is not None else "and was not charged"
            error = {
                "status": 500,
                "type": "api_error",
                "code": "job_interrupted",
                "message": "its process died while the request was under way; the provider may have answered "
                f"it. Run {job.attempt} was the last, {how}",
            }
            self._endings.end(session, job, FAILED, error=error, interruptions=job.interruptions)
        else:
            job.status, job.lease_owner, job.lease_until = QUEUED, None, 0
            session.add(job)

    async def purge(self, keep_ms: int) -> int:
        """Delete some of the jobs that ended so long ago, with their answers; returns how many."""
        before = self._clock.now_ms() - keep_ms

        def write(session: Session) -> int:
            due = session.exec(
                select(Job.id, Job.answer_id)
                .where(col(Job.finished_at) <= before)
                .limit(PURGED_AT_ONCE)
                .with_for_update(skip_locked=True)
            ).all()
            self._vault.forget(session, *(answer_id for _, answer_id in due if answer_id is not None))
            session.exec(delete(Job).where(col(Job.id).in_([job_id for job_id, _ in due])))
            return len(due)

        return await self._db.write(write)

    def _mine(self, job: Job) -> tuple[ColumnElement[bool], ...]:
        return (
            col(Job.id) == job.id,
            col(Job.status) == RUNNING,
            col(Job.lease_owner) == self.owner,
            col(Job.attempt) == job.attempt,
        )
