"""How much to think, for models with levels, with budgets, and with neither."""

from typing import Any

import pytest

from gateway.inference.dialects.neutral import Reasoning
from tests.gateway.inference.dialects.google.builders import again, ask, encoded

FLASH3, PRO3, PRO31 = "gemini-3-flash-preview", "gemini-3-pro-preview", "gemini-3.1-pro-preview"
FLASH25, LITE25, PRO25 = "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"


@pytest.mark.parametrize(
    ("model", "reasoning", "config"),
    [
        (FLASH3, Reasoning(effort="minimal"), {"thinkingLevel": "minimal"}),
        (FLASH3, Reasoning(effort="medium"), {"thinkingLevel": "medium"}),
        (FLASH3, Reasoning(effort="xhigh"), {"thinkingLevel": "high"}),
        (PRO3, Reasoning(effort="minimal"), {"thinkingLevel": "low"}),
        (PRO3, Reasoning(effort="medium"), {"thinkingLevel": "high"}),
        (PRO31, Reasoning(effort="medium"), {"thinkingLevel": "medium"}),
        ("gemini-flash-latest", Reasoning(effort="low"), {"thinkingLevel": "low"}),
        (
            FLASH3,
            Reasoning(enabled=True, budget_tokens=10_000),
            {"thinkingLevel": "high", "includeThoughts": True},
        ),
        (
            FLASH3,
            Reasoning(enabled=True, budget_tokens=1024, show=False),
            {"thinkingLevel": "low", "includeThoughts": False},
        ),
        (FLASH3, Reasoning(adaptive=True), {"includeThoughts": True}),
        (FLASH25, Reasoning(effort="low"), {"thinkingBudget": 1024}),
        (FLASH25, Reasoning(effort="high", show=True), {"thinkingBudget": 24_576, "includeThoughts": True}),
        (FLASH25, Reasoning(enabled=False), {"thinkingBudget": 0}),
        (FLASH25, Reasoning(effort="none"), {"thinkingBudget": 0}),
        (FLASH25, Reasoning(enabled=True), {"thinkingBudget": -1}),
        (FLASH25, Reasoning(adaptive=True), {"thinkingBudget": -1, "includeThoughts": True}),
        (FLASH25, Reasoning(budget_tokens=64_000), {"thinkingBudget": 24_576, "includeThoughts": True}),
        (PRO25, Reasoning(budget_tokens=64_000), {"thinkingBudget": 32_768, "includeThoughts": True}),
        (LITE25, Reasoning(budget_tokens=100), {"thinkingBudget": 512, "includeThoughts": True}),
    ],
)
def test_what_is_asked_for(model: str, reasoning: Reasoning, config: dict[str, Any]) -> None:
    found = encoded(ask(reasoning=reasoning), model)
    assert found.body["generationConfig"]["thinkingConfig"] == config
    assert found.dropped == ()


@pytest.mark.parametrize(
    ("model", "config"),
    [
        (FLASH3, {"thinkingLevel": "minimal"}),
        (PRO3, {"thinkingLevel": "low"}),
        (PRO25, {"thinkingBudget": 128}),
    ],
)
def test_thinking_that_cannot_be_switched_off_is_least(model: str, config: dict[str, Any]) -> None:
    found = encoded(ask(reasoning=Reasoning(enabled=False)), model)
    assert found.body["generationConfig"]["thinkingConfig"] == config
    assert found.dropped == ("reasoning.enabled",)


def test_a_model_that_does_not_think() -> None:
    for model in ("gemini-2.0-flash", "gemma-3-27b-it"):
        found = encoded(ask(reasoning=Reasoning(effort="high")), model)
        assert found.dropped == ("reasoning",)
        assert "generationConfig" not in found.body
        assert encoded(ask(reasoning=Reasoning(enabled=False)), model).dropped == ()


@pytest.mark.parametrize(
    "config",
    [
        {"thinkingBudget": 0},
        {"thinkingBudget": -1, "includeThoughts": True},
        {"thinkingBudget": 777},
        {"thinkingLevel": "HIGH"},
        {"includeThoughts": False},
        {"somethingNew": 1},
    ],
)
def test_googles_own_words_stay(config: dict[str, Any]) -> None:
    request = {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"thinkingConfig": config},
    }
    for model in (FLASH3, FLASH25):
        assert again(request, model) == request
