"""Whole answers: GenerateContentResponse."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.codec import Target
from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.google.blocks import model_parts
from gateway.inference.dialects.google.calls import CallIds
from gateway.inference.dialects.google.citations import passages
from gateway.inference.dialects.google.drops import Drops
from gateway.inference.dialects.google.finish import reason_of, stop_of
from gateway.inference.dialects.google.logprobs import decode_logprobs, encode_logprobs
from gateway.inference.dialects.google.parts import decode_part
from gateway.inference.dialects.google.reading import extra, merged, own
from gateway.inference.dialects.google.usage import read_usage, searches_of, uncounted, write_usage
from gateway.inference.dialects.neutral import (
    Block,
    Choice,
    Response,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from kit.errors import InvalidRequest

ANSWER = ("candidates", "promptFeedback", "usageMetadata")
"""The fields of which an answer has at least one."""


def decode_response(body: Mapping[str, Any], origin: str) -> Response:
    """Raises ValueError if this is no answer of the dialect. A blocked prompt is a choice that refuses."""
    candidates = body.get("candidates", [])
    if not isinstance(candidates, list) or not any(name in body for name in ANSWER):
        raise ValueError("this is no GenerateContentResponse")
    model, response_id = str(body.get("modelVersion") or ""), str(body.get("responseId") or "")
    seed = response_id or _fingerprint(body)
    found = [candidate for candidate in candidates if isinstance(candidate, dict)]
    choices = [
        decode_candidate(candidate, origin, CallIds(f"{seed}\n{number}"))
        for number, candidate in enumerate(found)
    ]
    known = {"candidates", "usageMetadata", "modelVersion", "responseId"}
    kept = {name: value for name, value in body.items() if name not in known}
    if rest := uncounted(body.get("usageMetadata")):
        kept["usageMetadata"] = rest
    if not choices:
        blocked = is_blocked(body)
        choices = [Choice(content=[], stop="refusal" if blocked else "error")]
        kept["candidates"] = None
    return Response(
        id=response_id,
        model=model,
        choices=choices,
        usage=read_usage(body.get("usageMetadata"), searches=searches_of(found, model)),
        extra=extra(kept),
    )


def _fingerprint(body: Mapping[str, Any]) -> str:
    """Tells one answer without an id from another."""
    try:
        return repr(body)
    except RecursionError:
        return ""


def is_blocked(body: Mapping[str, Any]) -> bool:
    """Whether the prompt itself was refused."""
    feedback = body.get("promptFeedback")
    return isinstance(feedback, dict) and bool(feedback.get("blockReason"))


def decode_blocks(part: Any, origin: str, ids: CallIds) -> list[Block]:
    """A provider's part; one that is not as it should be is kept unread."""
    try:
        return decode_part(part, "parts", ids, origin)
    except InvalidRequest:
        return [ServerBlock(dialect=NAME, data=part)] if isinstance(part, dict) else []


def decode_candidate(candidate: dict[str, Any], origin: str, ids: CallIds) -> Choice:
    content = candidate.get("content")
    content = content if isinstance(content, dict) else {}
    blocks: list[Block] = []
    parts = content.get("parts")
    for part in parts if isinstance(parts, list) else ():
        blocks += decode_blocks(part, origin, ids)
    _cite(blocks, candidate)
    kept = {name: value for name, value in candidate.items() if name not in ("content", "finishReason")}
    around = {name: value for name, value in content.items() if name not in ("parts", "role")}
    if content.get("role") != "model":
        around["role"] = content.get("role")
    if around or "content" not in candidate:
        kept["content"] = around if "content" in candidate else None
    reason = candidate.get("finishReason")
    stop = None
    if isinstance(reason, str):
        stop = stop_of(reason, calls=any(isinstance(block, ToolUse) for block in blocks))
        if reason_of(stop) != reason:
            kept["finishReason"] = reason
    return Choice(
        content=blocks,
        stop=stop,
        logprobs=decode_logprobs(candidate.get("logprobsResult")),
        extra=extra(kept),
    )


def _cite(blocks: list[Block], candidate: dict[str, Any]) -> None:
    """Each passage in the text that it is of, else at the last one without a place."""
    texts = [block for block in blocks if isinstance(block, Text)]
    for passage in passages(candidate):
        for text in texts:
            if (place := passage.within(text.text)) is not None:
                text.citations = [*(text.citations or ()), *passage.cited(place)]
                break
        else:
            if texts:
                texts[-1].citations = [*(texts[-1].citations or ()), *passage.cited(None)]


def encode_response(response: Response) -> dict[str, Any]:
    """Thoughts of other makers go without their signatures, which Google's field cannot hold."""
    body: dict[str, Any] = {
        "candidates": [_encode_candidate(choice, at) for at, choice in enumerate(response.choices)],
        "modelVersion": response.model,
        "responseId": response.id,
    }
    kept = own(response.extra)
    rest = kept.pop("usageMetadata", {})
    if response.usage is not None:
        body["usageMetadata"] = write_usage(response.usage, rest)
    return merged({name: value for name, value in body.items() if value}, kept)


def _encode_candidate(choice: Choice, number: int) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model"}}
    if parts := answer_parts(choice.content):
        candidate["content"]["parts"] = parts
    if choice.stop is not None:
        candidate["finishReason"] = reason_of(choice.stop)
    if number:
        candidate["index"] = number
    if choice.logprobs is not None:
        candidate["logprobsResult"] = encode_logprobs(choice.logprobs)
    return merged(candidate, own(choice.extra))


def answer_parts(blocks: list[Block]) -> list[dict[str, Any]]:
    """An answer's parts; what only another dialect understands is left out."""
    shown = [
        Thinking(text=block.text, origin=NAME)
        if isinstance(block, Thinking) and block.origin != NAME
        else block
        for block in blocks
    ]
    return model_parts(shown, "", Drops(Target(provider=NAME, model="", origin=NAME)))
