"""The ``usage`` object, with what providers add to it or count otherwise."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.fields import Count, Count64, Usd
from gateway.inference.dialects.server_tools import objects
from gateway.inference.dialects.units import parts_of, tier_of, usd_of, usd_of_ticks


class _InputDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    video_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class _Searches(msgspec.Struct):
    web_search_requests: Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: Count | None = None
    """DeepSeek's cached tokens."""
    num_cached_tokens: Count | None = None
    """Mistral's."""
    cached_tokens: Count | None = None
    """Moonshot's."""
    server_tool_use_details: _Searches | None = None
    """OpenRouter's."""
    server_tool_use: _Searches | None = None
    cost: Usd | None = None
    """OpenRouter's."""
    cost_in_usd_ticks: Count64 | None = None
    """xAI's."""


def usage_in(body: Mapping[str, Any]) -> Any:
    """The usage of a whole answer or a chunk, wherever the provider puts it: Groq within ``x_groq`` of a
    stream, Moonshot within a stream's choices."""
    groq = body.get("x_groq")
    found = body.get("usage") or (groq.get("usage") if isinstance(groq, Mapping) else None)
    for choice in () if found else objects(body.get("choices")):
        found = choice.get("usage") or found
    return found if isinstance(found, dict) and found else None


def decode_usage(raw: Any, *, tier: Any = None) -> TokenUsage | None:
    """None for anything that is no usage. ``tier``: the answer's ``service_tier``."""
    try:
        seen = msgspec.convert(raw, _Usage)
    except msgspec.ValidationError:
        return None
    details = seen.prompt_tokens_details or _InputDetails()
    cached = details.cached_tokens
    for other in (seen.prompt_cache_hit_tokens, seen.num_cached_tokens, seen.cached_tokens):
        cached = other if cached is None else cached
    read = min(cached or 0, seen.prompt_tokens)
    written = min(details.cache_write_tokens or 0, seen.prompt_tokens - read)
    made = seen.completion_tokens_details or _OutputDetails()
    reasoning = made.reasoning_tokens or 0
    searches = seen.server_tool_use_details or seen.server_tool_use or _Searches()
    return TokenUsage(
        input_tokens=seen.prompt_tokens - read - written,
        output_tokens=_output(seen, reasoning),
        cache_read_tokens=read,
        cache_write_tokens=written,
        web_searches=searches.web_search_requests or 0,
        reasoning_tokens=reasoning,
        parts=parts_of(
            input_audio=details.audio_tokens,
            input_image=details.image_tokens,
            input_video=details.video_tokens,
            output_audio=made.audio_tokens,
            output_image=made.image_tokens,
        ),
        tier=tier_of(tier),
        reported_usd=usd_of_ticks(seen.cost_in_usd_ticks) or usd_of(seen.cost),
    )


def _output(seen: _Usage, reasoning: int) -> int:
    """OpenAI counts thoughts within the completion; xAI beside it, which its total tells."""
    completion = seen.completion_tokens or 0
    if reasoning and seen.total_tokens == seen.prompt_tokens + completion + reasoning:
        return completion + reasoning
    return completion


def encode_usage(usage: TokenUsage) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "prompt_tokens": usage.total_input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_input_tokens + usage.output_tokens,
    }
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    details = {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": written}
    if any(details.values()):
        encoded["prompt_tokens_details"] = {name: count for name, count in details.items() if count}
    if usage.reasoning_tokens:
        encoded["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return encoded


def unexplained(raw: Any, usage: TokenUsage | None) -> dict[str, Any]:
    """What of a provider's usage ``encode_usage`` would not give back."""
    if not isinstance(raw, dict):
        return {}
    return _difference(raw, encode_usage(usage) if usage else {})


def merged(known: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """``more`` over ``known``, objects within them too."""
    both = dict(known)
    for name, value in more.items():
        inner = both.get(name)
        both[name] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return both


def _difference(raw: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    different: dict[str, Any] = {}
    for name, value in raw.items():
        inner = known.get(name)
        if isinstance(value, dict) and isinstance(inner, dict):
            if left := _difference(value, inner):
                different[name] = left
        elif value is not None and value != inner:
            different[name] = value
    return different
