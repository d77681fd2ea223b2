"""OpenAI's conversations: threads, and their messages as items."""

from collections.abc import Sequence
from typing import Any

from gateway.inference.dialects.anthropic.codec import AnthropicCodec
from gateway.inference.dialects.codec import Target
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.openai_responses.codec import OpenAIResponsesCodec
from gateway.responses.asked import conversation_id_of
from gateway.responses.rows import ResponseRows
from kit.caller import Caller
from kit.errors import Conflict, InvalidRequest
from threads.context.untrusted import without_flags
from threads.models import Message, Thread
from threads.schemas import check_metadata
from threads.store import ThreadStore
from threads.turn import TurnEngine

MOST_MESSAGES = 1_000
"""Of a conversation, that are shown as items: the newest."""
CANCEL_TRIES = 3
_RESPONSES, _ANTHROPIC = OpenAIResponsesCodec(), AnthropicCodec()


class Conversations:
    def __init__(self, rows: ResponseRows, threads: ThreadStore, engine: TurnEngine) -> None:
        self._rows = rows
        self._threads = threads
        self._engine = engine

    async def create(
        self, caller: Caller, items: Sequence[dict[str, Any]], metadata: dict[str, Any]
    ) -> Thread:
        """Raises InvalidRequest, Unsupported."""
        check_metadata(metadata)
        messages: list[tuple[str, Any]] = []
        if items:
            if any(item.get("role") in ("system", "developer") for item in items):
                raise InvalidRequest(
                    "items: give words of system or developer as instructions, or in a response's input",
                    param="items",
                )
            request = _RESPONSES.decode_request({"model": "-", "input": list(items), "max_output_tokens": 1})
            encoded = _ANTHROPIC.encode_request(request, Target("", "-", _ANTHROPIC.name))
            messages = [(one["role"], one["content"]) for one in encoded.body["messages"]]
        return await self._rows.new_thread(caller, messages, metadata=metadata)

    async def get(self, caller: Caller, thread_id: str) -> Thread:
        """Raises NotFound."""
        return await self._threads.get(caller, thread_id)

    async def edit(self, caller: Caller, thread_id: str, metadata: dict[str, Any]) -> Thread:
        """Merge its metadata. Raises NotFound, InvalidRequest."""
        return await self._threads.edit(caller, thread_id, changes={}, metadata=metadata)

    async def delete(self, caller: Caller, thread_id: str) -> None:
        """Raises NotFound, Conflict."""
        for _ in range(CANCEL_TRIES):
            running = await self._threads.delete(caller, thread_id)
            if running is None:
                return
            await self._engine.cancel(caller, thread_id, running)
        raise Conflict(f"turn {running} is under way; cancel it first", code="turn_in_progress")

    async def items(self, caller: Caller, thread_id: str) -> list[dict[str, Any]]:
        """Oldest first. Raises NotFound."""
        newest = await self._threads.messages(
            caller, thread_id, limit=MOST_MESSAGES, ascending=False, after_seq=None, before_seq=None
        )
        return [item for message in newest[MOST_MESSAGES - 1 :: -1] for item in _items(message)]


def _items(message: Message) -> list[dict[str, Any]]:
    if message.role == "assistant":
        content = message.content
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        answer = _ANTHROPIC.decode_response({"id": message.id, "content": blocks}, _ANTHROPIC.name)
        items = _RESPONSES.encode_response(answer, Request(model="", messages=[]))["output"]
    else:
        said = {"role": message.role, "content": without_flags(message.content)}
        body = {"model": "-", "max_tokens": 1, "messages": [said]}
        request = _ANTHROPIC.decode_request(body)
        encoded = _RESPONSES.encode_request(request, Target("", "-", _RESPONSES.name)).body["input"]
        items = [{"role": "user", "content": encoded}] if isinstance(encoded, str) else encoded
    return [_named(item, f"{message.id}_{number}") for number, item in enumerate(items)]


def _named(item: dict[str, Any], item_id: str) -> dict[str, Any]:
    named = {"id": item_id, "type": "message", "status": "completed", **item}
    content = named.get("content")
    if named["type"] == "message" and isinstance(content, str):
        named["content"] = [{"type": "input_text", "text": content}]
    return named


def render_conversation(thread: Thread) -> dict[str, Any]:
    return {
        "id": conversation_id_of(thread.id),
        "object": "conversation",
        "created_at": thread.created_at // 1000,
        "metadata": thread.meta,
    }
