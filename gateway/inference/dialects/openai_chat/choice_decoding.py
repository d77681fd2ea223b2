"""One choice of a whole answer, decoded. Nothing in it is refused: what is unknown is kept."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Choice,
    Refusal,
    ServerBlock,
    Text,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.calls import arguments_text, decode_answered_call
from gateway.inference.dialects.openai_chat.citations import decode_annotation
from gateway.inference.dialects.openai_chat.extras import DIALECT, extra
from gateway.inference.dialects.openai_chat.parts import decode_part
from gateway.inference.dialects.openai_chat.stops import decode_stop, encode_stop
from gateway.inference.dialects.openai_chat.thoughts import decode_thoughts
from kit.errors import InvalidRequest


def decode_choice(choice: dict[str, Any], origin: str, seed: str) -> Choice:
    found = choice.get("message")
    message: dict[str, Any] = found if isinstance(found, dict) else {}
    blocks, rest, spelling = _decode_message(message, origin, seed)
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    kept = without(choice, "index", "message", "finish_reason", "logprobs", "stop_reason")
    if isinstance(logprobs, dict) and (more := without(logprobs, "content")):
        kept["logprobs"] = more
    called = any(isinstance(block, ToolUse) for block in blocks)
    reason = choice.get("finish_reason")
    stop = decode_stop(reason, called=called, refused=any(isinstance(block, Refusal) for block in blocks))
    if reason is not None and encode_stop(stop, called=called) != reason:
        kept["finish_reason"] = reason
    matched = choice.get("stop_reason")  # vLLM
    if isinstance(matched, str) and stop == "end_turn":
        stop = "stop_sequence"
    elif matched is not None:
        kept["stop_reason"] = matched
    return Choice(
        content=blocks,
        stop=stop,
        stop_sequence=matched if stop == "stop_sequence" else None,
        logprobs=[token for token in tokens if isinstance(token, dict)] if isinstance(tokens, list) else None,
        extra=extra(kept, message=rest or None, **spelling),
    )


def _decode_message(
    message: dict[str, Any], origin: str, seed: str
) -> tuple[list[Block], dict[str, Any], dict[str, Any]]:
    """The blocks, the fields that they do not explain, and how they were spelled."""
    thoughts, spelling, explained = decode_thoughts(message, origin)
    blocks: list[Block] = [*thoughts, *_decode_content(message.get("content"), origin)]
    spelling["parts"] = isinstance(message.get("content"), list)
    spelling["empty"] = message.get("content") == ""
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        blocks.append(Refusal(text=refusal))
    blocks += _decode_audio(message.get("audio"))
    blocks += decode_images(message.get("images"))
    blocks += _decode_calls(message, seed)
    known = ["role", "content", "refusal", "audio", "images", "tool_calls", "function_call", *explained]
    rest = without(message, *known)
    if _cite(blocks, message.get("annotations")):
        rest.pop("annotations")
    return blocks, rest, spelling


def _decode_content(content: Any, origin: str) -> list[Block]:
    if isinstance(content, str):
        return [Text(text=content)] if content else []
    blocks: list[Block] = []
    for part in content if isinstance(content, list) else ():
        try:
            blocks.append(decode_part(part, "content", origin))
        except InvalidRequest:
            if isinstance(part, dict):
                blocks.append(ServerBlock(dialect=DIALECT, data=part))
    return blocks


def _decode_audio(audio: Any) -> list[Block]:
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        return []
    transcript = audio.get("transcript")
    spoken = transcript if isinstance(transcript, str) else None
    return [
        Audio(
            data=audio["data"],
            format="",
            transcript=spoken,
            extra=extra(without(audio, "data", "transcript")),
        )
    ]


def decode_images(images: Any) -> list[Block]:
    """Pictures that a model made, as OpenRouter gives them."""
    blocks: list[Block] = []
    for image in images if isinstance(images, list) else ():
        try:
            blocks.append(decode_part(image, "images"))
        except InvalidRequest:
            continue
    return blocks


def _decode_calls(message: dict[str, Any], seed: str) -> list[Block]:
    given = message.get("tool_calls")
    calls = [call for call in given if isinstance(call, dict)] if isinstance(given, list) else []
    blocks: list[Block] = [
        decode_answered_call(call, f"call_{seed}_{number}") for number, call in enumerate(calls)
    ]
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and not blocks:
        name, arguments = _text(legacy.get("name")), arguments_text(legacy.get("arguments"))
        kept = extra({}, legacy=True)
        blocks.append(ToolUse(id=f"call_{seed}_0", name=name, arguments=arguments, extra=kept))
    return blocks


def _cite(blocks: list[Block], annotations: Any) -> bool:
    """Hang annotations on the text; False if there is none to hang them on."""
    if not isinstance(annotations, list) or not annotations:
        return False
    texts = [block for block in blocks if isinstance(block, Text)]
    if not texts or not all(isinstance(annotation, dict) for annotation in annotations):
        return False
    texts[-1].citations = [decode_annotation(annotation) for annotation in annotations]
    return True


def without(body: Mapping[str, Any], *known: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in known and value is not None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
