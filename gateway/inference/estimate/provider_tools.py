"""Tools that the provider defines or runs itself: what they add to the input, and what is set aside for them.

A tool that runs at the provider writes its results into the conversation, which the model then reads again,
within the same call; nothing in the request bounds that. What is set aside is above all that was recorded.
"""

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class ProviderTool:
    """Tokens. ``instructions`` are in every request that names the tool; ``results``, and reading the whole
    request so many times more (``rereads``), are set aside."""

    instructions: int
    results: int = 0
    rereads: float = 0


_TOOLS = (
    # platform.claude.com, Pricing: 245 to 735 tokens for the tools that the caller runs
    (re.compile(r"^(bash|text_editor|memory|str_replace|local_shell|shell|apply_patch)"), ProviderTool(750)),
    (re.compile(r"^computer"), ProviderTool(1_300)),
    (re.compile(r"^code_execution_\d"), ProviderTool(4_200, 20_000, 2)),  # Anthropic's, as recorded
    (re.compile(r"code_?(execution|interpreter)", re.I), ProviderTool(0, 20_000, 2)),
    (re.compile(r"tool_search"), ProviderTool(0, 500, 1)),
    (re.compile(r"google_?search|maps", re.I), ProviderTool(150, 5_000)),
    (re.compile(r"search|browser|fetch|url_?context|retrieval", re.I), ProviderTool(350, 40_000, 1)),
)
_STORED = ProviderTool(0, 100_000)
"""A conversation or prompt that the provider keeps, of which the request has only the name."""
_OTHER = ProviderTool(500, 20_000, 1)


@lru_cache(maxsize=512)
def provider_tool(kind: str) -> ProviderTool:
    """By the type that the request names: ``web_search_20250305`` or ``googleSearch``, say."""
    if kind == "stored":
        return _STORED
    return next((tool for pattern, tool in _TOOLS if pattern.search(kind)), _OTHER)
