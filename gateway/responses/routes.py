"""Stored responses and conversations over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from gateway.responses.asked import conversation_id_of, read_items, thread_id_of
from gateway.responses.conversations import Conversations, render_conversation
from gateway.responses.route import stream_of
from gateway.responses.stored import Begun, StoredResponses
from kit.caller import Standard
from kit.errors import InvalidRequest
from kit.request_body import RequestBody

Limit = Annotated[int, Query(ge=1, le=100)]
Order = Annotated[str, Query(pattern="^(asc|desc)$")]
DEFAULT_LIMIT = 20


class NewConversation(RequestBody):
    items: list[dict[str, Any]] | None = Field(default=None, max_length=20)
    metadata: dict[str, Any] | None = None


class EditConversation(RequestBody):
    metadata: dict[str, Any] = Field(default_factory=dict)


def response_routes(stored: StoredResponses) -> APIRouter:
    router = APIRouter(prefix="/v1/responses", tags=["responses"])

    @router.get("/{response_id}", response_model=None)
    async def get_response(
        response_id: str,
        caller: Standard,
        stream: bool = False,
        starting_after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    ) -> dict[str, Any] | Response:
        if not stream:
            return await stored.get(caller, response_id)
        row, turn = await stored.rows.get(caller, response_id)
        after = -1 if starting_after is None else starting_after
        return stream_of(stored, caller, Begun(row, turn), {}, after=after)

    @router.post("/{response_id}/cancel")
    async def cancel_response(response_id: str, caller: Standard) -> dict[str, Any]:
        return await stored.cancel(caller, response_id)

    @router.delete("/{response_id}")
    async def delete_response(response_id: str, caller: Standard) -> dict[str, Any]:
        await stored.delete(caller, response_id)
        return {"id": response_id, "object": "response.deleted", "deleted": True}

    @router.get("/{response_id}/input_items")
    async def list_input_items(
        response_id: str,
        caller: Standard,
        limit: Limit = DEFAULT_LIMIT,
        order: Order = "desc",
        after: str | None = None,
    ) -> dict[str, Any]:
        row, _ = await stored.rows.get(caller, response_id)
        items = [_shown(item) for item in row.items]
        return page_of(items, limit=limit, ascending=order == "asc", after=after)

    return router


def conversation_routes(conversations: Conversations) -> APIRouter:
    router = APIRouter(prefix="/v1/conversations", tags=["responses"])

    @router.post("")
    async def create_conversation(caller: Standard, body: NewConversation | None = None) -> dict[str, Any]:
        body = body or NewConversation()
        items = read_items(body.items, "items") if body.items else []
        return render_conversation(await conversations.create(caller, items, body.metadata or {}))

    @router.get("/{conversation_id}")
    async def get_conversation(conversation_id: str, caller: Standard) -> dict[str, Any]:
        return render_conversation(await conversations.get(caller, thread_id_of(conversation_id)))

    @router.post("/{conversation_id}")
    async def edit_conversation(
        conversation_id: str, body: EditConversation, caller: Standard
    ) -> dict[str, Any]:
        thread_id = thread_id_of(conversation_id)
        return render_conversation(await conversations.edit(caller, thread_id, body.metadata))

    @router.delete("/{conversation_id}")
    async def delete_conversation(conversation_id: str, caller: Standard) -> dict[str, Any]:
        thread_id = thread_id_of(conversation_id)
        await conversations.delete(caller, thread_id)
        return {"id": conversation_id_of(thread_id), "object": "conversation.deleted", "deleted": True}

    @router.get("/{conversation_id}/items")
    async def list_items(
        conversation_id: str,
        caller: Standard,
        limit: Limit = DEFAULT_LIMIT,
        order: Order = "desc",
        after: str | None = None,
    ) -> dict[str, Any]:
        items = await conversations.items(caller, thread_id_of(conversation_id))
        return page_of(items, limit=limit, ascending=order == "asc", after=after)

    return router


def page_of(items: list[dict[str, Any]], *, limit: int, ascending: bool, after: str | None) -> dict[str, Any]:
    """OpenAI's form of a list. ``items`` are oldest first. Raises InvalidRequest."""
    ordered = items if ascending else items[::-1]
    start = 0
    if after is not None:
        places = [number for number, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise InvalidRequest("after: there is no such item", param="after")
        start = places[0] + 1
    shown = ordered[start : start + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(ordered) > start + limit,
    }


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    """A message's text as the part that it stands for."""
    content = item.get("content")
    if item.get("type") != "message" or not isinstance(content, str):
        return item
    kind = "output_text" if item.get("role") == "assistant" else "input_text"
    return {**item, "status": "completed", "content": [{"type": kind, "text": content}]}
