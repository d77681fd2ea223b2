"""A reply in the wire form of OpenAI's Responses."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec

from tests.gateway.inference.wire.reply import Reply, pieces

CREATED = 1_767_225_600
Item = dict[str, Any]


def whole(reply: Reply, model: str, digest: str) -> bytes:
    return msgspec.json.encode(_finished(reply, model, digest))


def stream(reply: Reply, model: str, digest: str) -> Iterator[bytes]:
    numbers = count()

    def event(kind: str, **fields: Any) -> bytes:
        body = {"type": kind, "sequence_number": next(numbers), **fields}
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(body))

    begun = _response("in_progress", [], model, digest)
    yield event("response.created", response=begun) + event("response.in_progress", response=begun)
    for place, item in enumerate(_items(reply, digest)):
        at = {"output_index": place, "item_id": item["id"]}
        yield event("response.output_item.added", output_index=place, item=_empty(item))
        for kind, fields in _growth(item):
            yield event(f"response.{kind}", **at, **fields)
        yield event("response.output_item.done", output_index=place, item=item)
    finished = _finished(reply, model, digest)
    yield event(f"response.{finished['status']}", response=finished)


def error(message: str) -> bytes:
    """The body of a refused request."""
    return msgspec.json.encode(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    )


def stream_error(message: str) -> bytes:
    """A failure within a stream."""
    body = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 9}
    return b"event: error\ndata: %s\n\n" % msgspec.json.encode(body)


def _items(reply: Reply, digest: str) -> list[Item]:
    items: list[Item] = [
        {
            "id": f"rs_{digest}{number}",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": thought.text}] if thought.text else [],
            "encrypted_content": thought.signature,
        }
        for number, thought in enumerate(reply.thoughts)
    ]
    if reply.text:
        text = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_{digest}", "type": "message", "role": "assistant", "content": [text]}
        items.append({**message, "status": "incomplete" if reply.truncated else "completed"})
    items += [
        {
            "id": f"fc_{digest}{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for number, call in enumerate(reply.calls)
    ]
    return items


def _empty(item: Item) -> Item:
    """The item as it is announced."""
    status: Item = {} if item["type"] == "reasoning" else {"status": "in_progress"}
    emptied: Item = {
        "reasoning": {"summary": []},
        "message": {"content": []},
        "function_call": {"arguments": ""},
    }
    return {**item, **status, **emptied[item["type"]]}


def _growth(item: Item) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events between an item's announcement and its end."""
    if item["type"] == "function_call":
        for piece in pieces(item["arguments"]):
            yield "function_call_arguments.delta", {"delta": piece}
        done = {"name": item["name"], "arguments": item["arguments"]}
        yield "function_call_arguments.done", done
        return
    thinks = item["type"] == "reasoning"
    kind, name = ("reasoning_summary", "summary_index") if thinks else ("output", "content_index")
    around = "reasoning_summary_part" if thinks else "content_part"
    more: Item = {} if thinks else {"logprobs": []}
    for number, part in enumerate(item["summary" if thinks else "content"]):
        at = {name: number}
        yield f"{around}.added", {**at, "part": {**part, "text": ""}}
        for piece in pieces(part["text"]):
            yield f"{kind}_text.delta", {**at, "delta": piece, **more}
        yield f"{kind}_text.done", {**at, "text": part["text"], **more}
        yield f"{around}.done", {**at, "part": part}


def _finished(reply: Reply, model: str, digest: str) -> dict[str, Any]:
    status = "incomplete" if reply.truncated else "completed"
    response = _response(status, _items(reply, digest), model, digest)
    if reply.truncated:
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    response["usage"] = {
        "input_tokens": reply.prompt_tokens,
        "input_tokens_details": {"cached_tokens": reply.cache_read_tokens, "cache_write_tokens": 0},
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        "total_tokens": reply.prompt_tokens + reply.output_tokens,
    }
    return response


def _response(status: str, output: list[Item], model: str, digest: str) -> dict[str, Any]:
    return {
        "id": f"resp_{digest}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }
