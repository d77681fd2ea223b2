"""Threads over HTTP."""

from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from kit.caller import Caller, Standard
from kit.errors import Conflict, InvalidRequest
from kit.money import micros
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page
from kit.request_body import check_storable, read_json
from kit.trace_context import trace_in_headers
from threads.context.settings import parse_context
from threads.event_stream import EventStream
from threads.failure import TurnFailed
from threads.models import Turn
from threads.once import Once
from threads.outcomes import Answer
from threads.reading import TurnReader, final_message
from threads.schemas import (
    ActionAnswers,
    CreateThread,
    EditThread,
    ToolOutput,
    render_action,
    render_call,
    render_compaction,
    render_message,
    render_thread,
    render_turn,
)
from threads.store import ThreadStore
from threads.turn import TurnEngine
from threads.turn_request import parse_turn

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Seq = Annotated[int | None, Query(ge=0, le=2**53)]

CANCEL_TRIES = 3
MAX_METADATA_FILTERS = 16


def thread_routes(
    store: ThreadStore,
    engine: TurnEngine,
    reader: TurnReader,
    *,
    max_request_bytes: int,
    default_tools_mode: str,
) -> APIRouter:
    router = APIRouter(prefix="/v1/threads", tags=["threads"])

    @router.post("", status_code=201)
    async def create_thread(caller: Standard, body: CreateThread | None = None) -> dict[str, Any]:
        body = body or CreateThread()
        thread = await store.create(
            caller,
            end_user_id=body.end_user_id,
            metadata=body.metadata or {},
            thread_id=body.id,
            context=parse_context(body.context),
        )
        return render_thread(thread)

    @router.get("")
    async def list_threads(
        request: Request,
        caller: Standard,
        end_user_id: str | None = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        before = decode_cursor(cursor, int, str) if cursor else None
        rows = await store.page(
            caller, end_user_id=end_user_id, metadata=_metadata_filter(request), limit=limit, before=before
        )
        return page(rows, limit, render_thread, lambda row: (row.last_active_at, row.id))

    @router.delete("/empty")
    async def delete_empty_threads(caller: Standard) -> dict[str, Any]:
        return {"deleted": await store.delete_empty(caller)}

    @router.get("/{thread_id}")
    async def get_thread(thread_id: str, caller: Standard) -> dict[str, Any]:
        thread = await store.get(caller, thread_id)
        compaction = await store.compaction(thread_id)
        return {**render_thread(thread), "compaction": render_compaction(compaction)}

    @router.patch("/{thread_id}")
    async def edit_thread(thread_id: str, body: EditThread, caller: Standard) -> dict[str, Any]:
        thread = await store.edit(caller, thread_id, changes=body.changes, metadata=body.metadata or {})
        return render_thread(thread)

    @router.delete("/{thread_id}")
    async def delete_thread(thread_id: str, caller: Standard) -> dict[str, Any]:
        for _ in range(CANCEL_TRIES):
            running = await store.delete(caller, thread_id)
            if running is None:
                break
            await engine.cancel(caller, thread_id, running)
        else:
            raise Conflict(f"turn {running} is under way; cancel it first", code="turn_in_progress")
        return {"id": thread_id, "object": "thread.deleted", "deleted": True}

    @router.get("/{thread_id}/messages")
    async def list_messages(
        thread_id: str,
        caller: Standard,
        limit: Limit = DEFAULT_LIMIT,
        order: Annotated[str, Query(pattern="^(asc|desc)$")] = "asc",
        after_seq: Seq = None,
        before_seq: Seq = None,
    ) -> dict[str, Any]:
        rows = await store.messages(
            caller,
            thread_id,
            limit=limit,
            ascending=order == "asc",
            after_seq=after_seq,
            before_seq=before_seq,
        )
        shown, has_more = rows[:limit], len(rows) > limit
        seqs = [row.seq for row in shown]
        return {
            "object": "list",
            "data": [render_message(row) for row in shown],
            "has_more": has_more,
            "next_after_seq": max(seqs) if has_more and order == "asc" else None,
            "next_before_seq": min(seqs) if has_more and order == "desc" else None,
            "compaction": render_compaction(await store.compaction(thread_id)),
        }

    @router.post("/{thread_id}/messages")
    async def post_message(thread_id: str, request: Request, caller: Standard) -> Response:
        body = await _json_object(request, max_request_bytes)
        turn_request = parse_turn(body, default_tools_mode=default_tools_mode)
        turn_request = replace(turn_request, trace=trace_in_headers(request.headers.raw))
        once: Once | None = request.scope.get("once")
        turn = await engine.begin(caller, thread_id, turn_request, once)
        headers = {"x-qlaud-thread-id": thread_id, "x-heddle-turn-id": turn.id}
        if turn_request.background:
            return _json(render_turn(turn), status=202, headers=headers)
        if turn_request.stream:
            return EventStream(engine.hub.subscribe(turn.id), headers)
        return await _whole_answer(engine, reader, caller, turn, headers)

    @router.get("/{thread_id}/turns")
    async def list_turns(
        thread_id: str, caller: Standard, limit: Limit = DEFAULT_LIMIT, cursor: str | None = None
    ) -> dict[str, Any]:
        before = decode_cursor(cursor, int, str) if cursor else None
        rows = await reader.page(caller, thread_id, limit=limit, before=before)
        return page(rows, limit, render_turn, lambda row: (row.created_at, row.id))

    @router.get("/{thread_id}/turns/{turn_id}")
    async def get_turn(thread_id: str, turn_id: str, caller: Standard) -> dict[str, Any]:
        turn = await engine.journal.get(caller, thread_id, turn_id)
        return await reader.rendered(turn)

    @router.get("/{thread_id}/turns/{turn_id}/calls/{call}/output")
    async def get_output(thread_id: str, turn_id: str, call: str, caller: Standard) -> Response:
        turn = await engine.journal.get(caller, thread_id, turn_id)
        return _json(await reader.output(turn, call), status=200, headers={})

    @router.post("/{thread_id}/turns/{turn_id}/actions")
    async def answer_actions(
        thread_id: str, turn_id: str, body: ActionAnswers, caller: Standard
    ) -> dict[str, Any]:
        answers = [
            (
                one.id,
                Answer(
                    one.type,
                    one.reason,
                    one.output,
                    one.is_error,
                    action=one.action,
                    content=one.content,
                ),
            )
            for one in body.actions
        ]
        turn = await engine.answer(caller, thread_id, turn_id, answers)
        return await reader.rendered(turn)

    @router.post("/{thread_id}/tool-results/{tool_use_id}")
    async def post_tool_result(
        thread_id: str, tool_use_id: str, body: ToolOutput, caller: Standard
    ) -> dict[str, Any]:
        answer = Answer("tool_output", output=body.output, is_error=body.is_error)
        turn_id = await engine.tool_result(caller, thread_id, tool_use_id, answer)
        return {
            "object": "tool_result",
            "thread_id": thread_id,
            "turn_id": turn_id,
            "tool_use_id": tool_use_id,
        }

    @router.post("/{thread_id}/turns/{turn_id}/cancel")
    async def cancel_turn(thread_id: str, turn_id: str, caller: Standard) -> dict[str, Any]:
        turn = await engine.cancel(caller, thread_id, turn_id)
        return await reader.rendered(turn)

    return router


async def _whole_answer(
    engine: TurnEngine, reader: TurnReader, caller: Caller, begun: Turn, headers: dict[str, str]
) -> Response:
    """Wait for the turn and answer with its last assistant message. Raises what made the turn fail."""
    await engine.wait(begun.id)
    turn = await engine.journal.get(caller, begun.thread_id, begun.id)
    if turn.status == "failed" and turn.error is not None:
        raise TurnFailed(turn.id, turn.error)
    actions = await engine.actions.open_of(turn.id)
    message = await reader.last_assistant(turn)
    body: dict[str, Any] = {
        **final_message(message, turn, waiting=bool(actions)),
        "thread_id": turn.thread_id,
        "turn_id": turn.id,
        "status": turn.status,
        "iterations": turn.iteration,
        "hit_max_iterations": turn.hit_max_iterations,
        "cost_micros": micros(turn.cost_nanos),
        "tool_calls": [render_call(call) for call in await reader.calls(turn)],
    }
    if actions:
        body["actions"] = [render_action(action) for action in actions]
    if message is not None:
        headers["x-qlaud-assistant-seq"] = str(message.seq)
    headers["x-heddle-cost-micros"] = str(body["cost_micros"])
    return _json(body, status=200, headers=headers)


def _json(body: dict[str, Any], *, status: int, headers: dict[str, str]) -> Response:
    return Response(
        msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json"
    )


def _metadata_filter(request: Request) -> dict[str, str]:
    """``metadata[key]=value`` query parameters."""
    asked = {
        name[len("metadata[") : -1]: value
        for name, value in request.query_params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    if len(asked) > MAX_METADATA_FILTERS:
        raise InvalidRequest(f"metadata: expected at most {MAX_METADATA_FILTERS} keys", param="metadata")
    check_storable({"metadata": asked})
    return asked


async def _json_object(request: Request, limit: int) -> dict[str, Any]:
    body = await read_json(request, limit)
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_json")
    check_storable(body)
    return body
