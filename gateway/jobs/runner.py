"""Running jobs in this process: some at a time, fairly over the accounts, until the process closes."""

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from starlette.types import ASGIApp

from gateway.accounts.keys import ApiKeys
from gateway.inference.keeping import AnswerUnwanted
from gateway.jobs.endings import JobEndings
from gateway.jobs.models import CANCELLED, FAILED, Job, run_id_of
from gateway.jobs.queue import PURGED_AT_ONCE, JobQueue
from gateway.jobs.run import JobAnswer, error_of, run_job
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, RateLimited
from vault.store import SecretNotFound, Vault

logger = logging.getLogger("heddle.jobs")

LOOK_EVERY_S = 1.0
TEND_EVERY_S = 5.0
PURGE_EVERY_S = 600.0
DAY_MS = 24 * 60 * 60 * 1000
LONGEST_RATE_WAIT_MS = DAY_MS
"""A job that its key's rates refuse for longer fails."""


@dataclass(slots=True)
class _Running:
    job: Job
    answer: JobAnswer
    task: asyncio.Task[None] | None = None
    cancelled: bool = False


class JobRunner:
    """Any number of processes may run jobs of the same database."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        keys: ApiKeys,
        queue: JobQueue,
        endings: JobEndings,
        routes: Mapping[str, ASGIApp],
        *,
        at_once: int,
        max_answer_bytes: int,
        keep_days: float,
    ) -> None:
        """``routes`` by endpoint; ``at_once``: how many run here at the same time."""
        self._db = db
        self._vault = vault
        self._clock = clock
        self._keys = keys
        self._queue = queue
        self._endings = endings
        self._routes = routes
        self._at_once = at_once
        self._max_answer_bytes = max_answer_bytes
        self._keep_ms = round(keep_days * DAY_MS)
        self._running: dict[str, _Running] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Take up what dead processes left (all of it on SQLite, where this process is alone)."""
        await self._queue.take_over(alone=self._db.dialect == "sqlite")
        self._tasks = [
            asyncio.create_task(self._work_for_ever()),
            asyncio.create_task(self._tend_for_ever()),
            asyncio.create_task(self._purge_for_ever()),
        ]

    async def close(self) -> None:
        """Cut off what runs: it costs nothing, and any process may run it again at once."""
        self._closing = True
        self.look()
        for task in self._tasks[:1]:
            await task  # never in the middle of taking jobs: they would be nobody's
        for task in self._tasks[1:]:
            task.cancel()
        for task in self._tasks[1:]:
            with suppress(asyncio.CancelledError):
                await task
        tasks = []
        for running in self._running.values():
            running.answer.forgives = True
            if running.task is not None:
                running.task.cancel()
                tasks.append(running.task)
        if tasks:
            await asyncio.wait(tasks)

    @property
    def running(self) -> int:
        """How many run here."""
        return len(self._running)

    def look(self) -> None:
        """There is a job to run."""
        self._wake.set()

    def cancel(self, job_id: str) -> None:
        """Stop a job, if it runs here; what it has used is billed."""
        for running in self._running.values():
            if running.job.id == job_id and running.task is not None and not running.cancelled:
                running.cancelled = True
                running.task.cancel()

    # --- background -------------------------------------------------------------------------------

    async def _work_for_ever(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_EVERY_S)
            self._wake.clear()
            try:
                await self._work()
            except Exception:
                logger.exception("taking jobs failed; it is tried again in %s s", LOOK_EVERY_S)

    async def _work(self) -> None:
        if self._running:
            for job_id in await self._queue.to_cancel(self._job_ids()):
                self.cancel(job_id)
        free = self._at_once - len(self._running)
        if free <= 0 or self._closing:
            return
        for job in await self._queue.take(free):
            answer = JobAnswer(job, self._vault, self._endings, limit=self._max_answer_bytes)
            running = self._running[run_id_of(job.id, job.attempt)] = _Running(job, answer)
            running.task = asyncio.create_task(self._run(running), name=job.id)

    def _job_ids(self) -> list[str]:
        return [running.job.id for running in self._running.values()]

    async def _tend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            try:
                await self.tend()
            except Exception:
                logger.exception("tending jobs failed; it is tried again in %s s", TEND_EVERY_S)

    async def tend(self) -> None:
        """Renew leases; take over what dead processes left."""
        if self._running:
            await self._queue.renew(self._job_ids())
        if await self._queue.take_over(alone=False):
            self.look()

    async def _purge_for_ever(self) -> None:
        while True:
            try:
                await self.purge()
            except Exception:
                logger.exception("purging jobs failed; it is tried again in %s s", PURGE_EVERY_S)
            await asyncio.sleep(PURGE_EVERY_S)

    async def purge(self) -> None:
        """Delete all that ended long enough ago, a part at a time."""
        while await self._queue.purge(self._keep_ms) == PURGED_AT_ONCE:
            pass

    # --- one job ----------------------------------------------------------------------------------

    async def _run(self, running: _Running) -> None:
        job, attempt = running.job, running.job.attempt
        try:
            await self._carry_out(running)
        except asyncio.CancelledError:
            if running.cancelled:
                await self._end(job, CANCELLED)
            else:
                await self._queue.give_back(job)
        except (AnswerUnwanted, SecretNotFound):
            logger.info("job %s had ended before this run of it", job.id)
        except RateLimited as refusal:
            await self._wait_for_rates(job, refusal)
        except HeddleError as refusal:
            await self._end(job, FAILED, refusal)
        except Exception:
            logger.exception("job %s failed", job.id)
            await self._end(job, FAILED, HeddleError("the job failed because of a fault on our side"))
        finally:
            del self._running[run_id_of(job.id, attempt)]
            self.look()

    async def _carry_out(self, running: _Running) -> None:
        job = running.job
        caller = dataclasses.replace(await self._keys.caller(job.key_id), drains=True)
        request = await self._queue.request_of(job)
        error = await run_job(job, caller, request, self._routes[job.endpoint], running.answer)
        if error is not None:
            await self._db.write(
                lambda session: self._endings.end(
                    session, job, FAILED, error=error, http_status=error["status"]
                )
            )

    async def _end(self, job: Job, status: str, refusal: HeddleError | None = None) -> None:
        error = None if refusal is None else error_of(refusal)
        told = None if refusal is None else refusal.status
        await self._db.write(
            lambda session: self._endings.end(session, job, status, error=error, http_status=told)
        )

    async def _wait_for_rates(self, job: Job, refusal: RateLimited) -> None:
        now = self._clock.now_ms()
        if now - job.created_at > LONGEST_RATE_WAIT_MS:
            await self._end(job, FAILED, refusal)
            return
        wait_ms = int(refusal.details.get("retry_after_ms", 1_000))
        await self._queue.give_back(job, not_before=now + wait_ms, refused=error_of(refusal))
