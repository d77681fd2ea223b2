"""What a model's name says of what it takes (ai.google.dev, guides: Thinking, Thought signatures)."""

import re

_NUMBER = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NEWEST = (3, 0)


def generation(model: str) -> tuple[int, int]:
    """(2, 5) for gemini-2.5-flash; the newest for names without a number (gemini-flash-latest); (0, 0) for
    models that are no Gemini."""
    found = _NUMBER.search(model)
    if found:
        return int(found[1]), int(found[2] or 0)
    return _NEWEST if "gemini" in model else (0, 0)


def is_third(model: str) -> bool:
    """From Gemini 3 on calls must bring their signatures back, thinking has levels instead of budgets, and
    function responses may hold media."""
    return generation(model)[0] >= 3


def thinks(model: str) -> bool:
    return generation(model) >= (2, 5)


def is_pro(model: str) -> bool:
    return "-pro" in model
