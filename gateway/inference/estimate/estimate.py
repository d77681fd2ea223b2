"""The estimate of a request's input: an upper one for holds, a middling one for bills without a count."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.inference.estimate.contents import Contents, contents_of
from gateway.inference.estimate.families import Family, family_of
from gateway.inference.estimate.provider_tools import provider_tool
from gateway.inference.estimate.text import text_tokens
from kit.json import NOT_JSON

MARGIN = 1.33
"""How far the count lies above the provider's, in the middle of the recorded exchanges."""
MEDIA_TOKENS = 1_000
"""A middling value, for guesses."""
_BETWEEN = b"\x80"
"""Weighs nothing, and keeps the letters of two texts from making a row."""


@dataclass(frozen=True, slots=True)
class InputEstimate:
    """Tokens. ``counted`` is told from the request itself, and meant to lie a little above the provider's
    count. ``set_aside`` is for what is not in it: media by reference, the pages of documents, the results of
    tools that run at the provider."""

    counted: int
    set_aside: int = 0

    def bound(self, context_window: int | None) -> int:
        """Both together; no provider accepts more than the model's context window."""
        total = self.counted + self.set_aside
        return min(total, context_window) if context_window else total


def tokens_in_window(body: Mapping[str, Any], family: Family) -> int:
    """What a request takes of its model's context window: a little above what is told from the request. What
    is not in it is taken at a middling value, for a bound would leave no room for anything else."""
    found = contents_of(body)
    tokens = _tokens(found, family)
    for media in found.media:
        most, known = family.media_tokens(media)
        told = known or (media.kind == "document" and media.data is not None)
        tokens += most if told else min(most, MEDIA_TOKENS)
    tokens += sum(provider_tool(kind).instructions for kind in found.tools.at_provider)
    return math.ceil(tokens)


def estimate_input(body: Mapping[str, Any], family: Family) -> InputEstimate:
    """The input tokens that a model of the family will be said to have read, for a parsed request body of any
    dialect and any shape."""
    found = contents_of(body)
    tokens = _tokens(found, family)
    set_aside = 0.0
    for media in found.media:
        most, known = family.media_tokens(media)
        if known:
            tokens += most
        else:
            set_aside += most
    kinds = [*found.tools.at_provider, "web_search"] if family.searches else found.tools.at_provider
    tools = [provider_tool(kind) for kind in kinds]
    tokens += sum(tool.instructions for tool in tools)
    set_aside += sum(tool.results + tool.rereads * tokens for tool in tools)
    return InputEstimate(math.ceil(tokens), math.ceil(set_aside))


def _tokens(found: Contents, family: Family) -> float:
    """Of all but media and the provider's tools."""
    return family.text * _text(found.texts + found.tools.texts) + _around(found, family)


def _around(found: Contents, family: Family) -> float:
    """What the provider writes around the texts."""
    tools, answer = found.tools, found.answer
    tokens = (
        family.request
        + family.message * found.messages
        + family.call * found.calls
        + family.entry * found.entries
        + family.parameter * tools.entries
        + family.tool * tools.functions
        + family.sealed * found.sealed
        + found.numbers
    )
    if tools.functions or tools.at_provider:
        tokens += family.tools
    if answer.schemas and family.answer:
        tokens += family.answer + family.answer_field * answer.entries + family.text * _text(answer.texts)
    return tokens + family.thinking if found.thinks else tokens


def middling(counted: int) -> int:
    """The value in the middle for an estimate that was meant to lie above."""
    return math.ceil(counted / MARGIN)


def input_token_guess(raw: bytes) -> int:
    """A middling guess for a JSON body whose tokens nobody counted: a client's request, or an answer."""
    try:
        body = msgspec.json.decode(raw)
    except NOT_JSON:
        body = None
    if not isinstance(body, dict):
        return math.ceil(text_tokens(raw) / MARGIN)
    found = contents_of(body)
    tokens = _text(found.texts + found.tools.texts)
    if found.messages:
        model = body.get("model")
        tokens += _around(found, family_of("", "", model[:100] if isinstance(model, str) else ""))
    return math.ceil(tokens / MARGIN) + MEDIA_TOKENS * len(found.media)


def _text(texts: list[str]) -> float:
    try:
        encoded = _BETWEEN.join(map(str.encode, texts))
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write
        encoded = _BETWEEN.join([text.encode("utf-8", "surrogatepass") for text in texts])
    return text_tokens(encoded)
