"""The parts of jobs, put together."""

from collections.abc import Mapping

from fastapi import APIRouter
from starlette.types import ASGIApp

from gateway.accounts.keys import ApiKeys
from gateway.jobs.endings import JobEndings
from gateway.jobs.queue import JobQueue
from gateway.jobs.routes import job_routes
from gateway.jobs.runner import JobRunner
from gateway.jobs.store import JobStore
from gateway.settings import Settings
from kit.clock import Clock
from kit.db import Database
from vault.store import Vault


class Jobs:
    """``endpoints``: the routes that a job may be for, by their paths."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        keys: ApiKeys,
        endpoints: Mapping[str, ASGIApp],
        settings: Settings,
    ) -> None:
        endings = JobEndings(vault, clock)
        self._endpoints = endpoints
        self._max_request_bytes = settings.max_request_bytes
        self.queue = JobQueue(db, vault, clock, endings)
        self.store = JobStore(db, vault, clock, endings)
        self.runner = JobRunner(
            db,
            vault,
            clock,
            keys,
            self.queue,
            endings,
            endpoints,
            at_once=settings.max_running_jobs,
            max_answer_bytes=settings.max_job_answer_bytes,
            keep_days=settings.keep_jobs_days,
        )

    def routes(self) -> APIRouter:
        return job_routes(self.store, self.runner, self._endpoints, max_request_bytes=self._max_request_bytes)
