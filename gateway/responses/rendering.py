"""A stored response as OpenAI's clients see it (API reference: Responses, The response object)."""

from typing import Any

import msgspec

from gateway.inference.dialects.anthropic.codec import AnthropicCodec
from gateway.inference.dialects.error_types import openai_type
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.openai_responses.codec import OpenAIResponsesCodec
from gateway.inference.dialects.openai_responses.envelope import envelope
from gateway.responses.models import StoredResponse
from threads.models import Message, Turn
from threads.reading import final_message

_RESPONSES, _ANTHROPIC = OpenAIResponsesCodec(), AnthropicCodec()


def request_of(row: StoredResponse) -> Request:
    """The request as it was asked, without its input."""
    return _RESPONSES.decode_request({**row.request, "input": [], "conversation": None})


def render_begun(row: StoredResponse, turn: Turn) -> dict[str, Any]:
    """The response in progress."""
    response = {
        **envelope(request_of(row)),
        "id": row.id,
        "created_at": row.created_at // 1000,
        "model": turn.params["model"],
    }
    return _placed(response, row)


def render_response(row: StoredResponse, turn: Turn, message: Message | None) -> dict[str, Any]:
    """``message`` is the turn's answer, as far as there is one."""
    request = request_of(row)
    begun = render_begun(row, turn)
    if turn.status in ("running", "queued", "requires_action"):
        return begun
    if message is not None:
        answer = _ANTHROPIC.decode_response(final_message(message, turn, waiting=False), _ANTHROPIC.name)
        answer = msgspec.structs.replace(answer, id=row.id, created_s=row.created_at // 1000, extra=None)
        begun = _RESPONSES.encode_response(answer, request)
    if turn.status == "failed":
        error = turn.error or {}
        begun |= {"status": "failed", "incomplete_details": None, "error": _error(error)}
    elif turn.status == "cancelled":
        begun |= {"status": "cancelled", "incomplete_details": None, "error": None}
    begun["completed_at"] = (turn.finished_at or 0) // 1000 if begun["status"] == "completed" else None
    return _placed(begun, row)


def _placed(response: dict[str, Any], row: StoredResponse) -> dict[str, Any]:
    return {
        **response,
        "background": row.background,
        "store": True,
        "previous_response_id": row.previous_id,
        "conversation": {"id": row.conversation} if row.conversation is not None else None,
    }


def _error(record: dict[str, Any]) -> dict[str, Any]:
    """``code`` is one of the few that OpenAI's have; ``reason`` is ours."""
    _, code = openai_type(str(record.get("type")))
    message = record.get("message") or "the response failed"
    return {"code": code, "message": message, "reason": record.get("code")}


def calls_of(message: Message | None) -> dict[str, str]:
    """The calls that an answer asks for: their ids in the thread, by what clients know them as."""
    if message is None or message.role != "assistant" or not isinstance(message.content, list):
        return {}
    stored = [block["id"] for block in message.content if block.get("type") == "tool_use"]
    if not stored:
        return {}
    answer = _ANTHROPIC.decode_response({"content": message.content}, _ANTHROPIC.name)
    shown = _RESPONSES.encode_response(answer, Request(model="", messages=[]))["output"]
    asked = [item["call_id"] for item in shown if item.get("type") == "function_call"]
    return dict(zip(asked, stored, strict=True))
