"""``thinking`` and ``output_config.effort``, both ways, as the model at hand wants them.

Sources: Anthropic docs on extended thinking, adaptive thinking and effort.
"""

from typing import Any

from gateway.inference.dialects.anthropic.decode_blocks import ABSENT
from gateway.inference.dialects.anthropic.encode_blocks import Encoding
from gateway.inference.dialects.anthropic.messages import Turn
from gateway.inference.dialects.anthropic.models import ModelTraits, traits_of
from gateway.inference.dialects.anthropic.reading import DIALECT, Fields, own, wrong
from gateway.inference.dialects.neutral import Extra, Reasoning, Request

LEAST_BUDGET = 1024
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 65536}
"""Tokens for an effort, where a model takes only budgets."""
_RISING = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def decode_reasoning(body: Fields, output: Fields | None) -> Reasoning | None:
    """Raises InvalidRequest."""
    effort = output.optional_text("effort") if output is not None else None
    fields = body.fields("thinking")
    if fields is None:
        if effort is None:
            return None
        return Reasoning(effort=effort, extra=Extra(dialect=DIALECT, fields={"_thinking": ABSENT}))
    mode = fields.text("type")
    if mode not in ("enabled", "adaptive", "disabled", "between_tools"):
        wrong(fields.place("type"), "one of enabled, adaptive, disabled, between_tools")
    display = fields.optional_text("display")
    show = {"summarized": True, "omitted": False}.get(display or "")
    budget = fields.count("budget_tokens")
    if mode == "enabled" and budget is None:
        wrong(fields.place("budget_tokens"), f"an integer of at least {LEAST_BUDGET}")
    rest = fields.rest()
    if display is not None and show is None:
        rest["display"] = display
    if mode == "between_tools":
        rest["type"] = mode
    return Reasoning(
        enabled=mode != "disabled",
        adaptive=mode == "adaptive",
        effort=effort,
        budget_tokens=budget,
        show=show,
        extra=Extra(dialect=DIALECT, fields={"thinking": rest}) if rest else None,
    )


def encode_reasoning(
    request: Request, turns: list[Turn], tool_choice: dict[str, Any] | None, to: Encoding
) -> tuple[dict[str, Any] | None, str | None]:
    """``thinking`` and ``output_config.effort``."""
    reasoning = request.reasoning
    if reasoning is None:
        return None, None
    to.drop_foreign(reasoning.extra, "reasoning")
    traits = traits_of(to.target.model)
    effort = nearest_effort(reasoning.effort, traits)
    kept = own(reasoning.extra).get("thinking")
    if "_thinking" in own(reasoning.extra):
        if effort is None and reasoning.effort is not None:
            to.drop("reasoning.effort")
        return None, effort
    if kept is not None and "type" in kept:
        return kept, effort
    thinking, implied = _wanted(reasoning, traits, request.max_tokens, to)
    if thinking is not None and thinking["type"] == "enabled" and _forbidden(turns, tool_choice):
        to.drop("reasoning")
        return {"type": "disabled"}, effort
    if thinking is not None and kept is not None:
        thinking |= kept
    return thinking, effort or nearest_effort(implied, traits)


def nearest_effort(effort: str | None, traits: ModelTraits) -> str | None:
    """The model's next value that is not above the one asked for, or its lowest."""
    if effort is None or effort == "none" or not traits.efforts:
        return None
    if effort not in _RISING:
        return effort
    if effort == "xhigh" and effort not in traits.efforts and "max" in traits.efforts:
        return "max"
    below = _RISING[: _RISING.index(effort) + 1]
    return next((value for value in reversed(traits.efforts) if value in below), traits.efforts[0])


def _wanted(
    reasoning: Reasoning, traits: ModelTraits, max_tokens: int | None, to: Encoding
) -> tuple[dict[str, Any] | None, str | None]:
    """``thinking``, and the effort that stands for a budget the model does not take."""
    if reasoning.enabled is False or reasoning.effort == "none":
        if traits.can_stop_thinking:
            return {"type": "disabled"}, None
        to.drop("reasoning.enabled")
        return None, "low"
    budget = reasoning.budget_tokens
    if traits.adaptive_thinking and (reasoning.adaptive or budget is None or not traits.manual_thinking):
        if budget is not None:
            to.drop("reasoning.budget_tokens")
        return _displayed({"type": "adaptive"}, reasoning), _effort_of(budget)
    if not traits.manual_thinking:
        to.drop("reasoning")
        return None, None
    if budget is None:
        budget = _BUDGETS.get(reasoning.effort or "medium", _BUDGETS["medium"])
    fitting = max(LEAST_BUDGET, budget)
    if max_tokens is not None and fitting >= max_tokens:
        fitting = max_tokens - 1
        to.drop("reasoning.budget_tokens")
        if fitting < LEAST_BUDGET:
            to.drop("reasoning")
            return None, None
    return _displayed({"type": "enabled", "budget_tokens": fitting}, reasoning), None


def _displayed(thinking: dict[str, Any], reasoning: Reasoning) -> dict[str, Any]:
    if reasoning.show is not None:
        thinking["display"] = "summarized" if reasoning.show else "omitted"
    return thinking


def _effort_of(budget: int | None) -> str | None:
    if budget is None:
        return None
    return next((effort for effort, tokens in _BUDGETS.items() if tokens >= budget), "max")


def _forbidden(turns: list[Turn], tool_choice: dict[str, Any] | None) -> bool:
    """Manual thinking goes neither with a forced tool nor with an unfinished tool turn begun without it.

    Adaptive thinking goes with both.
    """
    if tool_choice is not None and tool_choice["type"] in ("any", "tool"):
        return True
    opening: Turn | None = None
    for turn in turns:
        if turn.role == "assistant":
            opening = opening or turn
        elif turn.role == "user" and any(block.get("type") != "tool_result" for block in turn.content):
            opening = None
    if opening is None or not any(turn.ids("tool_use", "id") for turn in turns[turns.index(opening) :]):
        return False
    first = opening.content[0].get("type") if opening.content else None
    return first not in ("thinking", "redacted_thinking")
