"""The rows of jobs, for those who ask for them: create, read, list, cancel. Every query is
bound to one caller."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, func, select

from gateway.billing.models import UsageEvent
from gateway.jobs.endings import JobEndings
from gateway.jobs.models import CANCELLED, QUEUED, RUNNING, Job, run_id_of
from gateway.jobs.requests import AskedJob, JobRequest, encode_job_request
from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict, NotFound
from kit.ids import new_id
from vault.store import SecretNotFound, Vault

MAX_QUEUED = 10_000
"""Jobs of an account that may wait."""
REQUEST, ANSWER = "job request", "job answer"


@dataclass(frozen=True, slots=True)
class Used:
    """What all runs of a job have used."""

    cost_nanos: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class JobStore:
    def __init__(self, db: Database, vault: Vault, clock: Clock, endings: JobEndings) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._endings = endings

    async def create(self, caller: Caller, asked: AskedJob, headers: list[tuple[bytes, bytes]]) -> Job:
        """Raises Conflict (``queue_full``)."""
        now, job_id, account_id = self._clock.now_ms(), new_id("job"), caller.account_id
        plaintext = encode_job_request(JobRequest(headers, asked.body))

        def write(session: Session) -> Job:
            waiting = select(func.count()).where(Job.status == QUEUED, Job.account_id == account_id)
            if session.exec(waiting).one() >= MAX_QUEUED:
                raise Conflict(f"{MAX_QUEUED} jobs wait already; try again later", code="queue_full")
            request_id = self._vault.seal(
                session, account_id=account_id, owner=job_id, purpose=REQUEST, plaintext=plaintext
            )
            job = Job(
                id=job_id,
                account_id=account_id,
                key_id=caller.key_id,
                end_user_id=caller.end_user_id,
                endpoint=asked.endpoint,
                model=asked.model,
                meta=asked.meta,
                request_id=request_id,
                max_attempts=asked.max_attempts,
                created_at=now,
            )
            session.add(job)
            return job

        return await self._db.write(write)

    async def get(self, caller: Caller, job_id: str) -> Job:
        """Raises NotFound unless the caller may see it."""
        async with self._db.session() as session:
            return _visible(await session.get(Job, job_id), caller, job_id)

    async def page(
        self, caller: Caller, *, status: str | None, limit: int, before: tuple[Any, ...] | None
    ) -> list[Job]:
        """Up to ``limit + 1`` jobs, newest first."""
        query = select(Job).where(Job.account_id == caller.account_id)
        if caller.end_user_id is not None:
            query = query.where(Job.end_user_id == caller.end_user_id)
        if status is not None:
            query = query.where(Job.status == status)
        if before is not None:
            created_at, job_id = before
            query = query.where(
                (col(Job.created_at) < created_at)
                | ((col(Job.created_at) == created_at) & (col(Job.id) < job_id))
            )
        query = query.order_by(col(Job.created_at).desc(), col(Job.id).desc()).limit(limit + 1)
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def used(self, jobs: Sequence[Job]) -> dict[str, Used]:
        """By the job's id."""
        ids = {run_id_of(job.id, run): job.id for job in jobs for run in range(1, job.attempt + 1)}
        query = select(
            UsageEvent.id, UsageEvent.cost_nanos, UsageEvent.input_tokens, UsageEvent.output_tokens
        ).where(col(UsageEvent.id).in_(ids))
        used: dict[str, Used] = {}
        async with self._db.session() as session:
            for run_id, cost, read, written in (await session.exec(query)).all():
                before = used.get(ids[run_id], Used())
                used[ids[run_id]] = Used(
                    before.cost_nanos + cost, before.input_tokens + read, before.output_tokens + written
                )
        return used

    async def answer(self, job: Job) -> bytes:
        """The body of its answer. Raises NotFound if there is none (any more)."""
        try:
            if job.answer_id is not None:
                return await self._vault.open(
                    job.answer_id, account_id=job.account_id, owner=job.id, purpose=ANSWER
                )
        except SecretNotFound:  # it has expired this moment
            pass
        raise NotFound(f"job {job.id} has no answer", code="no_answer")

    async def cancel(self, caller: Caller, job_id: str) -> Job:
        """End it, or ask the process that runs it to; nothing happens to one that has ended. Raises
        NotFound."""

        def write(session: Session) -> Job:
            job = _visible(
                session.get(Job, job_id, with_for_update=True, populate_existing=True), caller, job_id
            )
            if job.status == QUEUED:
                self._endings.end(session, job, CANCELLED)
                session.refresh(job)
            elif job.status == RUNNING:
                job.cancel_requested = True
                session.add(job)
            return job

        return await self._db.write(write)


def _visible(job: Job | None, caller: Caller, job_id: str) -> Job:
    if job is None or job.account_id != caller.account_id:
        raise NotFound(f"job {job_id} not found")
    caller.must_see(f"job {job_id}", job.end_user_id)
    return job
