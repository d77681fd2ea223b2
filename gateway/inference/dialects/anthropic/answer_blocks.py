"""Content blocks of an answer out of the neutral form."""

from typing import Any

from gateway.inference.dialects.anthropic.arguments import input_of
from gateway.inference.dialects.anthropic.citations import encode_citation
from gateway.inference.dialects.anthropic.reading import DIALECT, own
from gateway.inference.dialects.carried import Carried, wrap
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
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

_SIGNER = "google"
"""The only maker that signs tool calls."""


def encode_answer(blocks: list[Block]) -> list[dict[str, Any]]:
    """What this dialect has no block for is left out."""
    return [body for block in blocks for body in encode_answer_block(block)]


def encode_answer_block(block: Block) -> list[dict[str, Any]]:
    """One block, two for a signed call, none for what this dialect cannot show."""
    if isinstance(block, Text):
        return [_text(block)]
    if isinstance(block, Refusal):
        return [{"type": "text", "text": block.text}]
    if isinstance(block, Audio):
        return [{"type": "text", "text": block.transcript}] if block.transcript else []
    if isinstance(block, Thinking):
        return [
            {
                "type": "thinking",
                "thinking": block.text,
                "signature": carried_signature(block.origin, block.signature),
                **own(block.extra),
            }
        ]
    if isinstance(block, HiddenThinking):
        return [hidden_thinking(block)]
    if isinstance(block, ToolUse):
        return [*signature_of_call(block), _tool_use(block)]
    if isinstance(block, Image):
        return image(block)
    if isinstance(block, ServerBlock) and block.dialect == DIALECT:
        return [block.data]
    return []


def carried_signature(origin: str, signature: str | None) -> str:
    """A thought of another maker stays marked as such, even unsigned."""
    if origin == DIALECT:
        return signature or ""
    return wrap(Carried(origin, signature or ""))


def hidden_thinking(block: HiddenThinking) -> dict[str, Any]:
    foreign = block.origin != DIALECT
    data = wrap(Carried(block.origin, block.data, block.item_id)) if foreign else block.data
    return {"type": "redacted_thinking", "data": data, **own(block.extra)}


def signature_of_call(call: ToolUse) -> list[dict[str, Any]]:
    if call.signature is None:
        return []
    return [hidden_thinking(HiddenThinking(data=call.signature, origin=_SIGNER, item_id=call.id))]


def image(block: Image) -> list[dict[str, Any]]:
    """A picture that a model of another dialect made, in the form that requests have for it."""
    if isinstance(block.source, Inline):
        source = {"type": "base64", "media_type": block.source.media_type, "data": block.source.data}
    elif isinstance(block.source, Linked):
        source = {"type": "url", "url": block.source.url}
    else:
        return []
    return [{"type": "image", "source": source}]


def _text(block: Text) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "text", "text": block.text, **own(block.extra)}
    if block.citations is not None:
        encoded = (encode_citation(citation) for citation in block.citations)
        body["citations"] = [citation for citation in encoded if citation is not None]
    return body


def _tool_use(block: ToolUse) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": block.id,
        "name": block.name,
        "input": input_of(block.arguments, custom=block.custom),
        **own(block.extra),
    }
