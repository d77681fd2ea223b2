"""What Claude models differ in (Anthropic docs: thinking, effort, mid-conversation system messages)."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"claude-(?:(?P<family>[a-z]+)-)?(?P<major>\d+)(?:[-.](?P<minor>\d{1,2}))?(?!\d)")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_ALWAYS_THINKING = {"fable", "mythos"}


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """The defaults are those of a model that is no Claude: manual thinking and nothing forbidden."""

    manual_thinking: bool = True
    """Takes ``thinking: {type: enabled, budget_tokens}``."""
    adaptive_thinking: bool = False
    can_stop_thinking: bool = True
    efforts: tuple[str, ...] = _EFFORTS
    """The values of ``output_config.effort``, rising; none if it has no such field."""
    sampling: bool = True
    """Takes ``temperature``, ``top_p`` and ``top_k``."""
    temperature_with_top_p: bool = True
    system_messages: bool = False
    """Takes the role ``system`` within ``messages``."""


def traits_of(model: str) -> ModelTraits:
    """By the version in the name: ``claude-opus-4-7``, ``claude-sonnet-5``, ``claude-3-7-sonnet-…``."""
    found = _NAME.search(model)
    if found is None:
        return ModelTraits()
    family = found["family"]
    version = (int(found["major"]), int(found["minor"] or 0))
    return ModelTraits(
        manual_thinking=(3, 7) <= version < (4, 7),
        adaptive_thinking=version >= (4, 6),
        can_stop_thinking=family not in _ALWAYS_THINKING,
        efforts=_efforts(family, version),
        sampling=version < (4, 7),
        temperature_with_top_p=version < (4, 1),
        system_messages=family == "opus" and version >= (4, 8),
    )


def _efforts(family: str | None, version: tuple[int, int]) -> tuple[str, ...]:
    if version >= (4, 7):
        return _EFFORTS
    if version == (4, 6):
        return ("low", "medium", "high", "max")
    if family == "opus" and version == (4, 5):
        return ("low", "medium", "high")
    return ()
