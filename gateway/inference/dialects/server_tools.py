"""Tools that run at the provider, and cost money there beside their tokens."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gateway.billing.prices import Counts, TokenUsage

DEFAULT_USES = 20
"""Assumed for holds where a request does not limit how often a tool is used."""


def offered(uses: Iterable[tuple[str, int | None]]) -> Counts:
    """The tools by name with how often each may be used in all, from names with limits."""
    most: dict[str, int] = {}
    for name, limit in uses:
        most[name] = most.get(name, 0) + (DEFAULT_USES if limit is None else limit)
    return tuple(most.items())


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list of a body, whatever else is there."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def dear_tier(body: Mapping[str, Any]) -> str | None:
    """The processing tier that a request in one of OpenAI's dialects asks for, where it is not the usual one
    (developers.openai.com, guides: Priority processing, Flex processing)."""
    tier = body.get("service_tier")
    return tier if tier in ("priority", "fast", "flex") else None


def billed(usage: TokenUsage, tools: Counts, *, counted: bool) -> TokenUsage:
    """The usage with the tools that the request offered under the names that have prices
    (``code_execution_4g``, say); what it did not offer is not billed. Where answers do not tell how often a
    tool was used (``counted``), each that was offered counts once."""
    if not tools:
        return replace(usage, extras=()) if usage.extras else usage
    used = (("web_search", usage.web_searches), *usage.extras)
    counts = {name: int(count) for name, count in used if count}
    if not counts and not counted and usage.reported_usd is None and not usage.estimated:
        counts = {name: 1 for name, _ in tools}
    names = [name for name, _ in tools]
    searches = counts.pop("web_search", 0)
    if searches and "web_search" not in names and "web_search_preview" in names:
        counts["web_search_preview"], searches = searches, 0
    extras = ((_offered_name(name, names), count) for name, count in counts.items())
    return replace(
        usage,
        web_searches=searches,
        extras=tuple((name, count) for name, count in extras if name is not None),
    )


def _offered_name(used: str, names: list[str]) -> str | None:
    return next((name for name in names if name == used or name.startswith(f"{used}_")), None)
