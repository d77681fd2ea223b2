"""Whole answers of OpenAI Responses (developers.openai.com, API reference: Responses, The response)."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Choice,
    HiddenThinking,
    Image,
    Refusal,
    Request,
    Response,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from gateway.inference.dialects.openai_responses.envelope import (
    ending,
    envelope,
    has_refusal,
    response_id,
    stop_of,
)
from gateway.inference.dialects.openai_responses.output import (
    Item,
    ItemMaker,
    begins_item,
    decode_output_item,
    objects,
    unknown_parts,
)
from gateway.inference.dialects.openai_responses.reading import NAME, extra, own
from gateway.inference.dialects.openai_responses.usage import decode_usage, encode_usage

_NEUTRAL = {"id", "object", "model", "created_at", "output", "usage"}
_ENDING = ("status", "incomplete_details", "error")


def decode_response(body: Mapping[str, Any], origin: str) -> Response:
    """Raises ValueError if this is no answer of the dialect."""
    output, given_id, model = body.get("output"), body.get("id"), body.get("model")
    if not isinstance(output, list) or not isinstance(given_id, str) or not isinstance(model, str):
        raise ValueError("expected a response object with id, model and output")
    content: list[Block] = []
    for item in output:
        content += decode_output_item(item, origin)
    choice = Choice(content=content, logprobs=_take_logprobs(output, content))
    called = any(isinstance(block, ToolUse) for block in content)
    refused = has_refusal(content)
    choice.stop = stop_of(dict(body), refused=refused, called=called)
    return Response(
        id=given_id,
        model=model,
        choices=[choice],
        usage=decode_usage(body),
        created_s=created_of(body),
        extra=extra(kept_fields(body) | _odd_ending(body, choice, refused=refused)),
    )


def kept_fields(response: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a response object that have no neutral form."""
    return {name: value for name, value in response.items() if name not in _NEUTRAL and name not in _ENDING}


def created_of(response: Mapping[str, Any]) -> int | None:
    created = response.get("created_at")
    if isinstance(created, int | float) and not isinstance(created, bool) and abs(created) < 2**53:
        return int(created)
    return None


def _odd_ending(body: Mapping[str, Any], choice: Choice, *, refused: bool) -> dict[str, Any]:
    """How the response says that it ended, where its stop reason does not say so."""
    said = tuple(body.get(name) for name in _ENDING)
    usual = choice.stop is not None and said == ending(choice.stop, refused=refused)
    return {} if usual else dict(zip(_ENDING, said, strict=True))


def _take_logprobs(output: Sequence[Any], content: Sequence[Block]) -> list[dict[str, Any]] | None:
    """All logprobs. Where there are several texts, each also keeps its own."""
    listed = [
        objects(part.get("logprobs"))
        for item in output
        if isinstance(item, dict) and item.get("type") == "message" and isinstance(item.get("content"), list)
        for part in item["content"]
        if isinstance(part, dict) and part.get("type") == "output_text" and isinstance(part.get("text"), str)
    ]
    texts = [block for block in content if isinstance(block, Text)]
    if len(texts) > 1 and len(texts) == len(listed):
        for block, logprobs in zip(texts, listed, strict=True):
            if logprobs:
                block.extra = extra(own(block.extra) | {"logprobs": logprobs})
    return [entry for logprobs in listed for entry in logprobs] or None


def encode_response(response: Response, request: Request) -> dict[str, Any]:
    choice = response.choices[0] if response.choices else Choice(content=[])
    kept = own(response.extra)
    made_id = response_id(response.id)
    status, incomplete, error = ending(choice.stop, refused=has_refusal(choice.content))
    items = _items(choice, ItemMaker(request, made_id))
    if status == "incomplete" and response.extra is None and items and "status" in items[-1]:
        items[-1]["status"] = "incomplete"
    return {
        **envelope(request),
        "id": made_id,
        "created_at": response.created_s or 0,
        "model": response.model,
        "status": status,
        "incomplete_details": incomplete,
        "error": error,
        **kept,
        "output": items,
        "usage": None if response.usage is None else encode_usage(response.usage),
    }


def _items(choice: Choice, make: ItemMaker) -> list[Item]:
    items: list[Item] = []
    logprobs = choice.logprobs
    open_message: Item | None = None
    for index, block in enumerate(choice.content):
        if isinstance(block, Audio):
            block = Text(text=block.transcript or "")
        if isinstance(block, Text | Refusal):
            if open_message is None or begins_item(block):
                open_message = make.message(block, index)
                items.append(open_message)
            given = logprobs if isinstance(block, Text) else None
            open_message["content"].append(make.part(block, given))
            logprobs = None if isinstance(block, Text) else logprobs
            continue
        if open_message is not None and unknown_parts(block):
            open_message["content"] += unknown_parts(block)
            continue
        item = _item(block, index, make)
        if item is not None:
            open_message = None
            items.append(item)
    return items


def _item(block: Block, index: int, make: ItemMaker) -> Item | None:
    """None for what a client of this dialect cannot be shown."""
    if isinstance(block, ToolUse):
        return make.call(block, index)
    if isinstance(block, Thinking | HiddenThinking):
        return make.reasoning(block, index)
    if isinstance(block, Image):
        return make.image(block, index)
    if isinstance(block, ServerBlock) and block.dialect == NAME:
        return block.data
    return None
