"""Streams of a turn's events and of a thread's changes over HTTP."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from kit.caller import Standard
from threads.change_stream import ThreadChanges
from threads.event_stream import EventStream, starting_point
from threads.turn import TurnEngine


def event_routes(engine: TurnEngine, changes: ThreadChanges) -> APIRouter:
    router = APIRouter(prefix="/v1/threads", tags=["threads"])

    @router.get("/{thread_id}/turns/{turn_id}/events")
    async def turn_events(thread_id: str, turn_id: str, request: Request, caller: Standard) -> Response:
        after = starting_point(request) or 0
        turn = await engine.journal.get(caller, thread_id, turn_id)
        headers = {"x-qlaud-thread-id": thread_id, "x-heddle-turn-id": turn.id}
        return EventStream(engine.hub.subscribe(turn.id, after), headers)

    @router.get("/{thread_id}/events")
    async def thread_events(thread_id: str, request: Request, caller: Standard) -> Response:
        frames = await changes.open(caller, thread_id, starting_point(request))
        return EventStream(frames, {"x-qlaud-thread-id": thread_id})

    return router
