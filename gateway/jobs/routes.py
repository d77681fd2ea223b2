"""Jobs over HTTP."""

from collections.abc import Collection
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gateway.inference.answering import forwarded
from gateway.jobs.models import COMPLETED, Job
from gateway.jobs.requests import parse_job
from gateway.jobs.runner import JobRunner
from gateway.jobs.store import JobStore, Used
from kit.caller import Standard
from kit.json import NOT_JSON
from kit.money import micros
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page
from kit.request_body import read_json

Status = Literal["queued", "running", "completed", "failed", "cancelled"]


def job_routes(
    store: JobStore, runner: JobRunner, endpoints: Collection[str], *, max_request_bytes: int
) -> APIRouter:
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @router.post("", status_code=202)
    async def create_job(request: Request, caller: Standard) -> dict[str, Any]:
        asked = parse_job(await read_json(request, max_request_bytes), endpoints)
        headers = [(name.encode(), value.encode()) for name, value in forwarded(request.scope).items()]
        job = await store.create(caller, asked, headers)
        runner.look()
        return render_job(job, Used())

    @router.get("")
    async def list_jobs(
        caller: Standard,
        status: Status | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        before = decode_cursor(cursor, int, str) if cursor else None
        rows = await store.page(caller, status=status, limit=limit, before=before)
        used = await store.used(rows)
        return page(
            rows,
            limit,
            lambda job: render_job(job, used.get(job.id, Used())),
            lambda job: (job.created_at, job.id),
        )

    @router.get("/{job_id}")
    async def get_job(job_id: str, caller: Standard) -> dict[str, Any]:
        job = await store.get(caller, job_id)
        rendered = render_job(job, (await store.used([job])).get(job.id, Used()))
        if job.status == COMPLETED and _is_json(job):
            with suppress(*NOT_JSON):  # a provider may call something JSON that is not
                rendered["result"]["body"] = msgspec.json.decode(await store.answer(job))
        return rendered

    @router.get("/{job_id}/content")
    async def get_content(job_id: str, caller: Standard) -> Response:
        job = await store.get(caller, job_id)
        return Response(await store.answer(job), headers={"content-type": job.content_type or ""})

    @router.delete("/{job_id}")
    async def cancel_job(job_id: str, caller: Standard) -> dict[str, Any]:
        job = await store.cancel(caller, job_id)
        runner.cancel(job.id)
        return render_job(job, (await store.used([job])).get(job.id, Used()))

    return router


def render_job(job: Job, used: Used) -> dict[str, Any]:
    """Without the answer's body: lists do not show it."""
    result = None
    if job.status == COMPLETED:
        result = {
            "status": job.http_status,
            "content_type": job.content_type,
            "bytes": job.answer_bytes,
            "content_url": f"/v1/jobs/{job.id}/content",
            "body": None,
        }
    return {
        "id": job.id,
        "object": "job",
        "status": job.status,
        "endpoint": job.endpoint,
        "model": job.model,
        "end_user_id": job.end_user_id,
        "metadata": job.meta,
        "result": result,
        "error": job.error,
        "usage": {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens},
        "cost_micros": micros(used.cost_nanos),
        "attempts": job.attempt,
        "interruptions": job.interruptions,
        "max_attempts": job.max_attempts,
        "cancel_requested": job.cancel_requested,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _is_json(job: Job) -> bool:
    return (job.content_type or "").partition(";")[0].strip().endswith("json")
