"""How jobs end: in one transaction with what their account is told, and with their answer, if they have one.

Invariant: a job ends once; whoever comes later changes nothing.
"""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, update

from gateway.jobs.models import QUEUED, RUNNING, Job
from kit.clock import Clock
from kit.outbox import record_event
from vault.store import Vault


class JobEndings:
    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    def end(
        self,
        session: Session,
        job: Job,
        status: str,
        *,
        error: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> bool:
        """End a job that is queued or running, and write the event that tells of it. False if it has ended
        before."""
        now = self._clock.now_ms()
        changes = {
            "status": status,
            "error": dict(error) if error is not None else None,
            "lease_owner": None,
            "lease_until": 0,
            "finished_at": now,
            "request_id": None,
            **columns,
        }
        open_still = (col(Job.id) == job.id, col(Job.status).in_((QUEUED, RUNNING)))
        if session.exec(update(Job).where(*open_still).values(**changes)).rowcount != 1:
            return False
        if job.request_id is not None:
            self._vault.forget(session, job.request_id)
        told = {
            "id": job.id,
            "status": status,
            "endpoint": job.endpoint,
            "model": job.model,
            "end_user_id": job.end_user_id,
            "metadata": job.meta,
            "error": error and {name: error[name] for name in ("code", "message") if name in error},
        }
        record_event(session, job.account_id, f"job.{status}", told, now_ms=now)
        return True
