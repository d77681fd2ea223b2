"""Models called for MCP servers (sampling): deprecated since 2026-07-28, and still in the field.

Source: MCP specification 2026-07-28, client/sampling. A server gets a text for its messages. It gets no
tools, so what it asks for can ask for nothing further; no context of others; and no choice of the model.
"""

from typing import Any

import mcp_types

from broker.calls import Sample
from kit.errors import HeddleError
from kit.json import storable

REJECTED = -1
"""What the specification has clients say for a request that was turned down."""
MAX_TOKENS = 4_096
MAX_MESSAGES = 100
STOP_REASONS = {"end_turn": "endTurn", "stop_sequence": "stopSequence", "max_tokens": "maxTokens"}


class UnusableRequest(ValueError):
    """A request that no model is asked; the message says why."""


async def sampled(
    sample: Sample, params: mcp_types.CreateMessageRequestParams
) -> mcp_types.CreateMessageResult | mcp_types.ErrorData:
    """What a model answers, or why none was asked."""
    try:
        message = await sample(_body(params))
    except UnusableRequest as problem:
        return mcp_types.ErrorData(code=mcp_types.INVALID_PARAMS, message=str(problem))
    except HeddleError as error:
        return mcp_types.ErrorData(code=REJECTED, message=f"The model was not asked: {error.code}")
    text = "".join(block["text"] for block in message["content"] if block.get("type") == "text")
    return mcp_types.CreateMessageResult(
        role="assistant",
        content=mcp_types.TextContent(text=text),
        model=str(message["model"]),
        stop_reason=STOP_REASONS.get(message["stop_reason"], message["stop_reason"]),
    )


def _body(params: mcp_types.CreateMessageRequestParams) -> dict[str, Any]:
    """Raises UnusableRequest."""
    if params.tools:
        raise UnusableRequest("tools: a model that is called for a server gets none")
    if not 0 < len(params.messages) <= MAX_MESSAGES:
        raise UnusableRequest(f"messages: expected 1 to {MAX_MESSAGES}")
    if params.max_tokens < 1:
        raise UnusableRequest("maxTokens: expected at least 1")
    body: dict[str, Any] = {
        "messages": [
            {"role": message.role, "content": [_block(one) for one in message.content_as_list]}
            for message in params.messages
        ],
        "max_tokens": min(params.max_tokens, MAX_TOKENS),
    }
    if params.system_prompt:
        body["system"] = params.system_prompt
    if params.temperature is not None:
        body["temperature"] = min(max(params.temperature, 0.0), 1.0)
    if params.stop_sequences:
        body["stop_sequences"] = params.stop_sequences[:4]
    kept: dict[str, Any] = storable(body)
    return kept


def _block(content: Any) -> dict[str, Any]:
    if isinstance(content, mcp_types.TextContent):
        return {"type": "text", "text": content.text}
    if isinstance(content, mcp_types.ImageContent):
        source = {"type": "base64", "media_type": content.mime_type, "data": content.data}
        return {"type": "image", "source": source}
    raise UnusableRequest(f"messages: content of type {content.type} cannot be put before the model")
