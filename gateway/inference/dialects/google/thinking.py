"""How much a model shall think: levels from Gemini 3 on, budgets in tokens for Gemini 2.5.

The ranges and the words' budgets are those of the guides "Thinking" and "OpenAI compatibility".
"""

from typing import Any

import msgspec

from gateway.inference.dialects.google.drops import Drops
from gateway.inference.dialects.google.model_names import generation, is_pro, is_third, thinks
from gateway.inference.dialects.google.reading import Fields, extra, merged, own
from gateway.inference.dialects.neutral import Reasoning

DYNAMIC = -1
_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
_LEVELS = {"xhigh": "high", "max": "high"}
_HIGHEST, _HIGHEST_OF_PRO = 24_576, 32_768
_LOWEST_OF_PRO, _LOWEST_OF_LITE = 128, 512


def decode_thinking(fields: Fields) -> Reasoning:
    """Raises InvalidRequest."""
    budget = fields.integer("thinkingBudget")
    level = fields.text("thinkingLevel")
    show = fields.boolean("includeThoughts")
    kept = fields.rest()
    if budget is not None:
        kept["thinkingBudget"] = budget
    if level is not None:
        kept["thinkingLevel"] = level
    return Reasoning(
        enabled=None if budget is None else budget != 0,
        adaptive=budget == DYNAMIC,
        effort=level.lower() if level else None,
        budget_tokens=budget if budget is not None and budget > 0 else None,
        show=show,
        extra=extra(kept),
    )


def encode_thinking(reasoning: Reasoning, drops: Drops) -> dict[str, Any]:
    """A ``thinkingConfig``, empty if there is nothing to say."""
    model = drops.target.model
    kept = own(reasoning.extra)
    drops.foreign(reasoning.extra, "reasoning")
    if not kept and not thinks(model):
        off = reasoning.enabled is False or reasoning.effort == "none"
        if not off and msgspec.structs.replace(reasoning, extra=None) != Reasoning():
            drops.add("reasoning")
        return {}
    off = reasoning.enabled is False or reasoning.effort == "none"
    result: dict[str, Any] = {}
    if not {"thinkingBudget", "thinkingLevel"} & kept.keys():
        result = _level(reasoning, drops, off=off) if is_third(model) else _budget(reasoning, drops, off=off)
    wanted = reasoning.budget_tokens is not None or reasoning.adaptive
    if reasoning.show is not None:
        result["includeThoughts"] = reasoning.show
    elif wanted and not kept and not off:
        result["includeThoughts"] = True
    return merged(result, kept)


def _level(reasoning: Reasoning, drops: Drops, *, off: bool) -> dict[str, Any]:
    word = reasoning.effort
    if off:
        drops.add("reasoning.enabled")  # thinking cannot be switched off
        word = "minimal"
    elif word is None and reasoning.budget_tokens is not None:
        word = _word(reasoning.budget_tokens)
    if word is None:
        return {}
    level = _LEVELS.get(word, word)
    model = drops.target.model
    if is_pro(model):
        if level == "minimal":
            level = "low"
        elif level == "medium" and generation(model) == (3, 0):
            level = "high"
    return {"thinkingLevel": level}


def _budget(reasoning: Reasoning, drops: Drops, *, off: bool) -> dict[str, Any]:
    pro = is_pro(drops.target.model)
    if off:
        if pro:
            drops.add("reasoning.enabled")  # thinking cannot be switched off
        return {"thinkingBudget": _LOWEST_OF_PRO if pro else 0}
    budget = reasoning.budget_tokens
    if budget is None and reasoning.effort is not None:
        budget = _BUDGETS.get(reasoning.effort)
    if budget is None:
        return {"thinkingBudget": DYNAMIC} if reasoning.adaptive or reasoning.enabled else {}
    lowest = _LOWEST_OF_PRO if pro else _LOWEST_OF_LITE if "-lite" in drops.target.model else 1
    return {"thinkingBudget": min(max(budget, lowest), _HIGHEST_OF_PRO if pro else _HIGHEST)}


def _word(budget: int) -> str:
    return next((word for word in ("low", "medium") if budget <= _BUDGETS[word]), "high")
