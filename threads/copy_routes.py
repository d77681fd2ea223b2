"""Forks, exports and imports of threads over HTTP."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from kit.caller import Standard
from kit.request_body import read_bounded
from threads.fork import Forks
from threads.schemas import ForkThread, render_thread
from threads.transfer import Lines, Transfer

JSON_LINES = "application/x-ndjson"


def copy_routes(forks: Forks, transfer: Transfer, *, max_request_bytes: int) -> APIRouter:
    router = APIRouter(prefix="/v1/threads", tags=["threads"])

    @router.post("/import", status_code=201)
    async def import_thread(request: Request, caller: Standard) -> dict[str, Any]:
        body = await read_bounded(request, max_request_bytes)
        lines = await asyncio.to_thread(Lines, body)
        return render_thread(await transfer.import_thread(caller, lines))

    @router.post("/{thread_id}/fork", status_code=201)
    async def fork_thread(thread_id: str, caller: Standard, body: ForkThread | None = None) -> dict[str, Any]:
        at_seq = body.at_seq if body is not None else None
        return render_thread(await forks.fork(caller, thread_id, at_seq=at_seq))

    @router.get("/{thread_id}/export")
    async def export_thread(thread_id: str, caller: Standard) -> StreamingResponse:
        lines = await transfer.export(caller, thread_id)
        headers = {"content-disposition": f'attachment; filename="thread-{thread_id}.jsonl"'}
        return StreamingResponse(lines, media_type=JSON_LINES, headers=headers)

    return router
