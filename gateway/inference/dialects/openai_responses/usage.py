"""Usage as OpenAI Responses counts it: ``input_tokens`` holds what was read from and written to a cache, and
``output_tokens`` holds the reasoning."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.fields import Count, Count64
from gateway.inference.dialects.server_tools import objects
from gateway.inference.dialects.units import parts_of, tier_of, usd_of_ticks


class _Writes(msgspec.Struct):
    ttl_12h_tokens: Count | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_write_tokens_details: _Writes | None = None

    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count = 0
    output_tokens: Count = 0
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cost_in_usd_ticks: Count64 | None = None
    """xAI's."""


def decode_usage(response: Mapping[str, Any]) -> TokenUsage | None:
    """The usage of a whole response object; None if it reports none or nothing to believe."""
    if not isinstance(response.get("usage"), Mapping):
        return None
    try:
        usage = msgspec.convert(response["usage"], _Usage)
    except msgspec.ValidationError:
        return None
    details = usage.input_tokens_details or _InputDetails()
    read, written = details.cached_tokens or 0, details.cache_write_tokens or 0
    made = usage.output_tokens_details or _OutputDetails()
    lasting = (details.cache_write_tokens_details or _Writes()).ttl_12h_tokens or 0
    return TokenUsage(
        input_tokens=max(0, usage.input_tokens - read - written),
        output_tokens=usage.output_tokens,
        cache_read_tokens=read,
        cache_write_tokens=max(0, written - lasting),
        cache_write_1h_tokens=lasting,
        web_searches=_web_searches(response),
        reasoning_tokens=made.reasoning_tokens or 0,
        parts=parts_of(
            input_audio=details.audio_tokens,
            input_image=details.image_tokens,
            output_audio=made.audio_tokens,
            output_image=made.image_tokens,
        ),
        extras=_tools_used(response.get("output")),
        tier=tier_of(response.get("service_tier")),
        reported_usd=usd_of_ticks(usage.cost_in_usd_ticks),
    )


def encode_usage(usage: TokenUsage) -> dict[str, Any]:
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    details: dict[str, Any] = {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": written}
    if usage.cache_write_1h_tokens:
        details["cache_write_tokens_details"] = {
            "ttl_30m_tokens": usage.cache_write_tokens,
            "ttl_12h_tokens": usage.cache_write_1h_tokens,
        }
    return {
        "input_tokens": usage.total_input_tokens,
        "input_tokens_details": details,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_input_tokens + usage.output_tokens,
    }


def _web_searches(response: Mapping[str, Any]) -> int:
    """What is billed: searches, not the opening of pages (tool_usage where there is one)."""
    usage = response.get("tool_usage")
    search = usage.get("web_search") if isinstance(usage, Mapping) else None
    counted = search.get("num_requests") if isinstance(search, Mapping) else None
    if type(counted) is int and 0 <= counted <= 1_000_000:
        return counted
    output = response.get("output")
    return sum(_is_search(item) for item in output) if isinstance(output, list) else 0


def _is_search(item: Any) -> bool:
    if not isinstance(item, Mapping) or item.get("type") != "web_search_call":
        return False
    action = item.get("action")
    return not isinstance(action, Mapping) or action.get("type") == "search"


_COUNTED = {
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "x_search_call": "x_search",
    "collections_search_call": "file_search",
}


def _tools_used(output: Any) -> Counts:
    """Uses of tools beside web searches; code is counted by the containers that it ran in."""
    uses: dict[str, int] = {}
    containers = set()
    for item in objects(output):
        kind = item.get("type")
        if kind in ("code_interpreter_call", "shell_call"):
            place = item.get("environment") if kind == "shell_call" else item
            container = place.get("container_id") if isinstance(place, Mapping) else None
            if isinstance(container, str) or kind == "code_interpreter_call":
                containers.add(container)
        elif isinstance(kind, str) and kind in _COUNTED:
            uses[_COUNTED[kind]] = uses.get(_COUNTED[kind], 0) + 1
    if containers:
        uses["code_execution"] = len(containers)
    return tuple(uses.items())
