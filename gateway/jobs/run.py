"""One run of a job: its request goes to the route that it is for, as if its client had sent it."""

from typing import Any

from sqlmodel import Session
from starlette.types import ASGIApp, Message, Scope

from gateway.inference.keeping import AnswerUnwanted
from gateway.inference.passage import provider_message
from gateway.jobs.endings import JobEndings
from gateway.jobs.models import COMPLETED, FAILED, Job, run_id_of
from gateway.jobs.requests import JobRequest
from gateway.jobs.store import ANSWER
from kit.caller import Caller
from kit.errors import HeddleError, UpstreamFailed
from vault.store import Vault

FIRST_REFUSAL = 400


class JobAnswer:
    """Implements ``inference.keeping.Keeper``: the answer ends the job, in the transaction that charges for
    it. One that is larger than ``limit`` bytes is charged, and the job fails."""

    def __init__(self, job: Job, vault: Vault, endings: JobEndings, *, limit: int) -> None:
        self.forgives = False
        self.kept = False
        self._job = job
        self._vault = vault
        self._endings = endings
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._pieces.clear()
        else:
            self._pieces.append(bytes(piece))

    def keep(self, session: Session, content_type: str) -> None:
        job = self._job
        facts: dict[str, Any] = {
            "http_status": 200,
            "content_type": content_type,
            "answer_bytes": self._size,
        }
        if self._size > self._limit:
            error = {
                "status": 413,
                "type": "request_too_large",
                "code": "answer_too_large",
                "message": f"its answer of {self._size} bytes is larger than {self._limit}; it was not kept",
            }
            kept = self._endings.end(session, job, FAILED, error=error, **facts)
        else:
            kept = self._endings.end(session, job, COMPLETED, **facts)
        if not kept:
            raise AnswerUnwanted(job.id)
        self.kept = True
        if self._size <= self._limit:
            job_row = session.get_one(Job, job.id, populate_existing=True)
            job_row.answer_id = self._vault.seal(
                session,
                account_id=job.account_id,
                owner=job.id,
                purpose=ANSWER,
                plaintext=b"".join(self._pieces),
            )
            session.add(job_row)


async def run_job(
    job: Job, caller: Caller, request: JobRequest, route: ASGIApp, answer: JobAnswer
) -> dict[str, Any] | None:
    """What went wrong, as the job keeps it; None if its answer was kept. Raises HeddleError,
    AnswerUnwanted."""
    refused = _Refused()
    body: Message = {"type": "http.request", "body": request.body, "more_body": False}
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": job.endpoint,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *request.headers],
        "caller": caller,
        "request_id": run_id_of(job.id, job.attempt),
        "keeper": answer,
    }

    async def receive() -> Message:
        return body

    await route(scope, receive, refused)
    if refused.error is None and not answer.kept:
        raise UpstreamFailed("the provider broke off its answer", code="upstream_broke_off")
    return refused.error


class _Refused:
    """Hears an answer and keeps nothing of it but a refusal: the provider's own, in its own words."""

    def __init__(self) -> None:
        self._status = 200
        self._pieces: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif self._status >= FIRST_REFUSAL:
            self._pieces.append(message.get("body", b""))

    @property
    def error(self) -> dict[str, Any] | None:
        if self._status < FIRST_REFUSAL:
            return None
        body = b"".join(self._pieces)
        return {
            "status": self._status,
            "type": "invalid_request_error",
            "code": "provider_refused",
            "message": provider_message(body) or "the provider refused the request",
        }


def error_of(error: HeddleError) -> dict[str, Any]:
    """A refusal as a job keeps it."""
    param = {} if error.param is None else {"param": error.param}
    details = {"details": error.details} if error.details else {}
    return {
        "status": error.status,
        "type": error.type,
        "code": error.code,
        "message": error.message,
        **param,
        **details,
    }
