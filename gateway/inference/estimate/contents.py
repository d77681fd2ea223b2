"""What a request's body holds that becomes input tokens, whichever dialect it is written in.

The walk knows fields by name, not dialects: what it does not know it takes for text, so that a field that is
new counts too. It never recurses, so that no nesting is too deep for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.inference.estimate.media import CARRIERS, Media, google_media_of, media_of
from gateway.inference.estimate.schemas import Schemas

_SETTINGS = frozenset(
    {
        *("model", "models", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("max_output_tokens", "temperature", "top_p", "top_k", "n", "stop", "stop_sequences", "seed"),
        *("random_seed", "metadata", "user", "service_tier", "store", "include", "reasoning", "thinking"),
        *("reasoning_effort", "tool_choice", "parallel_tool_calls", "toolConfig", "tool_config"),
        *("safetySettings", "safety_settings", "provider", "transforms", "usage", "modalities"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "safety_identifier"),
        *("truncation", "encoding_format", "cache_control", "labels", "betas", "container", "speed"),
        *("context_management",),
    }
)
"""Fields of a request that say how to answer; no provider shows them to the model."""
_MESSAGES = frozenset({"messages", "contents", "input"})
_FORMATS = frozenset(
    {"response_format", "text", "output_config", "output_format", "generationConfig", "generation_config"}
)
_SWITCHES = {"plugins": "web_search", "web_search_options": "web_search", "mcp_servers": "mcp"}
"""Fields that switch on what is otherwise a tool."""
_STORED = frozenset({"previous_response_id", "conversation", "cachedContent", "cached_content", "preset"})
"""Fields that name what the provider keeps and adds to the messages."""
_SILENT = frozenset(
    {
        *("id", "type", "role", "item_id", "index", "status", "object", "phase", "cache_control", "is_error"),
        *("strict", "prefix", "detail", "finish_reason", "media_type", "mimeType", "mime_type", "execution"),
        *("willContinue", "thought", "videoMetadata"),
    }
)
"""Fields in messages that are not shown to the model, or are within what each message costs."""
_CALL_IDS = frozenset({"tool_use_id", "tool_call_id", "call_id"})
_SEALED = frozenset({"signature", "thoughtSignature", "thought_signature", "encrypted_content", "data"})
"""Thoughts and search results that only their maker can read."""
_DATA = frozenset({"input", "args", "response", "arguments", "action"})
"""Where a call or its result is given as JSON, whose names are text too."""
_CALLS = frozenset({"functionCall", "functionResponse", "function_call", "function_response", "toolCall"})
_NUMBERS = {int, float}
_GOOGLE_MEDIA = frozenset({"inlineData", "inline_data", "fileData", "file_data"})


@dataclass(slots=True)
class Contents:
    texts: list[str] = field(default_factory=list)
    messages: int = 0
    calls: int = 0
    """Tool calls, and results of tools."""
    entries: int = 0
    """Fields and list items of arguments and results."""
    numbers: int = 0
    """Numbers where text could be: an embeddings request may be made of tokens."""
    sealed: int = 0
    """Characters that only their maker can read."""
    thinks: bool = False
    tools: Schemas = field(default_factory=Schemas)
    answer: Schemas = field(default_factory=Schemas)
    media: list[Media] = field(default_factory=list)


def contents_of(body: Mapping[str, Any]) -> Contents:
    """Reads a request's parsed JSON body, of any shape."""
    found = Contents()
    nodes: list[Any] = []
    for name, value in body.items():
        if name in _SETTINGS or name in _SILENT:
            continue
        if name in _MESSAGES:
            found.messages += len(value) if isinstance(value, list) else 1
        if name == "tools":
            found.tools.read_tools(value)
        elif name in _FORMATS and isinstance(value, dict):
            found.answer.read_format(value)
        elif name in _SWITCHES and (value or isinstance(value, dict)):
            found.tools.at_provider.append(_SWITCHES[name])
        elif name in _STORED and value:
            found.tools.at_provider.append("stored")
        elif name not in _SWITCHES:
            nodes.append(value)
    found.thinks = _thinks(body)
    _read_messages(nodes, found)
    return found


def _thinks(body: Mapping[str, Any]) -> bool:
    for name in ("thinking", "reasoning"):
        asked = body.get(name)
        if isinstance(asked, dict):
            return asked.get("type") != "disabled" and asked.get("enabled") is not False
    return "reasoning_effort" in body


def _read_messages(nodes: list[Any], found: Contents) -> None:
    add_text = found.texts.append
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if "type" in node and (media := media_of(node)) is not None:
                nodes.extend(_beside(node, media, found))
                continue
            for name, value in node.items():
                if name in _SILENT:
                    continue
                if not isinstance(value, str):
                    _read_field(name, value, nodes, found)
                elif name in _CALL_IDS:
                    found.calls += 1
                elif name in _SEALED:
                    found.sealed += len(value)
                else:
                    add_text(value)
        elif isinstance(node, str):
            add_text(node)
        elif isinstance(node, list):
            if node and set(map(type, node)) <= _NUMBERS:
                found.numbers += len(node)
            else:
                nodes.extend(node)
        elif type(node) in _NUMBERS:
            found.numbers += 1


def _read_field(name: str, value: Any, nodes: list[Any], found: Contents) -> None:
    """A field of a message or block that is no text."""
    if name in _DATA:
        _read_data(value, found)
    elif name == "tools":
        found.tools.read_tools(value)
    elif name in _GOOGLE_MEDIA and isinstance(value, dict):
        _add_media(google_media_of(value), found)
    else:
        if name in _CALLS:
            found.calls += 1
        elif name == "tool_calls" and isinstance(value, list):
            found.calls += len(value)
        nodes.append(value)


def _beside(block: Mapping[str, Any], media: Media, found: Contents) -> list[Any]:
    """Notes the block's media; gives what else there is to read in the block."""
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "content":
        return [source.get("content")]
    _add_media(media, found)
    return [value for name, value in block.items() if name not in CARRIERS and name not in _SILENT]


def _add_media(media: Media, found: Contents) -> None:
    if media.kind == "text":
        found.texts.append(media.data or "")
    else:
        found.media.append(media)


def _read_data(data: Any, found: Contents) -> None:
    """JSON that is shown to the model as it is."""
    nodes = [data]
    while nodes:
        node = nodes.pop()
        if isinstance(node, str):
            found.texts.append(node)
        elif isinstance(node, dict):
            found.entries += len(node)
            found.texts.extend(node)
            nodes.extend(node.values())
        elif isinstance(node, list):
            found.entries += len(node)
            nodes.extend(node)
        elif type(node) in _NUMBERS:
            found.texts.append(str(node))
