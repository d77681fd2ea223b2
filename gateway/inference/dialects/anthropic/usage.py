"""``usage`` of answers, both ways."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.anthropic.wire import AnthropicDialect

_read = AnthropicDialect().response_usage


def decode_usage(raw: Any, *, container: Any = None) -> TokenUsage | None:
    """None if it holds no counts that can be believed. ``container``: the answer's, where code ran."""
    if not isinstance(raw, Mapping):
        return None
    usage = _read({"usage": dict(raw), "container": container})
    details = raw.get("output_tokens_details")
    thought = details.get("thinking_tokens") if isinstance(details, Mapping) else None
    if usage is None or not isinstance(thought, int) or isinstance(thought, bool):
        return usage
    return replace(usage, reasoning_tokens=max(0, min(thought, usage.output_tokens)))


def encode_usage(usage: TokenUsage | None) -> dict[str, Any]:
    """Anthropic's ``cache_creation_input_tokens`` counts the writes of every lifetime."""
    counted = usage or TokenUsage()
    body: dict[str, Any] = {
        "input_tokens": counted.input_tokens,
        "cache_read_input_tokens": counted.cache_read_tokens,
        "cache_creation_input_tokens": counted.cache_write_tokens + counted.cache_write_1h_tokens,
        "output_tokens": counted.output_tokens,
    }
    if counted.cache_write_1h_tokens:
        body["cache_creation"] = {
            "ephemeral_5m_input_tokens": counted.cache_write_tokens,
            "ephemeral_1h_input_tokens": counted.cache_write_1h_tokens,
        }
    if counted.reasoning_tokens:
        body["output_tokens_details"] = {"thinking_tokens": counted.reasoning_tokens}
    fetches = dict(counted.extras).get("web_fetch", 0)
    if counted.web_searches or fetches:
        body["server_tool_use"] = {
            "web_search_requests": counted.web_searches,
            "web_fetch_requests": fetches,
        }
    if counted.tier == "fast":
        body["speed"] = "fast"
    return body


def unread(raw: Any, usage: TokenUsage | None) -> dict[str, Any]:
    """The fields of ``raw`` that ``encode_usage`` would not write as they are."""
    if not isinstance(raw, Mapping):
        return {}
    written = encode_usage(usage)
    return {name: value for name, value in raw.items() if name not in written or written[name] != value}
