"""Google's ``usageMetadata``: the prompt's count includes cached tokens, thoughts are beside the answer's."""

from typing import Any

import msgspec

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.fields import Count
from gateway.inference.dialects.google.model_names import is_third
from gateway.inference.dialects.units import tier_of

COUNTED = ("promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
"""What TokenUsage says; the rest is kept as it is."""


_MEDIA = {"AUDIO": "audio", "IMAGE": "image", "VIDEO": "video"}
_TEXT = frozenset({"TEXT", "DOCUMENT", ""})


class _Modality(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: Count = 0


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: Count = 0
    cached_content_token_count: Count = 0
    candidates_token_count: Count = 0
    thoughts_token_count: Count = 0
    tool_use_prompt_token_count: Count = 0
    prompt_tokens_details: list[_Modality] = []
    cache_tokens_details: list[_Modality] = []
    candidates_tokens_details: list[_Modality] = []
    tool_use_prompt_tokens_details: list[_Modality] = []
    service_tier: str | None = None


def read_usage(metadata: Any, *, searches: int = 0) -> TokenUsage | None:
    """None for anything that is no usageMetadata. What tools put into the prompt counts as input."""
    if not isinstance(metadata, dict):
        return None
    try:
        usage = msgspec.convert(metadata, _Usage)
    except msgspec.ValidationError:
        return None
    cached = usage.cached_content_token_count
    return TokenUsage(
        input_tokens=max(0, usage.prompt_token_count - cached) + usage.tool_use_prompt_token_count,
        output_tokens=usage.candidates_token_count + usage.thoughts_token_count,
        cache_read_tokens=cached,
        web_searches=searches,
        reasoning_tokens=usage.thoughts_token_count,
        parts=_parts(usage),
        tier=tier_of(usage.service_tier),
    )


def _parts(usage: _Usage) -> Counts:
    """Audio, images and video by themselves. The prompt's details count what was cached too."""
    if not any(
        detail.modality not in _TEXT
        for detail in (*usage.prompt_tokens_details, *usage.candidates_tokens_details)
    ):
        return ()
    prompt, cached = _by_modality(usage.prompt_tokens_details), _by_modality(usage.cache_tokens_details)
    tools, made = (
        _by_modality(usage.tool_use_prompt_tokens_details),
        _by_modality(usage.candidates_tokens_details),
    )
    found = {
        f"input_{medium}": max(0, prompt.get(medium, 0) - cached.get(medium, 0)) + tools.get(medium, 0)
        for medium in _MEDIA.values()
    }
    found |= {f"cache_{medium}_read": cached.get(medium, 0) for medium in ("audio", "image")}
    found |= {f"output_{medium}": made.get(medium, 0) for medium in _MEDIA.values()}
    return tuple((name, count) for name, count in found.items() if count)


def _by_modality(details: list[_Modality]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for detail in details:
        medium = _MEDIA.get(detail.modality)
        if medium is not None:
            counts[medium] = counts.get(medium, 0) + detail.token_count
    return counts


def input_parts(parts: Counts) -> Counts:
    """Those that are known before the answer."""
    return tuple(part for part in parts if not part[0].startswith("output_"))


def write_usage(usage: TokenUsage, rest: dict[str, Any]) -> dict[str, Any]:
    """A usageMetadata; ``rest`` holds the fields that TokenUsage has no place for."""
    tools = rest.get("toolUsePromptTokenCount", 0)
    counts = (
        usage.total_input_tokens - (tools if isinstance(tools, int) else 0),
        usage.cache_read_tokens,
        usage.output_tokens - usage.reasoning_tokens,
        usage.reasoning_tokens,
    )
    written = {name: count for name, count in zip(COUNTED, counts, strict=True) if count}
    total = {"totalTokenCount": usage.total_input_tokens + usage.output_tokens}
    return total | written | rest


def uncounted(metadata: Any) -> dict[str, Any]:
    """The fields of a usageMetadata that TokenUsage has no place for."""
    if not isinstance(metadata, dict):
        return {}
    return {name: value for name, value in metadata.items() if name not in COUNTED}


def searches_of(candidates: Any, model: str) -> int:
    """Searches as Google bills them: each query from Gemini 3 on, before that each grounded prompt."""
    queries: set[str] = set()
    for candidate in candidates if isinstance(candidates, list) else ():
        grounding = candidate.get("groundingMetadata") if isinstance(candidate, dict) else None
        found = grounding.get("webSearchQueries") if isinstance(grounding, dict) else None
        if isinstance(found, list):
            queries.update(query for query in found if isinstance(query, str) and query)
    return len(queries) if is_third(model) else min(1, len(queries))
