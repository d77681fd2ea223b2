"""Search over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from kit.caller import Standard
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT
from threads.search import Found, Search

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


def search_routes(search: Search) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["threads"])

    @router.get("/search")
    async def search_messages(
        caller: Standard, q: str = "", end_user_id: str | None = None, limit: Limit = DEFAULT_LIMIT
    ) -> dict[str, Any]:
        found = await search.find(caller, q, end_user_id=end_user_id, thread_id=None, limit=limit)
        return _rendered(q, found)

    @router.get("/threads/{thread_id}/search")
    async def search_thread(
        thread_id: str,
        caller: Standard,
        q: str = "",
        end_user_id: str | None = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> dict[str, Any]:
        found = await search.find(caller, q, end_user_id=end_user_id, thread_id=thread_id, limit=limit)
        return _rendered(q, found)

    return router


def _rendered(query: str, found: Found) -> dict[str, Any]:
    return {
        "object": "list",
        "query": query,
        "mode": found.mode,
        "data": [
            {
                "thread_id": hit.message.thread_id,
                "seq": hit.message.seq,
                "role": hit.message.role,
                "snippet": hit.snippet,
                "score": hit.score,
                "created_at": hit.message.created_at,
            }
            for hit in found.hits
        ],
    }
