"""How a thread's history is fitted to a model: the ``context`` of a thread, and of a turn over it.

The names are those in use: OpenAI's ``truncation`` has ``retention_ratio`` (Realtime API) and its
``context_management`` a ``compact_threshold`` (Responses API); Anthropic's compaction takes ``instructions``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import InvalidRequest

POLICIES = ("truncate", "compact", "none")
MAX_INSTRUCTIONS_CHARS = 20_000
MAX_TOKENS = 100_000_000


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """Tokens are input tokens as estimated. ``max_input_tokens`` lowers what the model's window leaves;
    ``retention_ratio`` is how much of the room is kept when it is full; ``compact_threshold`` is where a
    summary is made (by default at four fifths of the room), by ``model`` or else the turn's own."""

    policy: str = "truncate"
    max_input_tokens: int | None = None
    retention_ratio: float = 0.7
    compact_threshold: int | None = None
    model: str | None = None
    instructions: str | None = None
    prompt_caching: bool = True

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "ContextSettings":
        """From what ``parse_context`` returned."""
        return cls(**given)


def parse_context(value: Any) -> dict[str, Any]:
    """The fields that were given, checked. Raises InvalidRequest."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _expected("context", "an object")
    given = {name: value[name] for name in _FIELDS if value.get(name) is not None}
    for name, field in given.items():
        _FIELDS[name](f"context.{name}", field)
    return given


def _policy(name: str, value: Any) -> None:
    if value not in POLICIES:
        raise _expected(name, f"one of {', '.join(POLICIES)}")


def _tokens(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_TOKENS:
        raise _expected(name, f"a number of tokens from 1 to {MAX_TOKENS}")


def _ratio(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _expected(name, "a number from 0 to 1")


def _model(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise _expected(name, "the name of a model")


def _instructions(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_INSTRUCTIONS_CHARS:
        raise _expected(name, f"a text of at most {MAX_INSTRUCTIONS_CHARS} characters")


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise _expected(name, "true or false")


_FIELDS = {
    "policy": _policy,
    "max_input_tokens": _tokens,
    "retention_ratio": _ratio,
    "compact_threshold": _tokens,
    "model": _model,
    "instructions": _instructions,
    "prompt_caching": _flag,
}


def _expected(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: expected {what}", param=name)
