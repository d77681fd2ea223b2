"""``stop_reason``, both ways."""

from typing import Any, cast

from gateway.inference.dialects.neutral import StopReason

_SAME = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "pause_turn"}
_CONTEXT_WINDOW = "model_context_window_exceeded"
_COMPACTION = "compaction"


def decode_stop(raw: Any) -> tuple[StopReason, str | None]:
    """The reason, and the raw one where it says more. A compaction is all that was asked for."""
    if not isinstance(raw, str):
        return "error", None
    if raw in _SAME:
        return cast(StopReason, raw), None
    if raw == _CONTEXT_WINDOW:
        return "context_window", None
    return ("end_turn" if raw == _COMPACTION else "error"), raw


def encode_stop(stop: StopReason | None, *, calls_tools: bool) -> str | None:
    """A turn that ends in calls is ``tool_use`` for clients, whatever the provider said; there is no word
    for an error."""
    if stop is None:
        return None
    if stop == "context_window":
        return _CONTEXT_WINDOW
    if stop in ("end_turn", "error"):
        return "tool_use" if calls_tools else "end_turn"
    return stop


def refused(words: str) -> dict[str, Any]:
    """``stop_details`` for a refusal that another dialect put into words."""
    return {"type": "refusal", "category": None, "explanation": words}
