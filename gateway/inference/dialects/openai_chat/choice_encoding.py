"""One choice of a whole answer, for a client."""

from typing import Any

from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Choice,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.calls import encode_answered_call
from gateway.inference.dialects.openai_chat.citations import encode_citation
from gateway.inference.dialects.openai_chat.client import Client
from gateway.inference.dialects.openai_chat.extras import DIALECT, form, own_fields
from gateway.inference.dialects.openai_chat.media import encode_url
from gateway.inference.dialects.openai_chat.stops import encode_stop
from gateway.inference.dialects.openai_chat.thoughts import encode_thinking_part, encode_thoughts, is_part

REASONING_FIELD = "reasoning_content"
"""Where clients of this dialect look for thoughts."""


def encode_choice(choice: Choice, index: int, client: Client) -> dict[str, Any]:
    rest = own_fields(choice.extra)
    more_logprobs = rest.pop("logprobs", None)
    calls = [client.as_called(block) for block in choice.content if isinstance(block, ToolUse)]
    legacy = bool(calls) and (client.legacy or any(form(call.extra, "legacy") for call in calls))
    reason = encode_stop(choice.stop, called=bool(calls))
    encoded: dict[str, Any] = {
        "index": index,
        "message": _encode_message(choice, calls, legacy),
        "logprobs": None,
        "finish_reason": "function_call" if legacy and reason == "tool_calls" else reason,
    }
    if choice.logprobs is not None or more_logprobs is not None:
        encoded["logprobs"] = {"content": choice.logprobs, **(more_logprobs or {})}
    if choice.stop_sequence is not None:
        encoded["stop_reason"] = choice.stop_sequence
    return encoded | rest


def _encode_message(choice: Choice, calls: list[ToolUse], legacy: bool) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _encode_content(choice, calls),
        "refusal": None,
    }
    refusals = [block.text for block in choice.content if isinstance(block, Refusal)]
    if refusals:
        message["refusal"] = "".join(refusals)
    thoughts = [
        block
        for block in choice.content
        if isinstance(block, Thinking | HiddenThinking) and not is_part(block)
    ]
    message |= encode_thoughts(thoughts, form(choice.extra, "thoughts"), REASONING_FIELD)
    if legacy:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments or "{}"}
    elif calls:
        message["tool_calls"] = [encode_answered_call(call) for call in calls]
    for block in choice.content:
        if isinstance(block, Audio):
            message["audio"] = encode_audio(block)
        elif isinstance(block, Image) and isinstance(block.source, Inline | Linked):
            message.setdefault("images", []).append(encode_image(block))
        elif isinstance(block, ServerBlock) and block.dialect == DIALECT and "type" not in block.data:
            message |= block.data
    if annotations := _encode_annotations(choice.content):
        message["annotations"] = annotations
    return message | (form(choice.extra, "message") or {})


def _encode_content(choice: Choice, calls: list[ToolUse]) -> Any:
    texts = [block.text for block in choice.content if isinstance(block, Text)]
    if form(choice.extra, "parts"):
        return [part for block in choice.content if (part := _content_part(block)) is not None]
    if texts:
        return "".join(texts)
    silent = calls or any(isinstance(block, Refusal | Audio) for block in choice.content)
    return None if silent and not form(choice.extra, "empty") else ""


def _content_part(block: Block) -> dict[str, Any] | None:
    """A part of an answer whose content was a list (Mistral)."""
    if isinstance(block, Text):
        return {"type": "text", "text": block.text, **own_fields(block.extra)}
    if isinstance(block, Thinking) and is_part(block):
        return {**encode_thinking_part(block), **own_fields(block.extra)}
    if isinstance(block, ServerBlock) and block.dialect == DIALECT and "type" in block.data:
        return block.data
    return None


def encode_image(image: Image) -> dict[str, Any]:
    source = image.source
    url = encode_url(source) if isinstance(source, Inline | Linked) else ""
    return {"type": "image_url", "image_url": {"url": url}, **own_fields(image.extra)}


def encode_audio(audio: Audio) -> dict[str, Any]:
    """``id`` and ``expires_at`` are the provider's; another dialect's sound has none to come back to."""
    spoken = {"id": "", "data": audio.data, "expires_at": 0, "transcript": audio.transcript or ""}
    return spoken | own_fields(audio.extra)


def _encode_annotations(blocks: list[Block]) -> list[dict[str, Any]]:
    annotations, start = [], 0
    for block in blocks:
        if not isinstance(block, Text):
            continue
        end = start + len(block.text)
        encoded = [encode_citation(citation, start, end) for citation in block.citations or ()]
        annotations += [annotation for annotation in encoded if annotation is not None]
        start = end
    return annotations
